"""Quora Question Pairs (Iyer et al. 2017) in GLUE's files: English duplicate questions; test has no labels."""

from __future__ import annotations

from data_prep.tasks.task import Hub, Layout, Task, prefixed_pair

QQP = Task(
    name="qqp",
    summary="duplicate questions, English",
    kind="pair",
    metric="accuracy",
    further_metrics=("f1",),
    labels=("0", "1"),
    aliases={"not_duplicate": "0", "duplicate": "1"},
    languages=("en",),
    layouts=(
        prefixed_pair("qqp"),
        Layout(r"(?:QQP/)?(?P<split>train|dev|test)\.tsv", "QQP/train.tsv", language="en", header=True, key=("id",),
               columns={"first": ("question1",), "second": ("question2",), "label": ("is_duplicate",)}),
    ),
    hub=Hub(repo="nyu-mll/glue", config="qqp",
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"first": "question1", "second": "question2", "label": "label"}, label_names=("0", "1")),
)
