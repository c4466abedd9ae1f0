"""MultiNLI (Williams et al. 2018): English natural language inference, and its row-parallel translations."""

from __future__ import annotations

from data_prep.tasks.nli_labels import ALIASES, COLUMNS, HUB_COLUMNS, HUB_LABEL_NAMES, LABELS, NO_CONSENSUS
from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task, prefixed_pair

MATCHED = {"train": "train", "dev_matched": "dev", "test_matched": "test"}

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
        prefixed_pair("mnli"),
        Layout(rf"multinli\.(?P<split>train|dev|test)\.{LANGUAGE}\.tsv", "multinli.train.en.tsv", header=True,
               columns=COLUMNS),
        # MultiNLI 1.0 and GLUE's copy: label `-` where the annotators did not agree
        Layout(r"(?:multinli_1\.0/)?multinli_1\.0_(?P<split>train|dev_matched)\.txt", "multinli_1.0_train.txt",
               language="en", header=True, splits=MATCHED, columns=COLUMNS),
        Layout(r"(?:multinli_1\.0/)?multinli_1\.0_(?P<split>train|dev_matched)\.jsonl", "multinli_1.0_train.jsonl",
               language="en", format="jsonl", splits=MATCHED, columns=COLUMNS),
        Layout(r"(?P<split>train|dev_matched|test_matched)\.tsv", "dev_matched.tsv", language="en", header=True,
               splits=MATCHED, columns=COLUMNS),
    ),
    hub=Hub(repo="nyu-mll/glue", config="mnli",
            splits={"train": "train", "dev": "validation_matched", "test": "test_matched"},
            columns=HUB_COLUMNS, label_names=HUB_LABEL_NAMES),
)
