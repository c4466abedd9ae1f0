"""Exact match: share of questions whose predicted text is one of the gold answers, after normalisation.

Definition: texts are normalised as in SQuAD (`exact_match`, and `squad2_exact_match`, where answers that are blank once
normalised count only if there is no other) or as in MLQA (`mlqa_exact_match`), see `trainer.metrics.answers`. Units:
fraction, 0 to 1. Source: the evaluation scripts of SQuAD 1.1 (Rajpurkar et al. 2016, arXiv 1606.05250), SQuAD 2.0
(Rajpurkar et al. 2018, arXiv 1806.03822) and MLQA (Lewis et al. 2020, arXiv 1910.07475).
"""

from __future__ import annotations

from trainer.metrics import accuracy
from trainer.metrics.answers import best_of, exact, mlqa, squad
from trainer.metrics.metric import Metric

EXACT_MATCH = Metric("exact_match", higher_is_better=True, unit="%", digits=1, counts=best_of(exact, squad),
                     value=accuracy.value)
SQUAD2_EXACT_MATCH = Metric(
    "squad2_exact_match", higher_is_better=True, unit="%", digits=1, counts=best_of(exact, squad, blank_counts=False),
    value=accuracy.value)
MLQA_EXACT_MATCH = Metric(
    "mlqa_exact_match", higher_is_better=True, unit="%", digits=1, counts=best_of(exact, mlqa), value=accuracy.value)
