"""UDPOS (Universal Dependencies 2.5 in XTREME, 2.7 in XTREME-R; Hu et al. 2020): universal part-of-speech tags.

XTREME calls the score accuracy, but computes `seqeval_f1`, which is lower; `tag_accuracy` is the share of right words.
"""

from __future__ import annotations

from data_prep.tasks.tags import UPOS, XTREME_TAGS
from data_prep.tasks.task import Layout, Task

UDPOS = Task(
    name="udpos",
    summary="part-of-speech tags, 33 languages (XTREME-R: 38)",
    kind="tagging",
    metric="seqeval_f1",
    further_metrics=("tag_accuracy",),
    labels=UPOS,
    languages=("af", "ar", "bg", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id", "it",
               "ja", "kk", "ko", "lt", "mr", "nl", "pl", "pt", "ro", "ru", "ta", "te", "th", "tl", "tr", "uk", "ur",
               "vi", "wo", "yo", "zh"),
    layouts=(
        XTREME_TAGS,
        # a treebank as published: two of one language need folders of their own
        Layout(r"(?:[^/]+/)?(?P<language>[a-z]{2,3})_[a-z0-9]+-ud-(?P<split>train|dev|test)\.conllu",
               "hu_szeged-ud-test.conllu", format="conllu", columns={"words": 1, "tags": 3}),
    ),
)
