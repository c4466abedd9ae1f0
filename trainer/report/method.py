"""How the numbers of a report are made, in words, with formulas and sources: a section of every report."""

from __future__ import annotations


def method_lines(samples: int) -> list[str]:
    """The lines of "How these numbers were made"; `samples`: bootstrap resamples."""
    return [
        "Accuracy is the share of examples whose predicted label is right, in percent. Perplexity is exp of the mean "
        "negative log-likelihood of the masked tokens; lower is better.",
        "Mean and ±: over the runs of a label that differ in their seed, s = √(Σ(x − x̄)² / (n − 1)). With one seed "
        "there is no deviation, and none is shown.",
        "An average over languages is unweighted, taken per seed, then over seeds, and only over languages that every "
        "run has. The transfer gap is the source language minus the language (Hu et al. 2020, XTREME, arXiv "
        "2003.11080).",
        "Checkpoints are chosen on the source language's dev set, as zero-shot transfer requires. That choice says "
        "little about other languages (Keung et al. 2020, EMNLP), hence the oracle rows where they exist.",
        f"Intervals: paired bootstrap (Koehn 2004, EMNLP) with {samples:,} resamples and a fixed random seed. "
        "dᵢ = right(other, i) − right(base, i) on the same example i. Each resample draws as many example ids as there "
        "are, with replacement, and uses them in all languages and seeds at once, because rows with one id are one "
        "sentence in parallel test sets. The interval runs from the 2.5th to the 97.5th percentile of the resampled "
        "mean differences.",
        "Several seeds: runs of equal seed form pairs, and each resample also draws as many pairs as there are, with "
        "replacement, so that the interval covers the luck of training too. With few seeds it understates that part: "
        "the resampled variance of a mean of n is (n − 1)/n of the true one.",
        "p is two-sided: 2 · (1 + the smaller of the counts of resamples ≤ 0 and ≥ 0) / (1 + resamples), at most 1.",
        "Holm's correction (Holm 1979, Scand. J. Statist. 6, 65–70) is over the languages of one comparison: the k-th "
        "smallest of m p-values is multiplied by m − k + 1, made non-decreasing, cut at 1. A language is called a gain "
        "or a loss below 0.05; a mean, where its interval excludes zero. Nothing is corrected for comparing several "
        "labels.",
        "Generalized setting (Huang et al. 2021, arXiv 2104.08645): premise and hypothesis of one id from two "
        "languages; an id that is absent in one of them, or labelled differently, is left out.",
    ]
