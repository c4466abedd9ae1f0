"""SNLI (Bowman et al. 2015): English natural language inference over image captions, and KorNLI's translation."""

from __future__ import annotations

from data_prep.tasks.nli_labels import ALIASES, COLUMNS, HUB_COLUMNS, HUB_LABEL_NAMES, LABELS, NO_CONSENSUS
from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task, prefixed_pair

SNLI = Task(
    name="snli",
    summary="natural language inference over image captions, English (and translations)",
    kind="pair",
    metric="accuracy",
    labels=LABELS,
    aliases=ALIASES,
    no_consensus=NO_CONSENSUS,
    languages=("en",),
    parallel=("train", "dev", "test"),
    layouts=(
        prefixed_pair("snli"),
        # SNLI 1.0, one content in two formats: label `-` where the annotators did not agree
        Layout(r"(?:snli_1\.0/)?snli_1\.0_(?P<split>train|dev|test)\.txt", "snli_1.0_train.txt", language="en",
               header=True, columns=COLUMNS),
        Layout(r"(?:snli_1\.0/)?snli_1\.0_(?P<split>train|dev|test)\.jsonl", "snli_1.0_train.jsonl", language="en",
               format="jsonl", columns=COLUMNS),
        Layout(rf"snli_1\.0_(?P<split>train|dev|test)\.{LANGUAGE}\.tsv", "snli_1.0_train.ko.tsv", header=True,
               columns=COLUMNS),
    ),
    hub=Hub(repo="stanfordnlp/snli", config=None,
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns=HUB_COLUMNS, label_names=HUB_LABEL_NAMES),
)
