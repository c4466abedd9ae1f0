"""XGLUE web page ranking (Liang et al. 2020, arXiv 2004.01401): pages of a query by relevance, 0 to 4."""

from __future__ import annotations

from data_prep.tasks.task import Task
from data_prep.tasks.xglue_pairs import title_and_text, xglue_pairs

WPR = Task(
    name="wpr",
    summary="ranking of web pages for a query, 7 languages (XGLUE)",
    kind="ranking",
    metric="ndcg",
    labels=(),
    score_range=(0.0, 4.0),
    languages=("de", "en", "es", "fr", "it", "pt", "zh"),
    layouts=(xglue_pairs("wpr", "first", "title", "text", "score"),),
    adapt=title_and_text,
)
