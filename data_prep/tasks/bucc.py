"""BUCC 2018 (Zweigenbaum et al. 2018): translation pairs to be mined from two corpora, a language and English.

Splits are XTREME's: its dev set is the publisher's sample, its test set the publisher's training set.
"""

from __future__ import annotations

from data_prep.tasks.task import Layout, Task

BUCC = Task(
    name="bucc",
    summary="mining of translation pairs, a language and English",
    kind="retrieval",
    metric="mined_pair_f1",
    labels=(),
    languages=("de", "fr", "ru", "zh"),
    layouts=(
        Layout(r"(?:bucc2018/)?(?:[a-z]{2}-en/)?(?P<language>[a-z]{2})-en\.(?P<split>sample|training|dev|test)\."
               r"(?:(?P=language)|en|gold)", "de-en.dev.de",
               splits={"sample": "dev", "training": "test", "dev": "dev", "test": "test"},
               format="identified_lines", columns={}, parts=("{language}", "en", "gold")),
    ),
)
