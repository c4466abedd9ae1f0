"""Augmentation: the rows of a task with rewritten copies of each, as cells of the task `<task>+<name>`.

Inputs: a task with its source, and a method's own files and settings. Outputs: cells as `build` writes them. Each
method is a module with a command of its own; what they share is in `copies`.

    python -m data_prep augment synonyms xnli --source data/xnli --neighbours words.txt --tokenizer DIR --out shards
    python -m data_prep augment code_mix xnli --source data/xnli --dictionary sw=sw.txt --tokenizer DIR --out shards
    python -m data_prep augment noise xnli --source data/xnli --splits test --languages sw,tr --only_perturbed ...
"""
