"""XGLUE news classification (Liang et al. 2020, arXiv 2004.01401): title and body of an article, ten categories."""

from __future__ import annotations

from data_prep.tasks.task import Task
from data_prep.tasks.xglue_pairs import xglue_pairs

NC = Task(
    name="nc",
    summary="news classification, 5 languages (XGLUE)",
    kind="pair",
    metric="accuracy",
    labels=("foodanddrink", "sports", "travel", "finance", "lifestyle", "news", "entertainment", "health", "video",
            "autos"),
    languages=("de", "en", "es", "fr", "ru"),
    layouts=(xglue_pairs("nc", "first", "second", "label"),),
)
