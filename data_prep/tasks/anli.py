"""Adversarial NLI (Nie et al. 2020, arXiv 1910.14599): English inference in three rounds of growing difficulty.

The publisher's archive has a folder per round, R1 to R3; one is built at a time (--source anli_v1.0/R3), the hub's
entry reads the third.
"""

from __future__ import annotations

from data_prep.tasks.nli_labels import ALIASES, HUB_COLUMNS, HUB_LABEL_NAMES, LABELS, NO_CONSENSUS
from data_prep.tasks.task import Hub, Layout, Task, prefixed_pair

ANLI = Task(
    name="anli",
    summary="natural language inference, adversarial, English",
    kind="pair",
    metric="accuracy",
    labels=LABELS,
    aliases=ALIASES,
    no_consensus=NO_CONSENSUS,
    languages=("en",),
    layouts=(
        prefixed_pair("anli"),
        Layout(r"(?:R[123]/)?(?P<split>train|dev|test)\.jsonl", "R3/train.jsonl", language="en", format="jsonl",
               columns={"first": ("context",), "second": ("hypothesis",), "label": ("label",)}, key=("uid",)),
    ),
    hub=Hub(repo="facebook/anli", config=None,
            splits={"train": "train_r3", "dev": "dev_r3", "test": "test_r3"},
            columns=HUB_COLUMNS, label_names=HUB_LABEL_NAMES, key="uid"),
)
