"""Unlabelled lines for masked language modelling; a TAB joins two texts (as in translation language modelling)."""

from __future__ import annotations

from data_prep.tasks.task import LANGUAGE, Layout, Task

# names without a split: real codes only, so neither "readme" nor the two languages of "en-de"
CODE = r"(?P<language>[a-z]{2,3}(?:_[A-Za-z]+)?(?:-(?:[A-Z][a-z]{3}|[A-Z]{2}))*)"

TEXT = Task(
    name="text",
    summary="unlabelled lines, one text or two (TAB) per line",
    kind="mlm",
    metric="perplexity",
    labels=(),
    languages=(),
    layouts=(
        Layout(rf"(?P<split>train|dev|test)-{LANGUAGE}\.txt", "train-en.txt", format="lines", columns={}),
        Layout(rf"(?P<split>train|dev|test)-{LANGUAGE}/[^/]+\.txt", "train-en/part.txt", format="lines", columns={}),
        Layout(rf"{CODE}\.txt", "en.txt", split="train", format="lines", columns={}),
        Layout(rf"{CODE}/[^/]+\.txt", "en/part.txt", split="train", format="lines", columns={}),
    ),
)
