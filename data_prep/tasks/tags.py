"""Tag sets and layouts that tagging tasks share."""

from __future__ import annotations

from data_prep.tasks.task import LANGUAGE, Layout

UPOS = ("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
        "SYM", "VERB", "X")
"""Universal part-of-speech tags, version 2."""
COLUMNS = {"words": 0, "tags": 1}
# XTREME's files do not tell udpos and panx apart by their names, but by their tags
XTREME_TAGS = Layout(rf"(?P<split>train|dev|test)-{LANGUAGE}\.tsv", "train-en.tsv", format="conll_tab", columns=COLUMNS)


def iob(*types: str) -> tuple[str, ...]:
    """O, and B and I of each type of entity."""
    return ("O", *(f"{position}-{name}" for name in types for position in "BI"))


def xglue_tags(folder: str) -> Layout:
    """XGLUE's files `en.train`, `de.dev`: a space between word and tag."""
    return Layout(rf"(?:{folder}/)?{LANGUAGE}\.(?P<split>train|dev|test)", f"{folder}/en.train", format="conll_space",
                  columns=COLUMNS)
