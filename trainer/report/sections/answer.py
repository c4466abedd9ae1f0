"""Answer of a report or a study: one sentence with its uncertainty, and the sentences that belong to it.

A difference is claimed only where it covers the luck of training (at least 3 independent seeds), is significant after
Holm's correction over the comparisons that are answered together, and where no run of either label is at chance.
Labels are words of the user ("plain", "no intermediate task"): no sentence has one where it could be read as its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.data.compare import Comparison
from trainer.report.data.grid import Grid
from trainer.results.numbers import Scale, counted, listed, listed_names, scale_of
from trainer.statistics.differences import SEEDS_FOR_CLAIMS

MOST_NAMED = 6
CHANCE_ADVICE = ("A run at chance is no better than always naming the most frequent class, sampling error allowed for: "
                 "a difference from it says which training worked, not how well a method transfers. Train it again, "
                 "with another seed or a lower optimizer.lr, and report that it failed.")


def headline(grid: Grid, title: str, comparisons: Sequence[Comparison]) -> str:
    """One or two short sentences on `comparisons` in the task and split `title`."""
    scale, where = scale_of(grid.metric), f"in {mean_name(grid, title, comparisons[0])}"
    sound, chance = _sound(grid, comparisons), _chance_line(grid, comparisons)
    if not sound:
        return f"Nothing can be compared {where}. {chance}"
    covered = [c for c in sound if c.covers_training]
    if not covered:
        return f"Nothing can be said yet: {_why(sound)}. {chance}".strip()
    ordered = sorted((c for c in covered if c.main[1].claimed),
                     key=lambda c: -scale.metric.sign * c.main[1].estimate)
    if not ordered:
        return f"No difference can be claimed {where} {_against(covered)}, with {_seeds(covered)}. {chance}".strip()
    gains = [c for c in ordered if scale.is_gain(c.main[1].estimate)]
    parts = [f"{_named(scale, members)} {verb if len(members) == 1 else plural}"
             for members, verb, plural in ((gains, "gains", "gain"),
                                           ([c for c in ordered if c not in gains], "loses", "lose")) if members]
    return f"{' and '.join(parts)} {where} {_against(ordered)}, with {_seeds(covered)}. {chance}".strip()


def sentences(grid: Grid, title: str, comparisons: Sequence[Comparison]) -> list[str]:
    """The whole answer on `comparisons`, see `headline`: changes, intervals, power, and what cannot be claimed."""
    sound, chance = _sound(grid, comparisons), _chance_line(grid, comparisons)
    at_chance = [chance, CHANCE_ADVICE] if chance else []
    if not sound:
        return [f"Nothing can be compared in {mean_name(grid, title, comparisons[0])}. {chance}", CHANCE_ADVICE]
    scale, what = scale_of(grid.metric), mean_name(grid, title, sound[0])
    claimed = [c for c in sound if c.main[1].claimed]
    covered = [c for c in sound if c.covers_training]
    family = f" after Holm's correction for {sound[0].labels} comparisons" if sound[0].labels > 1 else ""
    largest = max(covered or sound, key=lambda c: abs(c.main[1].estimate))
    change = f"{largest.other} changes {what} by {_size(scale, largest, f' compared with {largest.base}')}"
    if not covered:
        return [f"Nothing can be said yet: {_why(sound)}.",
                f"On these runs: {change}; this interval covers the choice of test examples only.", *at_chance]
    if not claimed:
        power = largest.main[1].detectable
        able = [f"Studies like this one find a true difference of {scale.size(power)} in 80 % of cases."
                ] if power is not None else []
        said = f"No difference can be claimed with {_seeds(covered)}{family}"
        first = [f"{said}.", f"The largest: {change}."] if len(covered) > 1 else [f"{said}: {change}."]
        return [*first, *able, *_uncovered(sound), *at_chance]
    rest = [c.other for c in covered if c not in claimed]
    unlike = [f"No difference can be claimed for {listed_names(rest)}."] if rest else []
    return [_claims(grid, what, claimed, f"with {_seeds(covered)}{family}"), *unlike, *_uncovered(sound), *at_chance]


def _claims(grid: Grid, what: str, claimed: Sequence[Comparison], given: str) -> str:
    """Claimed differences with their intervals, the best first; given: seeds and correction in words."""
    scale, several = scale_of(grid.metric), len({c.base for c in claimed}) > 1
    ordered = sorted(claimed, key=lambda c: -scale.metric.sign * c.main[1].estimate)
    parts = [f"{c.other} {'gains' if scale.is_gain(c.main[1].estimate) else 'loses'} ({_size(scale, c)}"
             f"{f', compared with {c.base}' if several else ''})" for c in ordered[:MOST_NAMED]]
    if len(parts) == 1:
        return f"{parts[0]} in {what} compared with {claimed[0].base}, {given}."
    more = f" and {len(ordered) - MOST_NAMED} more differ" if len(ordered) > MOST_NAMED else ""
    against = "" if several else f" compared with {claimed[0].base}"
    return f"In {what}{against}, {given}: {'; '.join(parts)}{more}."


def chance_seeds(grid: Grid, comparison: Comparison) -> dict[str, str]:
    """Seeds at chance in the first mean in words, by label of `comparison` that has any."""
    found = {label: grid.at_chance(label, comparison.main[0]) for label in (comparison.base, comparison.other)}
    return {label: f"{len(seeds)} of {counted(len(grid.seeds(label)), 'seed')}"
            for label, seeds in found.items() if seeds}


def _sound(grid: Grid, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """`comparisons` without a run at chance."""
    return [c for c in comparisons if not chance_seeds(grid, c)]


def _chance_line(grid: Grid, comparisons: Sequence[Comparison]) -> str:
    """Labels with seeds at chance; empty where there are none."""
    found = {label: seeds for c in comparisons for label, seeds in chance_seeds(grid, c).items()}
    names = listed([f"{label} ({seeds})" for label, seeds in found.items()])
    return f"At chance{', so not compared' if _sound(grid, comparisons) else ''}: {names}." if found else ""


def _against(comparisons: Sequence[Comparison]) -> str:
    bases = {c.base for c in comparisons}
    return f"compared with {next(iter(bases)) if len(bases) == 1 else 'the base of each'}"


def _named(scale: Scale, comparisons: Sequence[Comparison]) -> str:
    """Labels with their changes, the unit once."""
    shown = comparisons[:MOST_NAMED]
    names = [f"{c.other} ({f'{scale.signed(c.main[1].estimate)} {scale.step if c is shown[0] else str()}'.strip()})"
             for c in shown]
    more = len(comparisons) - len(shown)
    return listed([*names, *([f"{more} more"] if more else [])])


def mean_name(grid: Grid, title: str, comparison: Comparison) -> str:
    """The first mean of a comparison in words, with task and split."""
    cells, name, scale = comparison.main[0], next(iter(comparison.means)), scale_of(grid.metric)
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


def _size(scale: Scale, comparison: Comparison, against: str = "") -> str:
    """Change of the first mean, `against` and its interval."""
    interval = comparison.main[1]
    uncorrected = " before the correction" if interval.excludes_zero and not interval.claimed and (
        comparison.covers_training) else ""
    change = f"{scale.signed(interval.estimate)} {scale.step}".rstrip()
    return f"{change}{against}, 95 % interval {scale.interval(interval)}{uncorrected}"


def _seeds(comparisons: Sequence[Comparison]) -> str:
    counts = sorted({len(c.seeds) for c in comparisons})
    return counted(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def _uncovered(comparisons: Sequence[Comparison]) -> list[str]:
    few = [c for c in comparisons if not c.covers_training]
    names = listed_names([c.other for c in few])
    return [f"Nothing can be said yet of {names}: {few[0].dependent or 'too few seeds'}."] if few else []
