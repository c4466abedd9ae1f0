"""What runs were made of, in a report: the table of runs, and what is unequal between labels that are compared.

Input: runs, or a comparison. Output: a table and sentences.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.collect import SMOOTHED, Grid
from trainer.report.compare import Comparison
from trainer.report.document import Entry, Table
from trainer.report.numbers import counted, listed
from trainer.report.runs import HASHES, Run, differing, recipe_lines, short_name, shown

COLUMNS = ("optimizer.lr", "batch.size", "schedule.updates", "robust.epsilon", "robust.steps", "model.dropout",
           "engine.precision")
OWN = ("robust.", "kernels")  # what a method brings along; the comparison is about it
WINDOW = ("selection.window", "selection.evaluations", "evaluation.every")
LENGTH = "schedule.updates"


def runs_table(runs: Sequence[Run]) -> Table:
    """What was compared, run by run; settings in which runs of one label differ are marked."""
    names = ["run", "label", "method", "seed", "ended", "trained on", *map(short_name, COLUMNS), "chosen on",
             "checkpoint", "cells"]
    unlike = {label: set(differing([run.settings for run in runs if run.given_label == label and run.settings]))
              for label in {run.given_label for run in runs}}
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
            Entry(str(sum(row.setting != SMOOTHED for row in run.rows)))])
    notes = ["Settings with – belong to a method that has none, or are not recorded."]
    if any(unlike.values()):
        notes.append("Marked: settings in which runs of one label differ.")
    return Table("Runs", [Entry(name) for name in names], rows, [*notes, *recipe_lines(runs)], text_columns=6)


def chosen_on(run: Run) -> str:
    """The dev cell that chose the run's checkpoint, in words."""
    cell = next((row.chosen_on for row in run.rows if row.chosen_on is not None), None)
    return "unknown" if cell is None else cell or "last step"


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
    base, other = (_recipes(grid, label, comparison.seeds) for label in (comparison.base, comparison.other))
    if not base or not other:
        return []
    unlike = [key for key in differing([*base, *other]) if _values(key, base) != _values(key, other)]
    named = [(key, f"{comparison.other} {_values(key, other)}", f"{comparison.base} {_values(key, base)}")
             for key in unlike]
    lines = [f"Unequal updates: {one}, {two}." for key, one, two in named if key == LENGTH]
    if any(key in WINDOW[:2] for key in unlike):
        lines.append(f"Unequal selection: the checkpoint of {comparison.other} is chosen among {_window(other)}, that "
                     f"of {comparison.base} among {_window(base)}.")
    rest = [f"{short_name(key)} ({one}, {two})" if key not in HASHES else short_name(key) for key, one, two in named
            if key not in (LENGTH, *WINDOW) and not key.startswith(OWN)]
    if rest:
        lines.append(f"Besides the method they differ in {listed(rest)}.")
    return lines


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
