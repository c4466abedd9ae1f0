"""MultiNLI (Williams et al. 2018): English natural language inference, and its row-parallel translations."""

from __future__ import annotations

from data_prep.tasks.nli_labels import ALIASES, HUB_LABEL_NAMES, LABELS, NO_CONSENSUS
from data_prep.tasks.task import LANGUAGE, XTREME_PAIR, Hub, Layout, Task

FIRST, SECOND = ("premise", "sentence1"), ("hypo", "hypothesis", "sentence2")

MNLI = Task(
    name="mnli",
    summary="natural language inference, English (and translations)",
    kind="pair",
    metric="accuracy",
    labels=LABELS,
    aliases=ALIASES,
    no_consensus=NO_CONSENSUS,
    languages=("en",),
    parallel=("train", "dev", "test"),
    layouts=(
        XTREME_PAIR,
        Layout(rf"multinli\.(?P<split>train|dev|test)\.{LANGUAGE}\.tsv", header=True,
               first=FIRST, second=SECOND, label=("label",)),
        # MultiNLI 1.0 and GLUE's copy: label `-` where the annotators did not agree
        Layout(r"multinli_1\.0_(?P<split>train|dev_matched)\.txt", language="en", header=True,
               splits={"train": "train", "dev_matched": "dev"}, first=FIRST, second=SECOND, label=("gold_label",)),
        Layout(r"(?P<split>train|dev_matched|test_matched)\.tsv", language="en", header=True,
               splits={"train": "train", "dev_matched": "dev", "test_matched": "test"},
               first=FIRST, second=SECOND, label=("gold_label",)),
    ),
    hub=Hub(repo="nyu-mll/glue", config="mnli",
            splits={"train": "train", "dev": "validation_matched", "test": "test_matched"},
            first="premise", second="hypothesis", label="label", label_names=HUB_LABEL_NAMES),
)
