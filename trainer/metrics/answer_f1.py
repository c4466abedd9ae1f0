"""Answer F1: overlap of tokens between the predicted text and the gold answer that it is nearest to, mean of questions.

Definition: F1 of precision and recall of tokens, as bags; the best over a question's gold answers. Tokens are words of
the texts normalised as in SQuAD (`answer_f1`; `squad2_f1`, where no answer is right if there is none) or as in MLQA
(`mlqa_f1`), see `trainer.metrics.answers`. Units: fraction, 0 to 1. Source: the evaluation scripts of SQuAD 1.1
(Rajpurkar et al. 2016, arXiv 1606.05250), SQuAD 2.0 (Rajpurkar et al. 2018, arXiv 1806.03822) and MLQA (Lewis et al.
2020, arXiv 1910.07475).
"""

from __future__ import annotations

from trainer.metrics import accuracy
from trainer.metrics.answers import best_of, mlqa, overlap, overlap_or_none, squad
from trainer.metrics.metric import Metric

ANSWER_F1 = Metric("answer_f1", higher_is_better=True, unit="%", digits=1, counts=best_of(overlap, squad),
                   value=accuracy.value)
SQUAD2_F1 = Metric(
    "squad2_f1", higher_is_better=True, unit="%", digits=1,
    counts=best_of(overlap_or_none, squad, blank_counts=False), value=accuracy.value)
MLQA_F1 = Metric(
    "mlqa_f1", higher_is_better=True, unit="%", digits=1, counts=best_of(overlap, mlqa), value=accuracy.value)
