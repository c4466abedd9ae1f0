"""XGLUE query-advertisement matching (Liang et al. 2020, arXiv 2004.01401): is an advertisement relevant to a query."""

from __future__ import annotations

from data_prep.tasks.task import Task
from data_prep.tasks.xglue_pairs import title_and_text, xglue_pairs

QADSM = Task(
    name="qadsm",
    summary="relevance of advertisements to queries, 3 languages (XGLUE)",
    kind="pair",
    metric="accuracy",
    labels=("Bad", "Good"),
    aliases={"0": "Bad", "1": "Good"},
    languages=("de", "en", "fr"),
    layouts=(xglue_pairs("qadsm", "first", "title", "text", "label"),),
    adapt=title_and_text,
)
