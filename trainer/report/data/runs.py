"""Runs of a report: reading, and labels that separate recipes.

Input: `<run>/eval/results.jsonl`. Output: `Run`s whose rows carry the report's label. Runs of one label are seeds of
one method only where everything else that determines them is equal (`ResultRow.settings`).
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.base.errors import InputError
from trainer.results.averages import LAST, RUNS, label_with, words_of
from trainer.results.scores import RESULTS_FILE, ResultRow, Setting, Settings, read_rows, recipe_digest

POOL_BY_LABEL = "label"
UNKNOWN_RECIPE = "unknown recipe"
# Short names of settings, the most important first; others are named by the last part of their key.
SHORT_NAMES = {
    "model": "model", "optimizer.lr": "lr", "batch.size": "batch", "schedule.max_steps": "steps",
    "robust.epsilon": "epsilon", "robust.ascent_steps": "ascent steps", "model.dropout": "dropout",
    "engine.precision": "precision", "data.max_length": "length",
    "kernels": "kernels", "robust.method": "method", "optimizer.name": "optimiser", "robust.start": "start",
    "data.train": "training cells", "data.rows": "training data", "selection.cell": "dev cell",
    "selection.rows": "dev data", "selection.window": "selection window",
    "selection.evaluations": "evaluations to choose from", "evaluation.every_steps": "evaluated every",
    "model.origin": "initial model", "model.config": "model configuration",
    LAST: "snapshots averaged", RUNS: "runs averaged",
}
# Settings whose values are hashes of content.
HASHES = ("data.rows", "selection.rows", "model.origin", "model.config")
SHOWN_DIGITS = 6
MOST_NAMED = 4  # settings in a label


@dataclass(frozen=True)
class Run:
    """One run directory and its result rows."""

    path: Path
    rows: list[ResultRow]
    given_label: str = ""
    """Label of the run itself; its rows may have a longer one in the report."""
    selection: str = "best"
    """"average" for the rows of the run's average, which are a run of their own in a report; else "best"."""

    @property
    def key(self) -> tuple[Path, str]:
        """Identity of the run in a report."""
        return self.path, self.selection

    @property
    def averaged(self) -> bool:
        """True if the weights are an average, which training has not seen: there is no oracle among such."""
        return bool(words_of(self.settings))

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.rows[0].run

    @property
    def label(self) -> str:
        """Label of the run in the report."""
        return self.rows[0].label

    @property
    def seed(self) -> int:
        """Training seed."""
        return self.rows[0].seed

    @property
    def title(self) -> str:
        """Name, label and seed, for people."""
        return f"{self.name} ({self.label}, seed {self.seed})"

    @property
    def settings(self) -> Settings:
        """Everything that determined the run but the seed; empty where its rows do not record it."""
        return next((row.settings for row in self.rows if row.settings), {})

    @property
    def named_settings(self) -> Settings:
        """`settings` with the model's name, for display."""
        return next((row.named_settings for row in self.rows if row.settings), {})

    @property
    def ended(self) -> str:
        """ "done", "collapsed" or "diverged"."""
        return next((row.ended for row in self.rows if row.failed), "done")

    @property
    def failed(self) -> bool:
        """True if the run is a failed seed."""
        return self.ended != "done"


def read_runs(paths: Sequence[Path], pool: str | None = None) -> list[Run]:
    """Runs at `paths`, in order; runs of one label with different or unknown recipes get separate labels.

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
        runs += _read_run(path)
    _refuse_unlike_cells(runs, pool)
    return runs if pool == POOL_BY_LABEL else _told_apart(runs)


def _read_run(path: Path) -> list[Run]:
    """The run at `path`, and after it its average as a run of its own, of the same seed."""
    results = path / "eval" / RESULTS_FILE
    if not path.is_dir():
        raise InputError(f"{path} is not a directory; expected a run directory that holds eval/{RESULTS_FILE}")
    if not results.is_file():
        raise InputError(f"{path} has no eval/{RESULTS_FILE}: run `python -m trainer evaluate {path}` first")
    rows = read_rows(results)
    if not rows:
        raise InputError(f"{results} holds no rows: run `python -m trainer evaluate {path}` again")
    averages = [row for row in rows if row.selection == "average"]
    own = [row for row in rows if row.selection != "average"]
    for members in (own, averages):
        for what, values in (("checkpoints", {row.checkpoint for row in members}),
                             ("recipes", {row.recipe for row in members})):
            if len(values - {""}) > 1:
                raise InputError(f"{results} holds rows of {len(values - {''})} {what}, expected one; remove "
                                 f"{results.parent} and run `python -m trainer evaluate {path}` again")
    runs = [Run(path, own, own[0].label)] if own else []
    if averages:
        label = label_with(averages[0].label, averages[0].settings)
        renamed = [row.model_copy(update={"label": label}) for row in averages]
        runs.append(Run(path, renamed, label, selection="average"))
    return runs


def _refuse_unlike_cells(runs: Sequence[Run], pool: str | None) -> None:
    """Raise InputError where two runs were scored on different rows of one cell: neither pairs nor means exist."""
    first: dict[tuple[object, ...], tuple[Run, ResultRow]] = {}
    for run in runs:
        for row in run.rows:
            alike = row if row.selection == "oracle" else row.model_copy(update={"selection": "best"})
            key = (*alike.key, row.seed if pool == POOL_BY_LABEL else None)
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
    """`runs` with labels that name what differs where one label has several recipes.

    A run that records no recipe is a seed of no known recipe, so its label is its own. Two recipes that share a task
    never share a label, even where they are displayed alike.
    """
    names: dict[tuple[Path, str], str] = {}
    for members in of_one_label(runs):
        label, taken = members[0].given_label, {run.given_label for run in runs}
        known = {_recipe(run): run.named_settings for run in members if run.settings}
        named = {recipe: f"{label} ({what})" for recipe, what in _recipe_names(known).items()} if len(known) > 1 else {}
        named |= {_recipe(run): f"{label} ({UNKNOWN_RECIPE}, {run.name})" for run in members if not run.settings}
        for recipe, name in named.items():
            numbered = (f"{name} #{number}" for number in itertools.count(2))
            named[recipe] = next(free for free in itertools.chain([name], numbered) if free not in taken)
            taken.add(named[recipe])
        names |= {run.key: named.get(_recipe(run), label) for run in members}
    return [replace(run, rows=[row.model_copy(update={"label": names[run.key]}) for row in run.rows]) for run in runs]


def _recipe(run: Run) -> str:
    """Digest of the run's recipe; unique to the run where none is recorded."""
    return recipe_digest(run.settings) or f"{UNKNOWN_RECIPE} {run.path}"


def _recipe_names(recipes: dict[str, Settings]) -> dict[str, str]:
    """Name of each recipe (by digest) from the settings that differ; hashes only where no other setting does."""
    keys = differing(list(recipes.values()))
    plain, hashed = [key for key in keys if key not in HASHES], [key for key in keys if key in HASHES]
    chosen = plain[:MOST_NAMED]
    for key in [*hashed, *plain[MOST_NAMED:]]:
        if len({tuple(shown(k, settings.get(k)) for k in chosen) for settings in recipes.values()}) == len(recipes):
            break
        chosen.append(key)
    return {digest: ", ".join(f"{short_name(key)} {shown(key, settings.get(key))}" for key in chosen)
            for digest, settings in recipes.items()}


def of_one_label(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs by the label that they carry themselves, apart where they share no task: those are never averaged."""
    found: dict[tuple[int, str], list[Run]] = {}
    for number, group in enumerate(sharing_tasks(runs)):
        for run in group:
            found.setdefault((number, run.given_label), []).append(run)
    return list(found.values())


def sharing_tasks(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs in groups of which no two have rows of one task, so that no table holds runs of both."""
    groups: list[tuple[set[str], list[Run]]] = []
    for run in runs:
        tasks, members, apart = {row.task for row in run.rows}, [run], []
        for group in groups:
            if group[0] & tasks:
                tasks, members = tasks | group[0], [*group[1], *members]
            else:
                apart.append(group)
        groups = [*apart, (tasks, members)]
    return [members for _, members in groups]


def differing(recipes: Sequence[Settings]) -> list[str]:
    """Keys of settings that are not equal in all `recipes`, in the order of SHORT_NAMES, then by name."""
    keys = dict.fromkeys([*SHORT_NAMES, *sorted({key for settings in recipes for key in settings})])
    return [key for key in keys if len({repr(settings.get(key)) for settings in recipes}) > 1]


def short_name(key: str) -> str:
    """Name of a setting in reports."""
    return SHORT_NAMES.get(key, key.split(".")[-1])


def shown(key: str, value: Setting | None) -> str:
    """A setting's value as displayed: hashes truncated, exponents without leading zeros."""
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
