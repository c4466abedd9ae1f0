"""Answer of a study in a sentence with its uncertainty, and the sentences beside it.

A difference is claimed only where it covers the luck of training (at least 3 independent seeds) and is significant
after Holm's correction over all pairs of its comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.sections.answer import sentences
from trainer.results.numbers import counted, listed, scale_of
from trainer.studies.report.design import Design
from trainer.studies.report.distance import Effect
from trainer.studies.report.results import Found, StageResult, TaskResult


def answer(results: Sequence[StageResult]) -> str:
    """The answer, from the study's first comparison in the first task that is no perturbed copy of another."""
    found = answered(results)
    if found is not None:
        return sentence(*found)
    design = results[0].design if results else None
    asked = design.study.comparisons[0] if design else None
    if asked is None or not any(result.tasks for result in results):
        return "No answer yet: nothing has been evaluated."
    factor, base = asked.factor.replace("_", " "), design.name(asked.factor, asked.base) if design else asked.base
    return f"No answer yet: the base level of {factor} ({base}) shares examples and seeds with no other level."


def answered(results: Sequence[StageResult]) -> tuple[TaskResult, Found] | None:
    """Task and comparison of the answer; None where there is none yet."""
    for result in results:
        for task in main_tasks(result):
            for found in task.found[:1]:
                if found.asked == result.design.study.comparisons[0] and found.standard:
                    return task, found
    return None


def main_tasks(result: StageResult) -> list[TaskResult]:
    """Tasks, those of perturbed cells (`xnli+noise`) last."""
    return sorted(result.tasks, key=lambda task: "+" in task.section.task)


def sentence(task: TaskResult, found: Found) -> str:
    """One comparison in one task."""
    return " ".join(told(task, found))


def told(task: TaskResult, found: Found) -> list[str]:
    """Sentences of one comparison in one task."""
    return sentences(task.grid, task.section.title, found.standard)


def lines(results: Sequence[StageResult]) -> list[str]:
    """Sentences below the answer: other comparisons and tasks, slopes, failed seeds, missing cells."""
    said, found = answer(results), []
    for result in results:
        for task in main_tasks(result):
            for one in task.found:
                if one.standard and (text := sentence(task, one)) != said:
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
    return (f"{task.section.title}: {c.other} compared with {c.base}, slope of the difference against "
            f"{effect.measure.name} over {counted(len(effect.cells), 'language')}: {ends}, "
            f"95 % interval {scale.interval(slope)}: {verdict}.")

