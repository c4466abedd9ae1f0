"""STS 2017 (Cer et al. 2017, arXiv 1708.00055): similarity, 0 to 5, test only; the pairs of one language.

Files of one's own are sts17-test-en.tsv: two texts and the score. Pairs of two languages (en-de) are not read.
"""

from __future__ import annotations

from data_prep.tasks.task import Hub, Task, prefixed_scores

STS17 = Task(
    name="sts17",
    summary="semantic similarity, 4 languages",
    kind="regression",
    metric="spearman",
    further_metrics=("pearson",),
    labels=(),
    score_range=(0.0, 5.0),
    languages=("ar", "en", "es", "ko"),
    layouts=(prefixed_scores("sts17"),),
    hub=Hub(repo="mteb/sts17-crosslingual-sts", config="{language}-{language}", splits={"test": "test"},
            columns={"first": "sentence1", "second": "sentence2", "score": "score"}),
)
