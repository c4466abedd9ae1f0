"""Perplexity: how many equally likely tokens the model hesitates between, on average.

Definition: exp of the mean negative log-likelihood (natural logarithm) of the predicted tokens; for masked language
modelling, of the masked ones. Units: tokens, from 1 (certain and right) upwards; lower is better. It depends on the
vocabulary, so only models with one tokenizer may be compared. Source: Jelinek et al. 1977, "Perplexity: a measure of
the difficulty of speech recognition tasks"; for masked models, Devlin et al. 2019, arXiv 1810.04805.
"""

from __future__ import annotations

import math


def perplexity(mean_nll: float) -> float:
    """Perplexity from the mean negative log-likelihood per token, in nats.

    Raises ValueError for a mean that is negative or not a number; one beyond about 709 overflows to infinity.
    """
    if math.isnan(mean_nll) or mean_nll < 0:
        raise ValueError(f"a mean negative log-likelihood is not negative, found {mean_nll}")
    try:
        return math.exp(mean_nll)
    except OverflowError:
        return math.inf
