"""Recipes in the report: the table of runs, failed seeds, and settings that differ within or between labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainer.report.data.collect import SMOOTHED
from trainer.report.data.compare import Comparison, base_label
from trainer.report.data.grid import Cell, Grid
from trainer.report.data.runs import HASHES, MOST_NAMED, Run, differing, of_one_label, short_name, shown
from trainer.report.document import Entry, Table
from trainer.results.averages import LAST
from trainer.results.numbers import counted, listed
from trainer.results.scores import Settings, recipe_digest

COLUMNS = ("model", "optimizer.lr", "batch.size", "schedule.max_steps", "robust.epsilon", "robust.ascent_steps",
           "model.dropout", "engine.precision")
OWN = ("robust.", "kernels", "average.")  # settings of the method, the subject of the comparison
WINDOW = ("selection.window", "selection.evaluations", "evaluation.every_steps")
LENGTH = "schedule.max_steps"


def runs_table(runs: Sequence[Run]) -> Table:
    """Table of the runs and their settings; those in which runs of one label differ are marked."""
    names = ["run", "label", "method", "seed", "ended", "trained on", *map(short_name, COLUMNS), "chosen on",
             "checkpoint", "evaluated in", "cells"]
    unlike: dict[tuple[Path, str], set[str]] = {}
    precisions: dict[tuple[Path, str], set[str]] = {}
    for members in of_one_label(runs):
        keys, formats = set(differing(_distinct(members))), {evaluated_in(run) for run in members}
        for run in members:
            unlike[run.key], precisions[run.key] = keys, formats
    rows = []
    for run in runs:
        steps = sorted({row.step for row in run.rows if row.selection != "oracle"})
        named = run.named_settings
        settings = [Entry("–", tone="muted") if named.get(key) is None else
                    Entry(shown(key, named[key]), tone="differs" if key in unlike[run.key] else "")
                    for key in COLUMNS]
        chosen = Entry(chosen_on(run), tone="differs" if "selection.cell" in unlike[run.key] else "")
        rows.append([
            Entry(run.name), Entry(run.label), Entry(run.rows[0].method), Entry(str(run.seed)),
            Entry(run.ended, tone="loss" if run.failed else ""),
            Entry(", ".join(run.rows[0].train_languages) or "unknown"), *settings, chosen,
            Entry("step " + ", ".join(f"{step:,}" for step in steps) if steps else "–"),
            Entry(evaluated_in(run), tone="differs" if len(precisions[run.key]) > 1 else ""),
            Entry(str(sum(row.setting != SMOOTHED for row in run.rows)))])
    notes = ["Settings with – belong to a method that has none, or are not recorded."]
    if any(unlike.values()) or any(len(found) > 1 for found in precisions.values()):
        notes.append("Marked: settings in which runs of one label differ.")
    return Table("Runs", [Entry(name) for name in names], rows, [*notes, *recipe_lines(runs)], text_columns=7)


def chosen_on(run: Run) -> str:
    """Dev cell that the run's checkpoint was selected on, in words."""
    if run.selection == "average":
        return f"none, the mean of the last {counted(int(run.settings.get(LAST) or 0), 'snapshot')}"
    cell = next((row.chosen_on for row in run.rows if row.chosen_on is not None), None)
    return "unknown" if cell is None else cell or "last step"


def evaluated_in(run: Run) -> str:
    """Number formats of the run's evaluation, in words; oracle rows, written in training, are left out."""
    return " and ".join(sorted({row.precision or "unknown" for row in run.rows if row.selection != "oracle"})) or "–"


def selection_sentence(runs: Sequence[Run]) -> str:
    """Dev cells that the checkpoints of `runs` were selected on, per label where they differ."""
    by_label: dict[str, dict[str, None]] = {}
    for run in runs:
        by_label.setdefault(run.label, {})[chosen_on(run)] = None
    cells = {label: listed([_where(cell) for cell in found]) for label, found in by_label.items()}
    if len(set(cells.values())) == 1:
        return f"Checkpoints: {next(iter(cells.values()))}."
    return "Checkpoints: " + "; ".join(f"{label} {where}" for label, where in cells.items()) + "."


def _where(cell: str) -> str:
    if cell.startswith("none, "):
        return cell.removeprefix("none, ")
    return {"unknown": "chosen on a dev cell that the rows do not name", "last step": "the last step"}.get(
        cell, f"chosen on {cell}")


def unequal_lines(grid: Grid, comparison: Comparison) -> list[str]:
    """Settings besides the method that differ between the two labels of a comparison."""
    seeds = dict.fromkeys((comparison.base, comparison.other), comparison.seeds)
    return _unequal(grid, comparison.base, comparison.other, seeds, comparison.cells)


def side_by_side_lines(grid: Grid, comparisons: Sequence[Comparison]) -> list[str]:
    """The same for labels without a comparison with the base, for lack of common seeds or of outcomes."""
    base, compared = base_label(grid), {comparison.other for comparison in comparisons}
    return [line for other in grid.labels if other not in (base, *compared)
            for line in _unequal(grid, base, other, {label: grid.seeds(label) for label in (base, other)}, grid.cells)]


def _unequal(grid: Grid, base: str, other: str, seeds: dict[str, list[int]], cells: Sequence[Cell]) -> list[str]:
    lines = []
    formats = [[_formats(grid, label, seeds[label], cell) for label in (base, other)] for cell in cells]
    both = [pair for pair in formats if all(pair)]
    if any(one != two for one, two in both):
        one, two = (" or ".join(sorted(set().union(*column))) for column in zip(*both, strict=True))
        lines.append(f"Unequal precision of the evaluation: {other} {two}, {base} {one}.")
    recipes = {label: _recipes(grid, label, seeds[label]) for label in (base, other)}
    if not all(recipes.values()):
        return lines
    unlike = [key for key in differing([*recipes[base], *recipes[other]])
              if _values(key, recipes[base]) != _values(key, recipes[other])]
    named = [(key, f"{other} {_values(key, recipes[other])}", f"{base} {_values(key, recipes[base])}")
             for key in unlike]
    lines += [f"Unequal steps: {one}, {two}." for key, one, two in named if key == LENGTH]
    if any(key in WINDOW[:2] for key in unlike):
        lines.append(f"Unequal selection: the checkpoint of {other} is chosen among {_window(recipes[other])}, that "
                     f"of {base} among {_window(recipes[base])}.")
    rest = [f"{short_name(key)} ({one}, {two})" if key not in HASHES else short_name(key) for key, one, two in named
            if key not in (LENGTH, *WINDOW) and not key.startswith(OWN)]
    if rest:
        lines.append(f"Besides the method, {other} and {base} differ in {listed(rest)}.")
    return lines


def _formats(grid: Grid, label: str, seeds: Sequence[int], cell: Cell) -> frozenset[str]:
    """Number formats of the evaluations of a label on a cell."""
    rows = (grid.entries[key][1] for seed in seeds if (key := (label, seed, cell)) in grid.entries)
    return frozenset(row.precision or "unknown" for row in rows)


def _recipes(grid: Grid, label: str, seeds: Sequence[int]) -> list[Settings]:
    """Distinct settings of the runs of a label with these seeds."""
    found = {row.recipe: row.named_settings for (name, seed, _), (_, row) in grid.entries.items()
             if name == label and seed in seeds and row.settings}
    return list(found.values())


def _values(key: str, recipes: Sequence[Settings]) -> str:
    return " or ".join(dict.fromkeys(shown(key, recipe.get(key)) for recipe in recipes))


def _window(recipes: Sequence[Settings]) -> str:
    windows = {recipe.get("selection.window"): recipe.get("selection.evaluations") for recipe in recipes}
    return listed([f"{counted(int(count or 0), 'evaluation')} in the last {100 * float(share or 0):g} % of the run"
                   if share != 1 else f"{counted(int(count or 0), 'evaluation')} over the whole run"
                   for share, count in windows.items()])


def recipe_lines(runs: Sequence[Run]) -> list[str]:
    """Notes on runs of one label whose recipes differ or are not recorded: separated, or pooled."""
    lines: list[str] = []
    pooled_over: dict[str, dict[str, int]] = {}  # what differs -> label -> number of runs
    for members in of_one_label(runs):
        label = members[0].given_label
        pooled = len(members) > 1 and len({run.label for run in members}) == 1
        known = [run for run in members if run.settings]
        unknown = [run.name for run in members if not run.settings]
        recipes = _distinct(known)
        what = listed([_difference(key, recipes) for key in differing(recipes)])
        if len(recipes) > 1 and pooled:
            pooled_over.setdefault(what, {})[label] = len(known)
        elif len(recipes) > 1:
            lines.append(f"The {counted(len(known), 'run')} of {label} are of {len(recipes)} recipes, each with a "
                         f"row of its own: they differ in {what}.")
        if unknown and pooled:
            lines.append(f"Pooled by label: {len(unknown)} of the {len(members)} runs of {label} record no recipe "
                         f"({listed(unknown)}), so the mean and ± may not be over seeds alone.")
        elif unknown:
            lines.append(f"No recipe is recorded by {listed(unknown)} ({label}): nothing says which runs differ in "
                         f"their seed only, so {'it has a row' if len(unknown) == 1 else 'each has a row'} of its own.")
    for what, labels in pooled_over.items():
        of = listed([f"the {counted(count, 'run')} of {label}" for label, count in labels.items()])
        lines.append(f"Pooled by label: {of} differ in {what}, so their mean and ± are not over seeds alone.")
    return lines


def _distinct(runs: Sequence[Run]) -> list[Settings]:
    """Settings of the runs that record them, once per recipe."""
    return list({recipe_digest(run.settings): run.named_settings for run in runs if run.settings}.values())


def _difference(key: str, recipes: Sequence[Settings]) -> str:
    """A setting that differs, with its values unless they are hashes or many."""
    found = list(dict.fromkeys(settings.get(key) for settings in recipes))
    values = list(dict.fromkeys(shown(key, value) for value in found))
    if len(values) < len(found):  # shown, they are rounded
        values = [shown(key, value) if not isinstance(value, float) else repr(value) for value in found]
    named = "" if key in HASHES or len(values) > MOST_NAMED else f" ({', '.join(values)})"
    return short_name(key) + named


def failed_line(runs: Sequence[Run]) -> str:
    """Labels of which every run failed; empty where there are none."""
    ended: dict[str, list[str]] = {}
    for run in runs:
        ended.setdefault(run.label, []).append(run.ended if run.failed else "")
    lost = [f"{label} ({counted(len(ends), 'seed')}, {' or '.join(sorted(set(ends)))})" for label, ends in ended.items()
            if all(ends)]
    return f"Failed with every seed, so not compared: {listed(lost)}." if lost else ""


def failed_lines(runs: Sequence[Run]) -> list[str]:
    """Failed seeds of each label; empty where none failed."""
    lines = []
    for label in dict.fromkeys(run.label for run in runs):
        members = [run for run in runs if run.label == label]
        failed = [f"{run.name} (seed {run.seed}, {run.ended})" for run in members if run.failed]
        if failed:
            lines.append(f"{label}: {len(failed)} of {counted(len(members), 'run')} failed: {listed(failed)}. Means, "
                         f"intervals and figures are over the runs that trained.")
    return lines
