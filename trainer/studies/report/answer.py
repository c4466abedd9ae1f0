"""Answer of a study in a sentence with its uncertainty, and the sentences beside it.

A difference is claimed only where it covers the luck of training (at least 3 independent seeds) and is significant
after Holm's correction over all pairs of its comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.data.compare import Comparison
from trainer.results.numbers import Scale, counted, listed, scale_of
from trainer.statistics.differences import SEEDS_FOR_CLAIMS
from trainer.studies.report.design import Design
from trainer.studies.report.distance import Effect
from trainer.studies.report.results import Found, StageResult, TaskResult

MOST_NAMED = 6


def answer(results: Sequence[StageResult]) -> str:
    """The answer, from the study's first comparison in the first task that is no perturbed copy of another."""
    for result in results:
        for task in main_tasks(result):
            for found in task.found[:1]:
                if found.asked == result.design.study.comparisons[0] and found.standard:
                    return sentence(task, found, result.design)
    design = results[0].design if results else None
    asked = design.study.comparisons[0] if design else None
    if design is None or asked is None or not any(result.tasks for result in results):
        return "No answer yet: nothing has been evaluated."
    return (f"No answer yet: no level of {asked.factor} has been evaluated on the same examples and seeds as "
            f"{asked.base}.")


def main_tasks(result: StageResult) -> list[TaskResult]:
    """Tasks, those of perturbed cells (`xnli+noise`) last."""
    return sorted(result.tasks, key=lambda task: "+" in task.section.task)


def sentence(task: TaskResult, found: Found, design: Design) -> str:
    """One comparison in one task."""
    scale, comparisons = scale_of(task.section.metric), found.standard
    family = f" after Holm's correction for {len(comparisons)} comparisons" if len(comparisons) > 1 else ""
    claimed = [c for c in comparisons if c.main[1].claimed]
    covered = [c for c in comparisons if c.covers_training]
    where = f"in {_mean(task, comparisons[0])}"
    largest = max(covered or comparisons, key=lambda c: abs(c.main[1].estimate))
    factor = found.asked.factor.replace("_", " ")
    if not covered:
        few = counted(min(len(c.seeds) for c in comparisons), "seed")
        are = "is" if few == "1 seed" else "are"
        why = largest.dependent or f"that takes at least {SEEDS_FOR_CLAIMS} seeds, and there {are} {few}"
        return (f"Nothing can be said of {factor} yet: {why}. On these runs, {_change(scale, largest)} {where}; this "
                f"interval covers the choice of test examples only.")
    if not claimed:
        power = largest.main[1].detectable
        able = (f" Studies like this one find a true difference of {scale.size(power)} in 80 % of cases."
                if power is not None else "")
        first = ". The largest: " if len(covered) > 1 else ": "
        return (f"No difference can be claimed with {_seeds(covered)}{family}{first}{_change(scale, largest)} "
                f"{where}.{able}{_uncovered(comparisons)}")
    ordered = sorted(claimed, key=lambda c: -scale.metric.sign * c.main[1].estimate)
    parts = [_change(scale, c, verb=True) for c in ordered[:MOST_NAMED]]
    more = f" and {len(ordered) - MOST_NAMED} more differ" if len(ordered) > MOST_NAMED else ""
    rest = [c.other for c in covered if c not in claimed]
    unlike = f" No difference can be claimed for {listed(rest)}." if rest else ""
    said = (f"{parts[0]} {where}, with {_seeds(covered)}{family}" if len(parts) == 1 else
            f"{_capital(where)}, with {_seeds(covered)}{family}: {'; '.join(parts)}{more}")
    return f"{said}.{unlike}{_uncovered(comparisons)}"


def lines(results: Sequence[StageResult]) -> list[str]:
    """Sentences below the answer: other comparisons and tasks, slopes, failed seeds, missing cells."""
    said, found = answer(results), []
    for result in results:
        for task in main_tasks(result):
            for one in task.found:
                if one.standard and (text := sentence(task, one, result.design)) != said:
                    found.append(f"{one.asked.factor.replace('_', ' ').capitalize()} on {task.section.title}: {text}")
            if "+" not in task.section.task:
                found += [slope_sentence(task, effect) for effect in task.effects if effect.slope.claimed]
    for result in results:
        found += failed_lines(result.design)
        if missing := result.design.missing():
            number = sum(map(len, missing.values()))
            found.append(f"Incomplete: {number} of {counted(len(result.design.cells), 'cell')} of "
                         f"{result.design.stage} without all results, listed under Missing cells.")
    return found


def failed_lines(design: Design) -> list[str]:
    """Failed and replaced seeds of each label."""
    found = []
    for label in design.levels:
        if names := design.failed(label):
            found.append(f"{label}: {counted(len(names), 'training')} collapsed or diverged and "
                         f"{'was' if len(names) == 1 else 'were'} replaced by a new seed, which stands for the seed of "
                         f"the design: {listed(names)}.")
    return found


def slope_sentence(task: TaskResult, effect: Effect) -> str:
    """Slope of an effect against a distance, with its interval and verdict."""
    scale, slope, c = scale_of(task.section.metric), effect.slope, effect.comparison
    ends = f"{scale.signed(slope.estimate)} {scale.step} per {effect.measure.unit}"
    verdict = ("nothing is claimed" if not slope.covers_training else
               "the effect changes with it" if slope.claimed else "no slope can be claimed")
    return (f"{task.section.title}: the difference of {c.other} to {c.base} against {effect.measure.name}, over "
            f"{counted(len(effect.cells), 'language')}: {ends}, 95 % interval {scale.interval(slope)}: {verdict}.")


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


def _mean(task: TaskResult, comparison: Comparison) -> str:
    cells, name = comparison.main[0], next(iter(comparison.means))
    scale = scale_of(task.section.metric)
    what = f"the mean {scale.name} over {counted(len(cells), 'language')}" if len(cells) > 1 else f"the {scale.name}"
    which = (f" {name.split(' ', 1)[1]}" if not name.startswith("all ") else "") if len(cells) > 1 else (
        f" in {cells[0][0]}")
    return f"{what}{which} ({task.section.title})"


def _seeds(comparisons: Sequence[Comparison]) -> str:
    counts = sorted({len(c.seeds) for c in comparisons})
    return counted(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def _uncovered(comparisons: Sequence[Comparison]) -> str:
    few = [c for c in comparisons if not c.covers_training]
    return (f" Nothing can be said of {listed([c.other for c in few])}: {few[0].dependent or 'too few seeds'}."
            if few else "")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
