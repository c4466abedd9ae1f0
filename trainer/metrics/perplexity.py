"""Perplexity: exp of the mean negative log-likelihood per predicted token.

Definition: natural logarithm; for masked language modelling, over the masked tokens. Units: tokens, from 1 upwards,
lower is better; comparable between models with the same tokenizer only. Source: Jelinek et al. 1977, "Perplexity: a
measure of the difficulty of speech recognition tasks"; for masked models, Devlin et al. 2019, arXiv 1810.04805.
"""

from __future__ import annotations

import math

import numpy as np

from trainer.metrics.metric import Floats, Metric, Values


def counts(nats: Values, tokens: Values) -> Floats:
    """(N, 2): summed negative log-likelihood in nats, and number of predicted tokens."""
    return np.stack((np.asarray(nats, dtype=float), np.asarray(tokens, dtype=float)), axis=1)


def value(total_S: Floats, examples: int) -> float:
    """Perplexity; infinite for a diverged model (NaN) and where it exceeds a float, 1 where no token was predicted."""
    mean = float(total_S[0]) / max(1.0, float(total_S[1]))
    # max() would turn NaN into 0, the perplexity of a perfect model.
    return math.inf if math.isnan(mean) or mean > math.log(np.finfo(float).max) else math.exp(max(0.0, mean))


def gradient(total_S: Floats, examples: int) -> Floats:
    """(2,): `examples` times the partial derivatives of `value`."""
    tokens = max(1.0, float(total_S[1]))
    return value(total_S, examples) * examples / tokens * np.array([1.0, -total_S[0] / tokens])


PERPLEXITY = Metric("perplexity", higher_is_better=False, unit="", digits=2, counts=counts, value=value,
                    gradient=gradient, largest_count=math.inf)
