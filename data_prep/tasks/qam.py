"""XGLUE question-answer matching (Liang et al. 2020, arXiv 2004.01401): does a passage answer a question."""

from __future__ import annotations

from data_prep.tasks.task import Task
from data_prep.tasks.xglue_pairs import xglue_pairs

QAM = Task(
    name="qam",
    summary="passages that answer a question, 3 languages (XGLUE)",
    kind="pair",
    metric="accuracy",
    labels=("0", "1"),
    aliases={"false": "0", "true": "1"},
    languages=("de", "en", "fr"),
    layouts=(xglue_pairs("qam", "first", "second", "label"),),
)
