"""MasakhaNER 2.0 (Adelani et al. 2022, arXiv 2210.12391): named entities in 20 African languages, no English."""

from __future__ import annotations

from data_prep.tasks.tags import COLUMNS, iob
from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task

MASAKHANER2 = Task(
    name="masakhaner2",
    summary="named entities, 20 African languages",
    kind="tagging",
    metric="span_f1",
    labels=iob("PER", "ORG", "LOC", "DATE"),
    languages=("bam", "bbj", "ewe", "fon", "hau", "ibo", "kin", "lug", "luo", "mos", "nya", "pcm", "sna", "swa", "tsn",
               "twi", "wol", "xho", "yor", "zul"),
    layouts=(
        Layout(rf"(?:data/)?{LANGUAGE}/(?P<split>train|dev|test)\.txt", "hau/train.txt", format="conll_space",
               columns=COLUMNS),
    ),
    # the main branch is a script; names of columns and splits are those of MasakhaNER 1, not confirmed
    hub=Hub(repo="masakhane/masakhaner2", config="{language}", revision="refs/convert/parquet",
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"words": "tokens", "tags": "ner_tags"}),
)
