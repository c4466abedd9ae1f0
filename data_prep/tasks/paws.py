"""PAWS (Zhang et al. 2019, arXiv 1904.01130): English paraphrase identification, the labels of pawsx.

PAWS-Wiki's labelled files: `final`, from the folder above it; `swap` has a training set only (--source swap).
"""

from __future__ import annotations

from data_prep.tasks.task import Hub, Layout, Task, prefixed_pair

PAWS = Task(
    name="paws",
    summary="paraphrase identification, English",
    kind="pair",
    metric="accuracy",
    labels=("0", "1"),
    languages=("en",),
    layouts=(
        prefixed_pair("paws"),
        Layout(r"(?:final/)?(?P<split>train|dev|test)\.tsv", "final/train.tsv", language="en", header=True, key=("id",),
               columns={"first": ("sentence1",), "second": ("sentence2",), "label": ("label",)}),
    ),
    hub=Hub(repo="google-research-datasets/paws", config="labeled_final",
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"first": "sentence1", "second": "sentence2", "label": "label"}, label_names=("0", "1"), key="id"),
)
