"""Summary of measurements per example: means, shares, bins of equal size.

Inputs: `Measured` of one language. Output: the measured fields of a `DiagnosticRow`.
Shapes: N examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.diagnose.measure import Floats, Measured, Noise
from trainer.results.diagnostics import DistanceBin, NoisePoint, Place

BINS = 5


def measured_fields(found: Measured, norms: tuple[float, float], noise: Noise | None) -> dict[str, Any]:
    """Fields n, site, last, inside, inside_sentences, accuracy, bins and noise of a row.

    norms: mean English token norms at the site and the last layer. Examples without a content token on either side
    are left out; where none is left, n is 0 and site and last are absent.
    """
    whole = np.isfinite(found.site).all(axis=1) & np.isfinite(found.last).all(axis=1)
    fields: dict[str, Any] = {"n": int(whole.sum()), "inside": None, "inside_sentences": None, "accuracy": None,
                              "bins": None, "noise": None}
    if not whole.any():
        return fields
    fields |= {"site": place(found.site[whole], norms[0]), "last": place(found.last[whole], norms[1])}
    if found.inside is not None:
        balls, of, sentence = found.inside[whole].sum(axis=0)
        fields |= {"inside": balls / of, "inside_sentences": sentence / int(whole.sum())}
    if found.right is not None and found.right_under_noise is not None and noise is not None:
        under_noise = found.right_under_noise[whole].mean(axis=0)
        fields |= {
            "accuracy": float(found.right[whole].mean()),
            "bins": bins(found.site[whole, 1] / norms[0], found.right[whole]),
            "noise": [NoisePoint(scale=scale, accuracy=float(value))
                      for scale, value in zip(noise.scales, under_noise, strict=True)]}
    return fields


def place(columns_N3: Floats, english_norm: float) -> Place:
    """Means over sentences of token distance, sentence distance and cosine."""
    token, sentence, cosine = (float(value) for value in columns_N3.mean(axis=0))
    return Place(english_norm=english_norm, token=token, sentence=sentence, cosine=cosine,
                 token_relative=token / english_norm, sentence_relative=sentence / english_norm)


def bins(distance_N: Floats, right_N: Floats, count: int = BINS) -> list[DistanceBin] | None:
    """Accuracy in `count` groups of sentences by distance, of equal size up to the remainder.

    None for fewer sentences than groups, and where all distances are equal, as for English.
    """
    if len(distance_N) < count or not np.ptp(distance_N):
        return None
    order: npt.NDArray[np.int64] = np.argsort(distance_N, kind="stable")
    return [DistanceBin(distance=float(distance_N[part].mean()), accuracy=float(right_N[part].mean()), n=len(part))
            for part in np.array_split(order, count)]
