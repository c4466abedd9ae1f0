"""XNLI (Conneau et al. 2018): natural language inference in 15 languages, rows aligned over all of them."""

from __future__ import annotations

from data_prep.tasks.nli_labels import ALIASES, COLUMNS, HUB_COLUMNS, HUB_LABEL_NAMES, LABELS, NO_CONSENSUS
from data_prep.tasks.task import LANGUAGE, XTREME_PAIR, Hub, Layout, Task

XNLI = Task(
    name="xnli",
    summary="natural language inference, 15 languages",
    kind="pair",
    metric="accuracy",
    labels=LABELS,
    aliases=ALIASES,
    no_consensus=NO_CONSENSUS,
    languages=("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"),
    parallel=("train", "dev", "test"),
    layouts=(
        XTREME_PAIR,
        # XTREME's translate-train: the English pair, its translation, the label (not confirmed)
        Layout(rf"translate-train/en-{LANGUAGE}-translated\.tsv", "translate-train/en-sw-translated.tsv",
               split="train", columns={"first": 2, "second": 3, "label": 4}),
        # XNLI 1.0: one dev and one test file with the rows of all languages, each language in the same order
        Layout(r"(?:XNLI-1\.0/)?xnli\.(?P<split>dev|test)\.tsv", "xnli.dev.tsv", header=True,
               language_column=("language",), columns=COLUMNS, key=("pairID",)),
        Layout(r"(?:XNLI-1\.0/)?xnli\.(?P<split>dev|test)\.jsonl", "xnli.dev.jsonl", format="jsonl",
               language_column=("language",), columns=COLUMNS, key=("pairID",)),
        # XNLI-MT 1.0: MultiNLI's training set in every language; KorNLI names its files in the same way
        Layout(rf"(?:(?:XNLI-MT-1\.0/)?multinli/)?multinli\.(?P<split>train)\.{LANGUAGE}\.tsv",
               "multinli.train.en.tsv", header=True, columns=COLUMNS),
        Layout(rf"xnli\.(?P<split>dev|test)\.{LANGUAGE}\.tsv", "xnli.dev.ko.tsv", header=True,
               columns=COLUMNS),
    ),
    hub=Hub(repo="facebook/xnli", config="{language}",
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns=HUB_COLUMNS, label_names=HUB_LABEL_NAMES),
)
