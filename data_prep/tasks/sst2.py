"""Stanford Sentiment Treebank (Socher et al. 2013) in GLUE's files: English, two classes; test has no labels."""

from __future__ import annotations

from data_prep.tasks.task import Hub, Layout, Task

SST2 = Task(
    name="sst2",
    summary="sentiment of sentences, English",
    kind="pair",
    metric="accuracy",
    labels=("negative", "positive"),
    aliases={"0": "negative", "1": "positive"},
    languages=("en",),
    layouts=(
        Layout(r"(?:SST-2/)?(?P<split>train|dev|test)\.tsv", "SST-2/train.tsv", language="en", header=True,
               columns={"first": ("sentence",), "label": ("label",)}),
    ),
    hub=Hub(repo="nyu-mll/glue", config="sst2",
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"first": "sentence", "label": "label"}, label_names=("negative", "positive")),
)
