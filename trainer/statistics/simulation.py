"""Simulated studies: rate of false claims of equal methods, and power.

A study has L methods and a base, S seeds each, C languages that share N parallel test items. Whether a run gets item i
right in language c follows a probit model with crossed random effects,

    score = ability + item_i + item_ci + method_mi + method_mg + luck_ms + luck_msc + residual_msi + noise > 0

item: difficulty common to all; method_mi, method_mg: interaction of methods of equal accuracy with items, and with
groups of three items that share a premise; luck: of a run (half of its variance is common to all languages), its
standard deviation is given in points of accuracy of one run and language; residual: interaction of run and item.
Claims are made by the code of reports (`differences`, Holm's correction over methods, and over methods and languages):
means over languages, single languages, and the slope of the difference against the distance of the languages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from trainer.statistics.differences import Interval, corrected, corrected_means, paired_differences, slope_weights

ACCURACY = 0.75
ITEM, ITEM_LANGUAGE, ITEM_RUN = 1.0, 0.5, 0.3  # standard deviations, of the probit noise
ITEM_METHOD, GROUP_METHOD = 0.3, 0.3
GROUP = 3  # items, as XNLI has hypotheses to a premise


@dataclass(frozen=True)
class Setting:
    """Parameters of a study. `luck`, `gain` and `slope` in points of accuracy; the gain of all methods is equal.

    slope: what is added to the gain of the farthest language; in between it grows with distance, in even steps.
    """

    seeds: int
    languages: int
    items: int
    luck: float
    methods: int = 1
    gain: float = 0.0
    slope: float = 0.0

    @property
    def distances(self) -> npt.NDArray[np.float64]:
        """(C,) from 0, the source language, to 1."""
        return np.linspace(0.0, 1.0, self.languages) if self.languages > 1 else np.zeros(1)


@dataclass(frozen=True)
class Claims:
    """Numbers of simulated studies with at least one claim on a mean, on a single language, and on a slope."""

    studies: int
    mean: int
    language: int
    slope: int = 0


def count_claims(setting: Setting, studies: int, seed: int = 0) -> Claims:
    """Simulate `studies` studies and count those with claims, which are false where `gain` and `slope` are zero.

    Means are over all languages and over all but the first, as in a report; a claim on either counts. Slopes are over
    all languages but the first.
    """
    rng = np.random.default_rng([seed, setting.seeds, setting.languages, setting.items, setting.methods])
    present = np.ones((setting.languages, setting.items), dtype=np.bool_)
    groups = np.arange(setting.items) // GROUP
    every = list(range(setting.languages))
    means = [every] if len(every) == 1 else [every, every[1:]]
    contrasts = [[0.0, *slope_weights(setting.distances[1:])]] if setting.languages > 2 else []
    counts = np.zeros(3, dtype=np.int64)
    for _ in range(studies):
        base, *others = _study(rng, setting)
        found = [paired_differences(other.astype(np.int8) - base.astype(np.int8), present, means, contrasts=contrasts,
                                    groups_N=groups) for other in others]
        over_means = corrected_means([one.means for one in found])
        counts += [_any_claimed([i for intervals in over_means for i in intervals]),
                   _any_claimed(corrected([i for one in found for i in one.cells])),
                   _any_claimed(corrected([i for one in found for i in one.contrasts]))]
    return Claims(studies, *map(int, counts))


def upper_limit(count: int, of: int, confidence: float = 0.95) -> float:
    """One-sided upper confidence limit of a share (Clopper and Pearson 1934)."""
    return float(special.betaincinv(count + 1, of - count, confidence)) if count < of else 1.0


def _any_claimed(intervals: Sequence[Interval]) -> bool:
    return any(interval.claimed for interval in intervals)


def _study(rng: np.random.Generator, setting: Setting) -> list[npt.NDArray[np.bool_]]:
    """(S, C, N) correctness of the base and of each method."""
    seeds, languages, items = setting.seeds, setting.languages, setting.items
    total = float(np.sqrt(1 + ITEM**2 + ITEM_LANGUAGE**2 + ITEM_METHOD**2 + GROUP_METHOD**2 + ITEM_RUN**2))
    ability = float(special.ndtri(ACCURACY))
    density = math.exp(-ability**2 / 2) / math.sqrt(2 * math.pi)
    point = total / density / 100  # of score, for one point of accuracy

    def normal(*shape: int, scale: float = 1.0) -> npt.NDArray[np.float32]:
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)

    hardness_CN = normal(items, scale=ITEM) + normal(languages, items, scale=ITEM_LANGUAGE)
    outcomes = []
    for method in range(1 + setting.methods):
        own_CN = hardness_CN + normal(items, scale=ITEM_METHOD)
        own_CN += np.repeat(normal(-(-items // GROUP), scale=GROUP_METHOD), GROUP)[:items]
        luck_SC = (normal(seeds, 1) + normal(seeds, languages)) * np.float32(setting.luck * point / np.sqrt(2))
        gain_C = (setting.gain + setting.slope * setting.distances) * point * bool(method)
        level_SC = luck_SC + (ability * total + gain_C).astype(np.float32)
        score_SCN = normal(seeds, languages, items)
        score_SCN += own_CN
        score_SCN += normal(seeds, 1, items, scale=ITEM_RUN)
        score_SCN += level_SC[:, :, None]
        outcomes.append(score_SCN > 0)
    return outcomes
