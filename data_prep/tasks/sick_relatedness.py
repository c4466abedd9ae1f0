"""SICK (Marelli et al. 2014): relatedness of English sentences, 1 to 5; releases differ in the decimal mark."""

from __future__ import annotations

from data_prep.tasks.task import Hub, Layout, Task

SICK_RELATEDNESS = Task(
    name="sick_relatedness",
    summary="relatedness of sentences, English",
    kind="regression",
    metric="spearman",
    further_metrics=("pearson",),
    labels=(),
    score_range=(1.0, 5.0),
    languages=("en",),
    layouts=(
        Layout(r"SICK_(?P<split>train|trial|test_annotated)\.txt", "SICK_train.txt", language="en", header=True,
               splits={"train": "train", "trial": "dev", "test_annotated": "test"},
               columns={"first": ("sentence_A",), "second": ("sentence_B",), "score": ("relatedness_score",)},
               key=("pair_ID",)),
    ),
    # the repository itself holds a loading script, which we never run; the hub's own conversion holds the tables
    hub=Hub(repo="RobZamp/sick", revision="refs/convert/parquet", config=None,
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"first": "sentence_A", "second": "sentence_B", "score": "relatedness_score"}),
)
