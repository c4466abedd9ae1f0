"""The commands of `python -m trainer`: where each is, and a line of help. Nothing of them is imported here."""

from __future__ import annotations

from data_prep.base.command_table import Commands, LazyCommand, Table

COMMANDS: Commands = {
    "train": LazyCommand(
        "trainer.train:train",
        "Train one run from a RECIPE (a YAML file, or the name of one that ships), and keep its best checkpoint."),
    "recipes": LazyCommand(
        "trainer.config.manual:recipes", "List the recipes that ship, one a line; with NAME, show the file of one."),
    "keys": LazyCommand(
        "trainer.config.manual:keys",
        "List the keys of a recipe: type and range, default, meaning; with PATTERN, those whose name or meaning holds "
        "it."),
    "completion": LazyCommand(
        "trainer.completion:completion",
        "Print the completion script of SHELL, bash or zsh, for source <(python -m trainer completion bash)."),
    "average": LazyCommand(
        "trainer.checkpoint.average:average",
        "Average the last snapshots of a run, or the models of several runs that differ in their seed only."),
    "evaluate": LazyCommand(
        "trainer.evaluate.run:evaluate",
        "Predict with a run's best checkpoint: a prediction file and a result row per language, or pair of languages."),
    "predict": LazyCommand(
        "trainer.predict.run:predict",
        "Predict on sentences of one's own with a RUN: classes with probabilities, scores, tags or answers."),
    "retrieve": LazyCommand(
        "trainer.retrieval.run:retrieve",
        "Score sentence retrieval without training: Tatoeba, BUCC, LAReQA, Mewsli-X, or data of one's own."),
    "submission": LazyCommand(
        "trainer.evaluate.submission:submission",
        "Merge the prediction files of evaluated runs into the official folder of a suite: xtreme, xtreme_r, xglue."),
    "diagnose": LazyCommand(
        "trainer.diagnose.run:diagnose",
        "Measure distance to English, and accuracy by distance and by noise, with a run's best model."),
    "report": LazyCommand(
        "trainer.report:report", "Compare evaluated runs: tables, intervals and figures in --out."),
    "runs": Table("See how far runs are, and how two of them differ", {
        "list": LazyCommand(
            "trainer.runs.commands:list_runs",
            "List the runs below FOLDERS (default: runs): state, step, score on dev and mean scores."),
        "compare": LazyCommand(
            "trainer.runs.commands:compare",
            "Compare the runs A and B: keys of the recipe that differ, state, and scores side by side."),
    }),
    "pseudo_label": LazyCommand(
        "trainer.shaping.pseudo_label:pseudo_label",
        "Label cells with a run's best model and keep what it is sure of, as training cells of `<task>+<name>`."),
    "dictionary": LazyCommand(
        "trainer.shaping.dictionary:dictionary",
        "Propose words of another language for English words, by the head of a masked language model (SALT)."),
    "export": LazyCommand(
        "trainer.checkpoint.export:export", "Copy a run's best checkpoint to OUT as a plain transformers folder."),
    "convert": LazyCommand(
        "trainer.model.convert:convert",
        "Write the model at SOURCE, a folder or a name on the hub with weights in a pickle, to OUT in safetensors."),
    "bench": Table("Measure time and memory on this machine", {
        "claims": LazyCommand(
            "trainer.bench.commands:bench_claims",
            "Simulate studies of equal methods: the share that a report would call different, and the power to find a "
            "gain."),
        "loader": LazyCommand(
            "trainer.bench.commands:bench_loader",
            "Training throughput with batches of like length against padding to the maximum, on the rows of CELL, a "
            "folder."),
        "steps": LazyCommand(
            "trainer.bench.commands:bench_steps",
            "Time of a training step of each method as a ratio to a plain step, beside its bound; and its peak "
            "memory."),
        "peers": LazyCommand(
            "trainer.bench.commands:bench_peers",
            "Training throughput beside Hugging Face's Trainer: plain, random noise, and PGD with 1 and 3 ascent "
            "steps."),
        "kernels": LazyCommand(
            "trainer.bench.commands:bench_kernels",
            "Time of the fused kernels against eager torch, torch.compile and a copy of the same bytes, with bounds."),
        "overhead": LazyCommand(
            "trainer.bench.commands:bench_overhead",
            "Cost of fault tolerance beside the time of a step: checks for NaN and signals, and checkpoints."),
    }),
    "study": Table("Answer a research question, from data to report", {
        "plan": LazyCommand(
            "trainer.studies.commands:plan",
            "Show the graph of a STUDY: its nodes, what sharing saves, and the time that is left."),
        "run": LazyCommand(
            "trainer.studies.commands:run",
            "Run a STUDY here, as many commands at once as fit, and write its report; the same command resumes."),
        "submit": LazyCommand(
            "slurm.study:submit",
            "Submit a STUDY to SLURM: a job per node that is neither done nor queued, and its report as the last job."),
        "status": LazyCommand(
            "trainer.studies.commands:status",
            "Show which nodes of the study in the folder OUT are done, running, waiting or failed."),
        "report": LazyCommand(
            "trainer.studies.commands:report",
            "Write the report of the study in the folder OUT from what is done so far: OUT/report."),
    }),
    "size": LazyCommand(
        "trainer.size.run:size",
        "Memory per rank and time of a RECIPE on paper: does it fit, at which ZeRO stage, how long does it take."),
    "doctor": LazyCommand(
        "trainer.doctor.examine:doctor",
        "Check that this machine can train: versions, accelerators, kernel backends, launcher, a two-rank self-test."),
    "demo": LazyCommand(
        "trainer.studies.demo:demo",
        "Pre-train, fine-tune plainly and robustly on artificial languages, and compare; offline, in minutes."),
    "toy": Table("Make data and models of an artificial world", {
        "data": LazyCommand(
            "trainer.demo.commands:data",
            "Write raw benchmark files of an artificial world to OUT, a folder per task, as `data_prep build` reads "
            "them."),
        "languages": LazyCommand(
            "trainer.demo.commands:languages",
            "Copy the model at PRETRAINED, a folder, to OUT with distance languages and neighbours in its vocabulary."),
    }),
}

# Results that an interrupted command keeps, and the next step. A training saves (`trainer.distributed.preemption`).
_RUN_KEPT = "the run, and the rows that its eval/ has had, are kept; give the same command again"
KEPT = {
    "recipes": "nothing was changed",
    "keys": "nothing was changed",
    "completion": "nothing was changed",
    "evaluate": _RUN_KEPT,
    "average": "no average was written; give the same command again",
    "predict": "nothing was written; give the same command again",
    "retrieve": "the rows that eval/ has had are kept; give the same command again",
    "submission": "no folder was written; give the same command again",
    "diagnose": _RUN_KEPT,
    "report": "an earlier report is kept, or made again by the same command",
    "runs": "nothing was changed",
    "pseudo_label": "finished cells are kept; give the same command again",
    "dictionary": "nothing was written; give the same command again",
    "export": "no model was written; give the same command again",
    "convert": "no model was written; give the same command again",
    "bench": "nothing was kept",
    "size": "nothing was kept",
    "doctor": "nothing was found out yet",
    "study": "finished nodes are kept, and trainings have saved; the same command goes on from there",
    "toy": "nothing was written; give the same command again",
    "demo": "what is finished is kept; the same command goes on from there",
}
