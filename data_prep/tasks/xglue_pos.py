"""XGLUE POS (Liang et al. 2020, arXiv 2004.01401): universal part-of-speech tags, scored by accuracy."""

from __future__ import annotations

from data_prep.tasks.tags import UPOS, xglue_tags
from data_prep.tasks.task import Task

XGLUE_POS = Task(
    name="xglue_pos",
    summary="part-of-speech tags, 18 languages (XGLUE)",
    kind="tagging",
    metric="tag_accuracy",
    labels=UPOS,
    languages=("ar", "bg", "de", "el", "en", "es", "fr", "hi", "it", "nl", "pl", "pt", "ru", "th", "tr", "ur", "vi",
               "zh"),
    layouts=(xglue_tags("POS"),),
)
