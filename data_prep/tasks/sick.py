"""SICK (Marelli et al. 2014): English entailment, with the same labels as xnli and mnli (relatedness is not read)."""

from __future__ import annotations

from data_prep.tasks.nli_labels import ALIASES, HUB_LABEL_NAMES, LABELS, NO_CONSENSUS
from data_prep.tasks.task import Hub, Layout, Task, prefixed_pair

SICK = Task(
    name="sick",
    summary="entailment between sentences, English",
    kind="pair",
    metric="accuracy",
    labels=LABELS,
    aliases=ALIASES,
    no_consensus=NO_CONSENSUS,
    languages=("en",),
    layouts=(
        prefixed_pair("sick"),
        Layout(r"SICK_(?P<split>train|trial|test_annotated)\.txt", "SICK_train.txt", language="en", header=True,
               splits={"train": "train", "trial": "dev", "test_annotated": "test"},
               columns={"first": ("sentence_A",), "second": ("sentence_B",), "label": ("entailment_judgment",)},
               key=("pair_ID",)),
    ),
    # the repository itself holds a loading script, which we never run; the hub's own conversion holds the tables
    hub=Hub(repo="RobZamp/sick", revision="refs/convert/parquet", config=None,
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"first": "sentence_A", "second": "sentence_B", "label": "label"}, label_names=HUB_LABEL_NAMES),
)
