"""Commands of `python -m data_prep`: target and help line of each. Targets are imported on use."""

from __future__ import annotations

from data_prep.base.command_table import Commands, LazyCommand, Table

COMMANDS: Commands = {
    "tasks": LazyCommand(
        "data_prep.listing:tasks",
        "List the tasks by kind, and the suites; with NAME, all about one task or suite."),
    "tokenizer": LazyCommand(
        "data_prep.tokenizer:tokenizer",
        "Train a SentencePiece tokenizer on text files and save it as an XLM-R tokenizer."),
    "build": LazyCommand(
        "data_prep.build:build",
        "Build tokenised cells of a task from its publisher's files, from XTREME's layout, or from the hub."),
    "augment": Table("Write perturbed copies of training cells", {
        "synonyms": LazyCommand(
            "data_prep.augment.synonyms:synonyms",
            "Copies with words replaced by synonyms (RS-DA): each word drawn from itself and its neighbours."),
        "code_mix": LazyCommand(
            "data_prep.augment.code_mix:code_mix",
            "Copies with words replaced by translations from dictionaries (CoSDA-ML)."),
        "noise": LazyCommand(
            "data_prep.augment.noise:noise",
            "Copies with misspelt letters: typos, swaps, omissions, repetitions and wrong case, in any script."),
    }),
    "few_shot": LazyCommand(
        "data_prep.subset.few_shot:few_shot",
        "Write k examples per class of a finished cell as a training cell, for few-shot learning."),
    "select": LazyCommand(
        "data_prep.subset.select:select",
        "Write the easy, ambiguous or hard examples of a finished cell, by the training dynamics of a run."),
    "verify": LazyCommand(
        "data_prep.verify:verify",
        "Re-hash every cell below a folder and show histograms of labels and lengths; exit code 2 on a mismatch."),
    "peek": LazyCommand(
        "data_prep.verify:peek",
        "Show the first rows of a cell: gold answers, texts decoded from their ids, and the ids."),
    "completion": LazyCommand(
        "data_prep.completion:completion",
        "Print the completion script of SHELL, bash or zsh, for source <(python -m data_prep completion bash)."),
}

# Results that an interrupted command keeps, and how to continue.
NOTHING_WRITTEN = "no tokenizer was written; give the same command again"
_CELLS = "finished cells are kept; the same command goes on with the others"
KEPT = {
    "build": _CELLS,
    "augment": _CELLS,
    "few_shot": _CELLS,
    "select": _CELLS,
    "tokenizer": NOTHING_WRITTEN,
    "verify": "nothing was changed",
    "peek": "nothing was changed",
    "tasks": "nothing was changed",
    "completion": "nothing was changed",
}
