"""What runs were made of, in a report: the table of runs, and what is unequal between labels that are compared.

Input: runs, or a comparison. Output: a table and sentences.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.data.collect import SMOOTHED, Cell, Grid
from trainer.report.data.compare import Comparison, base_label
from trainer.report.data.runs import HASHES, Run, differing, recipe_lines, short_name, shown
from trainer.report.document import Entry, Table
from trainer.results.numbers import counted, listed

COLUMNS = ("optimizer.lr", "batch.size", "schedule.max_steps", "robust.epsilon", "robust.ascent_steps", "model.dropout",
           "engine.precision")
OWN = ("robust.", "kernels")  # what a method brings along; the comparison is about it
WINDOW = ("selection.window", "selection.evaluations", "evaluation.every_steps")
LENGTH = "schedule.max_steps"


def runs_table(runs: Sequence[Run]) -> Table:
    """What was compared, run by run; settings in which runs of one label differ are marked."""
    names = ["run", "label", "method", "seed", "ended", "trained on", *map(short_name, COLUMNS), "chosen on",
             "checkpoint", "evaluated in", "cells"]
    unlike = {label: set(differing([run.settings for run in runs if run.given_label == label and run.settings]))
              for label in {run.given_label for run in runs}}
    precisions = {label: {evaluated_in(run) for run in runs if run.given_label == label} for label in unlike}
    rows = []
    for run in runs:
        steps = sorted({row.step for row in run.rows if row.selection == "best"})
        settings = [Entry("–", tone="muted") if run.settings.get(key) is None else
                    Entry(shown(key, run.settings[key]), tone="differs" if key in unlike[run.given_label] else "")
                    for key in COLUMNS]
        chosen = Entry(chosen_on(run), tone="differs" if "selection.cell" in unlike[run.given_label] else "")
        rows.append([
            Entry(run.name), Entry(run.label), Entry(run.rows[0].method), Entry(str(run.seed)),
            Entry(run.ended, tone="loss" if run.failed else ""),
            Entry(", ".join(run.rows[0].train_languages) or "unknown"), *settings, chosen,
            Entry("step " + ", ".join(f"{step:,}" for step in steps) if steps else "–"),
            Entry(evaluated_in(run), tone="differs" if len(precisions[run.given_label]) > 1 else ""),
            Entry(str(sum(row.setting != SMOOTHED for row in run.rows)))])
    notes = ["Settings with – belong to a method that has none, or are not recorded."]
    if any(unlike.values()) or any(len(found) > 1 for found in precisions.values()):
        notes.append("Marked: settings in which runs of one label differ.")
    return Table("Runs", [Entry(name) for name in names], rows, [*notes, *recipe_lines(runs)], text_columns=6)


def chosen_on(run: Run) -> str:
    """The dev cell that chose the run's checkpoint, in words."""
    cell = next((row.chosen_on for row in run.rows if row.chosen_on is not None), None)
    return "unknown" if cell is None else cell or "last step"


def evaluated_in(run: Run) -> str:
    """The number formats that the run's rows were evaluated in, in words; oracle rows, made in training, left out."""
    return " and ".join(sorted({row.precision or "unknown" for row in run.rows if row.selection == "best"})) or "–"


def selection_sentence(runs: Sequence[Run]) -> str:
    """Which dev cell chose the checkpoints of `runs`, label by label where they differ."""
    by_label: dict[str, dict[str, None]] = {}
    for run in runs:
        by_label.setdefault(run.label, {})[chosen_on(run)] = None
    cells = {label: listed([_where(cell) for cell in found]) for label, found in by_label.items()}
    if len(set(cells.values())) == 1:
        return f"Checkpoints: {next(iter(cells.values()))}."
    return "Checkpoints: " + "; ".join(f"{label} {where}" for label, where in cells.items()) + "."


def _where(cell: str) -> str:
    return {"unknown": "chosen on a dev cell that the rows do not name", "last step": "the last step"}.get(
        cell, f"chosen on {cell}")


def unequal_lines(grid: Grid, comparison: Comparison) -> list[str]:
    """What is unequal between the two labels of a comparison besides the method: length, selection, the rest."""
    seeds = dict.fromkeys((comparison.base, comparison.other), comparison.seeds)
    return _unequal(grid, comparison.base, comparison.other, seeds, comparison.cells)


def side_by_side_lines(grid: Grid, comparisons: Sequence[Comparison]) -> list[str]:
    """The same for labels that stand beside the base without a comparison: no seed in common, no right and wrong."""
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
    lines += [f"Unequal updates: {one}, {two}." for key, one, two in named if key == LENGTH]
    if any(key in WINDOW[:2] for key in unlike):
        lines.append(f"Unequal selection: the checkpoint of {other} is chosen among {_window(recipes[other])}, that "
                     f"of {base} among {_window(recipes[base])}.")
    rest = [f"{short_name(key)} ({one}, {two})" if key not in HASHES else short_name(key) for key, one, two in named
            if key not in (LENGTH, *WINDOW) and not key.startswith(OWN)]
    if rest:
        lines.append(f"Besides the method, {other} and {base} differ in {listed(rest)}.")
    return lines


def _formats(grid: Grid, label: str, seeds: Sequence[int], cell: Cell) -> frozenset[str]:
    """Number formats in which the runs of a label were evaluated on a cell."""
    rows = (grid.entries[key][1] for seed in seeds if (key := (label, seed, cell)) in grid.entries)
    return frozenset(row.precision or "unknown" for row in rows)


def _recipes(grid: Grid, label: str, seeds: Sequence[int]) -> list[dict[str, bool | int | float | str | None]]:
    """The distinct settings of a label's runs of `seeds`."""
    found = {row.recipe: dict(row.settings) for (name, seed, _), (_, row) in grid.entries.items()
             if name == label and seed in seeds and row.settings}
    return list(found.values())


def _values(key: str, recipes: Sequence[dict[str, bool | int | float | str | None]]) -> str:
    return " or ".join(dict.fromkeys(shown(key, recipe.get(key)) for recipe in recipes))


def _window(recipes: Sequence[dict[str, bool | int | float | str | None]]) -> str:
    windows = {recipe.get("selection.window"): recipe.get("selection.evaluations") for recipe in recipes}
    return listed([f"{counted(int(count or 0), 'evaluation')} in the last {100 * float(share or 0):g} % of the run"
                   if share != 1 else f"{counted(int(count or 0), 'evaluation')} over the whole run"
                   for share, count in windows.items()])
