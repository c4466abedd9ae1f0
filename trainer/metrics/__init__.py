"""Metrics by the name that a cell's manifest carries. To add one: a file here and a line in METRICS."""

from __future__ import annotations

from trainer.metrics.accuracy import ACCURACY
from trainer.metrics.answer_f1 import ANSWER_F1, MLQA_F1, SQUAD2_F1
from trainer.metrics.backward_accuracy import BACKWARD_ACCURACY
from trainer.metrics.exact_match import EXACT_MATCH, MLQA_EXACT_MATCH, SQUAD2_EXACT_MATCH
from trainer.metrics.f1 import F1
from trainer.metrics.mean_average_precision import MEAN_AVERAGE_PRECISION, MEAN_AVERAGE_PRECISION_20
from trainer.metrics.metric import Metric
from trainer.metrics.mined_pair_f1 import MINED_PAIR_F1
from trainer.metrics.ndcg import NDCG
from trainer.metrics.pearson import PEARSON
from trainer.metrics.perplexity import PERPLEXITY
from trainer.metrics.seqeval_f1 import SEQEVAL_F1
from trainer.metrics.span_f1 import SPAN_F1
from trainer.metrics.spearman import SPEARMAN
from trainer.metrics.tag_accuracy import TAG_ACCURACY

METRICS: dict[str, Metric] = {
    "accuracy": ACCURACY,
    "answer_f1": ANSWER_F1,
    "backward_accuracy": BACKWARD_ACCURACY,
    "exact_match": EXACT_MATCH,
    "mlqa_f1": MLQA_F1,
    "mlqa_exact_match": MLQA_EXACT_MATCH,
    "squad2_f1": SQUAD2_F1,
    "squad2_exact_match": SQUAD2_EXACT_MATCH,
    "f1": F1,
    "mean_average_precision": MEAN_AVERAGE_PRECISION,
    "mean_average_precision_20": MEAN_AVERAGE_PRECISION_20,
    "mined_pair_f1": MINED_PAIR_F1,
    "ndcg": NDCG,
    "pearson": PEARSON,
    "perplexity": PERPLEXITY,
    "seqeval_f1": SEQEVAL_F1,
    "span_f1": SPAN_F1,
    "tag_accuracy": TAG_ACCURACY,
    "spearman": SPEARMAN,
}

__all__ = ["METRICS", "Metric"]
