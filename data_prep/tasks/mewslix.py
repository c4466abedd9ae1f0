"""Mewsli-X (Ruder et al. 2021, arXiv 2104.07412): descriptions of entities in 50 languages for mentions in 11.

The candidates, which all languages and splits share, are a cell of their own, `mewslix/test/mul`. File names and fields
are those of XTREME-R's scripts. The copy on the hub, izhx/mewsli-x, holds texts in a format of its own (not confirmed),
and in `raw.tar.gz` the publisher's files.
"""

from __future__ import annotations

from data_prep.tasks.task import LANGUAGE, Layout, Task

MEWSLIX = Task(
    name="mewslix",
    summary="entity linking as retrieval from a multilingual pool",
    kind="retrieval",
    metric="mean_average_precision_20",
    labels=(),
    languages=("ar", "de", "en", "es", "fa", "ja", "mul", "pl", "ro", "ta", "tr", "uk"),
    layouts=(
        Layout(rf"(?:wikinews_mentions/)?(?P<split>dev|test)-{LANGUAGE}\.jsonl", "wikinews_mentions/test-de.jsonl",
               format="entity_mentions", columns={}),
        Layout(r"candidate_set_entities\.jsonl", "candidate_set_entities.jsonl", split="test", language="mul",
               format="entity_mentions", columns={}),
    ),
)
