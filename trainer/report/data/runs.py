"""The runs of a report: read, told apart by their recipes, and named by what differs.

Input: `<run>/eval/results.jsonl`. Output: `Run`s whose rows carry the label that the report knows them by. Runs of one
label are seeds of one method only where everything else that determines them is equal (`ResultRow.settings`).
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.base.errors import InputError
from trainer.results.numbers import counted, listed
from trainer.results.scores import RESULTS_FILE, ResultRow, Setting, Settings, read_rows, recipe_digest

POOL_BY_LABEL = "label"
UNKNOWN_RECIPE = "unknown recipe"
# What a report calls a setting, the ones that matter most first; others go by the last part of their name.
SHORT_NAMES = {
    "optimizer.lr": "lr", "batch.size": "batch", "schedule.max_steps": "updates", "robust.epsilon": "epsilon",
    "robust.ascent_steps": "steps", "model.dropout": "dropout", "engine.precision": "precision",
    "data.max_length": "length",
    "kernels": "kernels", "robust.method": "method", "optimizer.name": "optimiser", "robust.start": "start",
    "data.train": "training cells", "data.rows": "training data", "selection.cell": "dev cell",
    "selection.rows": "dev data", "selection.window": "selection window",
    "selection.evaluations": "evaluations to choose from", "evaluation.every_steps": "evaluated every",
    "model.origin": "initial model", "model.config": "model configuration",
}
# Known by content: their values mean nothing to a reader.
HASHES = ("data.rows", "selection.rows", "model.origin", "model.config")
SHOWN_DIGITS = 6
MOST_NAMED = 4  # settings in a label


@dataclass(frozen=True)
class Run:
    """One run directory and its result rows."""

    path: Path
    rows: list[ResultRow]
    given_label: str = ""
    """The label that the run itself carries; its rows may have a longer one in the report."""

    @property
    def name(self) -> str:
        return self.rows[0].run

    @property
    def label(self) -> str:
        """What the report calls the run."""
        return self.rows[0].label

    @property
    def seed(self) -> int:
        return self.rows[0].seed

    @property
    def title(self) -> str:
        """How a person finds the run: its name, label and seed."""
        return f"{self.name} ({self.label}, seed {self.seed})"

    @property
    def settings(self) -> Settings:
        """What determined the run but the seed; empty where its rows do not say."""
        return next((row.settings for row in self.rows if row.settings), {})

    @property
    def ended(self) -> str:
        """ "done", "collapsed" or "diverged"."""
        return next((row.ended for row in self.rows if row.failed), "done")

    @property
    def failed(self) -> bool:
        """Whether the run is a failed seed."""
        return self.ended != "done"


def read_runs(paths: Sequence[Path], pool: str | None = None) -> list[Run]:
    """The runs at `paths`, in their order; those of one label with unlike or unknown recipes get labels of their own.

    pool: "label" keeps runs of one label together whatever their recipes. Raises InputError for no path, a path given
    twice, a run that was not evaluated, bad rows, rows of several models in one run, and runs that were scored on
    unlike rows of one cell (with `pool`: runs of one seed).
    """
    if not paths:
        raise InputError("no run given; expected run directories: python -m trainer report runs/plain-s1 runs/pgd-s1")
    runs: list[Run] = []
    seen: set[str] = set()
    for path in paths:
        if (place := os.path.realpath(path)) in seen:
            raise InputError(f"run {path} is given twice; name each run once")
        seen.add(place)
        runs.append(_read_run(path))
    _refuse_unlike_cells(runs, pool)
    return runs if pool == POOL_BY_LABEL else _told_apart(runs)


def _read_run(path: Path) -> Run:
    results = path / "eval" / RESULTS_FILE
    if not path.is_dir():
        raise InputError(f"{path} is not a directory; expected a run directory that holds eval/{RESULTS_FILE}")
    if not results.is_file():
        raise InputError(f"{path} has no eval/{RESULTS_FILE}: run `python -m trainer evaluate {path}` first")
    rows = read_rows(results)
    if not rows:
        raise InputError(f"{results} holds no rows: run `python -m trainer evaluate {path}` again")
    for what, values in (("checkpoints", {row.checkpoint for row in rows}), ("recipes", {row.recipe for row in rows})):
        if len(values - {""}) > 1:
            raise InputError(f"{results} holds rows of {len(values - {''})} {what}, expected one; remove "
                             f"{results.parent} and run `python -m trainer evaluate {path}` again")
    return Run(path, rows, rows[0].label)


def _refuse_unlike_cells(runs: Sequence[Run], pool: str | None) -> None:
    """InputError where two runs have scores on unlike rows of one cell: they could not be paired or averaged."""
    first: dict[tuple[object, ...], tuple[Run, ResultRow]] = {}
    for run in runs:
        for row in run.rows:
            key = (*row.key, row.seed if pool == POOL_BY_LABEL else None)
            if not row.cell_sha256:
                continue
            other, known = first.setdefault(key, (run, row))
            if known.cell_sha256 != row.cell_sha256:
                pair = row.language if row.language == row.language_2 else f"{row.language}→{row.language_2}"
                remedy = ("evaluate both on the same shards, or leave one out" if pool == POOL_BY_LABEL else
                          "evaluate both on the same shards, or report on them with --pool label, which averages runs "
                          "of one label over unlike data")
                raise InputError(f"{other.path} and {run.path} were scored on different rows of {row.task}/{row.split} "
                                 f"{pair} ({known.cell_sha256[:SHOWN_DIGITS]} and {row.cell_sha256[:SHOWN_DIGITS]}); "
                                 + remedy)


def _told_apart(runs: Sequence[Run]) -> list[Run]:
    """`runs`, those of one label and several recipes under labels that name what differs.

    A run that records no recipe is a seed of nothing, so it stands alone. No two recipes share a label, however alike
    they look when shown.
    """
    names: dict[tuple[str, str], str] = {}
    taken = {run.given_label for run in runs}
    for label, members in _by_label(runs).items():
        known = {_recipe(run): run.settings for run in members if run.settings}
        named = {recipe: f"{label} ({what})" for recipe, what in _recipe_names(known).items()} if len(known) > 1 else {}
        named |= {_recipe(run): f"{label} ({UNKNOWN_RECIPE}, {run.name})" for run in members if not run.settings}
        for recipe, name in named.items():
            numbered = (f"{name} #{number}" for number in itertools.count(2))
            names[label, recipe] = next(free for free in itertools.chain([name], numbered) if free not in taken)
            taken.add(names[label, recipe])
    found = []
    for run in runs:
        label = names.get((run.given_label, _recipe(run)), run.given_label)
        found.append(Run(run.path, [row.model_copy(update={"label": label}) for row in run.rows], run.given_label))
    return found


def _recipe(run: Run) -> str:
    """What the seeds of one recipe share: its digest; where no recipe is recorded, what only this run has."""
    return recipe_digest(run.settings) or f"{UNKNOWN_RECIPE} {run.path}"


def _recipe_names(recipes: dict[str, Settings]) -> dict[str, str]:
    """Per digest, its recipe in the settings that differ; hashes only where nothing else tells the recipes apart."""
    keys = differing(list(recipes.values()))
    plain, hashed = [key for key in keys if key not in HASHES], [key for key in keys if key in HASHES]
    chosen = plain[:MOST_NAMED]
    for key in [*hashed, *plain[MOST_NAMED:]]:
        if len({tuple(shown(k, settings.get(k)) for k in chosen) for settings in recipes.values()}) == len(recipes):
            break
        chosen.append(key)
    return {digest: ", ".join(f"{short_name(key)} {shown(key, settings.get(key))}" for key in chosen)
            for digest, settings in recipes.items()}


def _by_label(runs: Sequence[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.given_label, []).append(run)
    return found


def differing(recipes: Sequence[Settings]) -> list[str]:
    """The names of settings that are not equal in all `recipes`, those of SHORT_NAMES first, in its order."""
    keys = dict.fromkeys([*SHORT_NAMES, *sorted({key for settings in recipes for key in settings})])
    return [key for key in keys if len({repr(settings.get(key)) for settings in recipes}) > 1]


def short_name(key: str) -> str:
    """What a report calls a setting."""
    return SHORT_NAMES.get(key, key.split(".")[-1])


def shown(key: str, value: Setting | None) -> str:
    """A setting's value for a reader: hashes cut, exponents without leading zeros."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return re.sub(r"e([+-])0+", lambda found: "e" + found[1].replace("+", ""), f"{value:g}")
    if isinstance(value, int):
        return f"{value:,}"
    if key in HASHES:
        words = value.split(" ")
        return words[-1][:SHOWN_DIGITS] if words[0] in ("weights", "recipe") or len(words) == 1 else value
    return value


def recipe_lines(runs: Sequence[Run]) -> list[str]:
    """What a reader must know of runs of one label whose recipes differ, or are not recorded: told apart, or pooled."""
    lines: list[str] = []
    pooled_over: dict[str, dict[str, int]] = {}  # what differs -> label -> number of runs
    for label, members in _by_label(runs).items():
        pooled = len(members) > 1 and len({run.label for run in members}) == 1
        known = [run for run in members if run.settings]
        unknown = [run.name for run in members if not run.settings]
        recipes = list({_recipe(run): run.settings for run in known}.values())
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


def _difference(key: str, recipes: Sequence[Settings]) -> str:
    """A setting that differs, with its values where they mean something to a reader and are few."""
    found = list(dict.fromkeys(settings.get(key) for settings in recipes))
    values = list(dict.fromkeys(shown(key, value) for value in found))
    if len(values) < len(found):  # shown, they are rounded
        values = [shown(key, value) if not isinstance(value, float) else repr(value) for value in found]
    named = "" if key in HASHES or len(values) > MOST_NAMED else f" ({', '.join(values)})"
    return short_name(key) + named


def failed_lines(runs: Sequence[Run]) -> list[str]:
    """Per label with failed seeds, how many and which; empty where none failed."""
    lines = []
    for label in dict.fromkeys(run.label for run in runs):
        members = [run for run in runs if run.label == label]
        failed = [f"{run.name} (seed {run.seed}, {run.ended})" for run in members if run.failed]
        if failed:
            lines.append(f"{label}: {len(failed)} of {counted(len(members), 'run')} failed: {listed(failed)}. Means, "
                         f"intervals and figures are over the runs that trained.")
    return lines
