"""Unlabelled lines for masked language modelling; a TAB joins two texts (as in translation language modelling)."""

from __future__ import annotations

from data_prep.tasks.task import LANGUAGE, Layout, Task

CODE = r"(?P<language>[a-z]{2,3}(?:_[A-Za-z]+)?)"  # names without a split: real codes only, so no "readme"

TEXT = Task(
    name="text",
    summary="unlabelled lines, one text or two (TAB) per line",
    kind="mlm",
    metric="perplexity",
    labels=(),
    languages=(),
    layouts=(
        Layout(rf"(?P<split>train|dev|test)-{LANGUAGE}\.txt", lines=True),
        Layout(rf"(?P<split>train|dev|test)-{LANGUAGE}/[^/]+\.txt", lines=True),
        Layout(rf"{CODE}\.txt", split="train", lines=True),
        Layout(rf"{CODE}/[^/]+\.txt", split="train", lines=True),
    ),
)
