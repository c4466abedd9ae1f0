"""STS Benchmark (Cer et al. 2017): similarity of sentences, 0 to 5, and its machine translations (stsb-multi-mt).

The translations are those of all splits, so that training on them is translate-train. Files of stsb-multi-mt are csv
without a header; GLUE's have one and more columns, and no score in test.
"""

from __future__ import annotations

from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task

STSB = Task(
    name="stsb",
    summary="semantic similarity, English and translations into 10 languages",
    kind="regression",
    metric="spearman",
    further_metrics=("pearson",),
    labels=(),
    score_range=(0.0, 5.0),
    languages=("de", "en", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "zh"),
    parallel=("train", "dev", "test"),
    layouts=(
        Layout(rf"(?:data/)?stsb-{LANGUAGE}-(?P<split>train|dev|test)\.csv", "stsb-en-train.csv", format="csv",
               columns={"first": 0, "second": 1, "score": 2}),
        # GLUE's copy, which has no scores in test
        Layout(r"(?:STS-B/)?(?P<split>train|dev|test)\.tsv", "STS-B/train.tsv", language="en", header=True,
               columns={"first": ("sentence1",), "second": ("sentence2",), "score": ("score",)}),
    ),
    hub=Hub(repo="PhilipMay/stsb_multi_mt", config="{language}",
            splits={"train": "train", "dev": "dev", "test": "test"},
            columns={"first": "sentence1", "second": "sentence2", "score": "similarity_score"}),
)
