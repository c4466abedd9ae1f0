"""STS 2022 (Chen et al. 2022, SemEval task 8): similarity of news articles, 1 to 4; the pairs of one language.

Files of one's own are sts22-test-en.tsv: two texts and the score. Pairs of two languages (de-en) are not read.
"""

from __future__ import annotations

from data_prep.tasks.task import Hub, Task, prefixed_scores

STS22 = Task(
    name="sts22",
    summary="similarity of news articles, 10 languages",
    kind="regression",
    metric="spearman",
    further_metrics=("pearson",),
    labels=(),
    score_range=(1.0, 4.0),
    languages=("ar", "de", "en", "es", "fr", "it", "pl", "ru", "tr", "zh"),
    layouts=(prefixed_scores("sts22"),),
    hub=Hub(repo="mteb/sts22-crosslingual-sts", config="{language}", splits={"test": "test"},
            columns={"first": "sentence1", "second": "sentence2", "score": "score"}),
)
