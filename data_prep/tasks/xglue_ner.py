"""XGLUE NER (Liang et al. 2020, arXiv 2004.01401): the named entities of CoNLL 2002 and 2003."""

from __future__ import annotations

from data_prep.tasks.tags import iob, xglue_tags
from data_prep.tasks.task import Task

XGLUE_NER = Task(
    name="xglue_ner",
    summary="named entities, 4 languages (XGLUE)",
    kind="tagging",
    metric="span_f1",
    labels=iob("PER", "ORG", "LOC", "MISC"),
    languages=("de", "en", "es", "nl"),
    layouts=(xglue_tags("NER"),),
)
