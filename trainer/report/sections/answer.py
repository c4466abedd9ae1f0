"""Answer of a report or a study: one sentence with its uncertainty, and the sentences that belong to it.

A difference is claimed only where it covers the luck of training (at least 3 independent seeds) and is significant
after Holm's correction over the comparisons that are answered together.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.data.compare import Comparison
from trainer.results.numbers import Scale, counted, listed, scale_of
from trainer.statistics.differences import SEEDS_FOR_CLAIMS

MOST_NAMED = 6


def headline(metric: str, title: str, comparisons: Sequence[Comparison], subject: str) -> str:
    """One short sentence on `comparisons` in the task and split `title`; subject: what they are of, "the methods"."""
    scale, covered = scale_of(metric), [c for c in comparisons if c.covers_training]
    where = f"in {mean_name(scale, title, comparisons[0])}"
    if not covered:
        return f"Nothing can be said of {subject} yet: {_why(comparisons)}."
    ordered = sorted((c for c in covered if c.main[1].claimed),
                     key=lambda c: -scale.metric.sign * c.main[1].estimate)
    base = listed(list(dict.fromkeys(c.base for c in covered))) if len({c.base for c in covered}) == 1 else "their base"
    if not ordered:
        return f"No difference to {base} can be claimed {where}, with {_seeds(covered)}."
    gains = [c for c in ordered if scale.is_gain(c.main[1].estimate)]
    parts = [f"{_named(scale, members)} {verb if len(members) == 1 else plural}"
             for members, verb, plural in ((gains, "gains", "gain"),
                                           ([c for c in ordered if c not in gains], "loses", "lose")) if members]
    return f"{' and '.join(parts)} against {base} {where}, with {_seeds(covered)}."


def _named(scale: Scale, comparisons: Sequence[Comparison]) -> str:
    """Labels with their changes, the unit once."""
    shown = comparisons[:MOST_NAMED]
    names = [f"{c.other} ({f'{scale.signed(c.main[1].estimate)} {scale.step if c is shown[0] else str()}'.strip()})"
             for c in shown]
    more = len(comparisons) - len(shown)
    return listed([*names, *([f"{more} more"] if more else [])])


def sentences(metric: str, title: str, comparisons: Sequence[Comparison], subject: str) -> list[str]:
    """The whole answer on `comparisons`, see `headline`: changes, intervals, power, and what cannot be claimed."""
    scale = scale_of(metric)
    family = f" after Holm's correction for {len(comparisons)} comparisons" if len(comparisons) > 1 else ""
    claimed = [c for c in comparisons if c.main[1].claimed]
    covered = [c for c in comparisons if c.covers_training]
    where = f"in {mean_name(scale, title, comparisons[0])}"
    largest = max(covered or comparisons, key=lambda c: abs(c.main[1].estimate))
    if not covered:
        return [f"Nothing can be said of {subject} yet: {_why(comparisons)}.",
                f"On these runs, {_change(scale, largest)} {where}; this interval covers the choice of test examples "
                "only."]
    if not claimed:
        power = largest.main[1].detectable
        able = [f"Studies like this one find a true difference of {scale.size(power)} in 80 % of cases."
                ] if power is not None else []
        first = ([f"No difference can be claimed with {_seeds(covered)}{family}.",
                  f"The largest: {_change(scale, largest)} {where}."] if len(covered) > 1 else
                 [f"No difference can be claimed with {_seeds(covered)}{family}: {_change(scale, largest)} {where}."])
        return [*first, *able, *_uncovered(comparisons)]
    ordered = sorted(claimed, key=lambda c: -scale.metric.sign * c.main[1].estimate)
    parts = [_change(scale, c, verb=True) for c in ordered[:MOST_NAMED]]
    more = f" and {len(ordered) - MOST_NAMED} more differ" if len(ordered) > MOST_NAMED else ""
    rest = [c.other for c in covered if c not in claimed]
    unlike = [f"No difference can be claimed for {listed(rest)}."] if rest else []
    said = (f"{parts[0]} {where}, with {_seeds(covered)}{family}" if len(parts) == 1 else
            f"{where[0].upper()}{where[1:]}, with {_seeds(covered)}{family}: {'; '.join(parts)}{more}")
    return [f"{said}.", *unlike, *_uncovered(comparisons)]


def mean_name(scale: Scale, title: str, comparison: Comparison) -> str:
    """The first mean of a comparison in words, with task and split."""
    cells, name = comparison.main[0], next(iter(comparison.means))
    what = f"the mean {scale.name} over {counted(len(cells), 'language')}" if len(cells) > 1 else f"the {scale.name}"
    which = (f" {name.split(' ', 1)[1]}" if not name.startswith("all ") else "") if len(cells) > 1 else (
        f" in {cells[0][0]}")
    return f"{what}{which} ({title})"


def _why(comparisons: Sequence[Comparison]) -> str:
    """Reason why no comparison covers the luck of training."""
    largest = max(comparisons, key=lambda c: abs(c.main[1].estimate))
    few = counted(min(len(c.seeds) for c in comparisons), "seed")
    are = "is" if few == "1 seed" else "are"
    return largest.dependent or f"that takes at least {SEEDS_FOR_CLAIMS} seeds, and there {are} {few}"


def _change(scale: Scale, comparison: Comparison, *, verb: bool = False) -> str:
    interval = comparison.main[1]
    size = f"{scale.signed(interval.estimate)} {scale.step}".rstrip()
    uncorrected = " before the correction" if interval.excludes_zero and not interval.claimed and (
        comparison.covers_training) else ""
    text = f"95 % interval {scale.interval(interval)}{uncorrected}"
    if verb:
        word = "gains" if scale.is_gain(interval.estimate) else "loses"
        return f"{comparison.other} {word} against {comparison.base} ({size}, {text})"
    return f"{comparison.other} differs from {comparison.base} by {size}, {text},"


def _seeds(comparisons: Sequence[Comparison]) -> str:
    counts = sorted({len(c.seeds) for c in comparisons})
    return counted(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def _uncovered(comparisons: Sequence[Comparison]) -> list[str]:
    few = [c for c in comparisons if not c.covers_training]
    return ([f"Nothing can be said of {listed([c.other for c in few])}: {few[0].dependent or 'too few seeds'}."]
            if few else [])
