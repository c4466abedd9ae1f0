"""Microsoft Research Paraphrase Corpus (Dolan and Brockett 2005): English paraphrase identification."""

from __future__ import annotations

from data_prep.tasks.task import Hub, Layout, Task, prefixed_pair

MRPC = Task(
    name="mrpc",
    summary="paraphrase identification, English",
    kind="pair",
    metric="accuracy",
    labels=("0", "1"),
    aliases={"not_equivalent": "0", "equivalent": "1"},
    languages=("en",),
    layouts=(
        prefixed_pair("mrpc"),
        Layout(r"msr[-_]para(?:phrase)?[-_](?P<split>train|val|test)\.(?:tsv|txt)", "msr_paraphrase_train.txt",
               language="en", header=True,
               splits={"train": "train", "val": "dev", "test": "test"},
               columns={"first": ("#1 String",), "second": ("#2 String",), "label": ("Quality",)}),
    ),
    hub=Hub(repo="nyu-mll/glue", config="mrpc",
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"first": "sentence1", "second": "sentence2", "label": "label"}, label_names=("0", "1")),
)
