"""Shared by extractive question answering tasks: the hub's columns, the publisher's key, and the metrics of SQuAD."""

from __future__ import annotations

from collections.abc import Mapping

HUB_COLUMNS: Mapping[str, str] = {"question": "question", "context": "context", "answers": "answers"}
KEY = "id"
MAX_LENGTH = 384  # as in XTREME
METRIC, FURTHER_METRICS = "answer_f1", ("exact_match",)
