"""Methods section of every report: formulas and sources of its numbers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from trainer.metrics import METRICS


def method_lines(metrics: Sequence[str]) -> list[str]:
    """Lines of "How these numbers were made"; the definitions of `metrics` are those of their files."""
    return [
        *map(_definition, metrics),
        "Mean and ±: over the runs of a label that differ in their seed, s = √(Σ(x − x̄)² / (n − 1)). With one seed "
        "there is no deviation, and none is shown.",
        "An average over languages is unweighted, taken per seed, then over seeds, and only over languages that every "
        "run has. The transfer gap is the source language minus the language (Hu et al. 2020, XTREME, arXiv "
        "2003.11080).",
        "Each run's checkpoint is the best of those eligible on the dev cell that the table of runs names. A choice on "
        "the source language says little about other languages (Keung et al. 2020, EMNLP), hence the oracle rows where "
        "they exist.",
        "Differences: dᵢ = right(other, i) − right(base, i) on the same example i, runs of equal seed form pairs; for "
        "metrics that are no share of examples, the difference of the contributions of i, the score plus the "
        "influence of i (infinitesimal jackknife, Efron 1982). Test examples and seeds are crossed random effects: an "
        "example counts as one in all languages and seeds, because rows with one key are one sentence in parallel "
        "test sets, and examples with one first text (the three hypotheses of a premise in XNLI) count as one group; "
        "a seed's luck counts as one in all languages. The variance of a mean difference is a seed part s² / S, from "
        "the S differences per seed, with S − 1 degrees of freedom, and an example part, from the influence of single "
        "groups of examples.",
        "Intervals: 95 %, of half-width √(t²(S − 1) · seed part + t² · example part) (Banerjee 1961, Sankhyā A 23), "
        "which hold at least as often as stated whichever part is larger. They cover the choice of test examples and "
        "the luck of training. With fewer than 3 seeds they cover the test examples only, and nothing is said of a "
        "method.",
        "p is two-sided: the level at which the interval touches zero.",
        "Holm's correction (Holm 1979, Scand. J. Statist. 6, 65–70): the k-th smallest of m p-values is multiplied by "
        "m − k + 1, made non-decreasing, cut at 1. A mean is corrected for the labels compared with the base in its "
        "task, split and setting, and a later mean of a label is claimed only where the first is; a single language or "
        "pair is corrected for these labels and all languages or pairs. Gain or loss: below 0.05. So equal methods are "
        "called different in at most 5 % of cases by their means, and in at most 5 % by any single language, per task, "
        "split and setting, at 3 to 20 seeds (simulated by python -m trainer bench claims); these families are not "
        "corrected for each other.",
        "Power: the true difference that a test with as many seeds and examples finds in 80 % of studies, after the "
        "correction for labels, if the variances are as estimated here; from few seeds that estimate is rough.",
        "Generalized setting (Huang et al. 2021, arXiv 2104.08645): premise and hypothesis of one id from two "
        "languages; an id that is absent in one of them, or labelled differently, is left out.",
    ]


def _definition(name: str) -> str:
    metric = METRICS[name]
    definition = (inspect.getdoc(inspect.getmodule(metric.counts)) or name).split("\n\n")[0].rstrip(".")
    in_units = ", in percent" if metric.is_fraction else ", times 100" if metric.factor == 100 else ""
    return (f"{definition}{in_units}; "
            f"{'higher' if metric.higher_is_better else 'lower'} is better.")
