"""`python -m trainer average RUN [--last 3]`, `... average RUN RUN RUN --out runs/NAME`: averages of weights.

Checkpoint averaging (Schmidt et al. 2023, arXiv 2305.16834) takes the last snapshots of a run
(`checkpoint.snapshots`); model averaging (Schmidt et al. 2023, arXiv 2310.10532) takes runs whose heads start alike.
Output: `<run>/average/`, a transformers folder like `best/`, or a run folder of its own; `average.json` names what was
averaged. Renamed into place when whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256, put_in_place, working_folder, write_json, write_text
from trainer.checkpoint.layout import step_of
from trainer.checkpoint.mean import weight_files, write_mean
from trainer.checkpoint.snapshots import snapshots_of
from trainer.config.load import dump, load_recipe
from trainer.results.averages import LAST, RUNS, label_with
from trainer.results.scores import recipe_digest
from trainer.runs.average import AVERAGE_FILE, Averaged, AverageRecord, average_of, read_average
from trainer.runs.folder import AVERAGE, BEST, CONFIG, DONE, FAILED, HEADS
from trainer.runs.record import FinishedRecord, doubtful_end, read_finished, update_record

DEFAULT_LAST = 3


@dataclass(frozen=True)
class Part:
    """One of the models to average."""

    folder: Path
    run: FinishedRecord
    step: int

    def described(self) -> Averaged:
        """Its line in average.json; reads the weights."""
        weights = {name: file_sha256(self.folder / name) for name in weight_files(self.folder)}
        return Averaged(run=self.run.name, seed=self.run.seed, step=self.step, weights=weights)


def average(*runs: str, last: int | None = None, weights: str = "best", out: str | None = None,
            label: str | None = None, overwrite: bool = False) -> int:
    """Average the last snapshots of a run, or the models of several runs that differ in their seed only.

    One RUN: the mean of its last --last (3) snapshots, in RUN/average/, for `evaluate --weights average`; with --out as
    a run of its own. Several RUNs: the mean of their --weights (best, or their own average), as a run in --out that
    every command takes; its label is --label, or theirs with "mean of N runs". Their heads must have started alike:
    train them with one model.head_seed. overwrite: replace an average of other models.
    """
    folders = [Path(run) for run in runs]
    _check_flags(folders, last, weights, out, label)
    records = [_sound(folder) for folder in folders]
    if len(folders) == 1 and out is None and not snapshots_of(folders[0]) and _kept(folders[0], last):
        return 0
    if len(folders) == 1:
        parts, settings = _snapshots(folders[0], records[0], DEFAULT_LAST if last is None else last)
    else:
        parts, settings = _runs(folders, records, weights)
    found = AverageRecord(settings=dict(settings), averaged=[part.described() for part in parts])
    target = folders[0] / AVERAGE if out is None else Path(out)
    if _is_there(target if out is None else target / BEST, target, found, overwrite):
        print(f"{target} is done: {found.words}; nothing to do")
        return 0
    first = folders[records.index(min(records, key=lambda record: record.seed))]
    with working_folder(target, "average") as folder:
        if out is None:
            _write_model(folder, first / BEST, parts, found)
        else:
            (folder / BEST).mkdir()
            _write_model(folder / BEST, first / BEST, parts, found)
            _write_run(folder, first, target, records, found, label)
        put_in_place(folder, target, overwrite)
    print(f"{target}: {found.words}, " + ", ".join(f"{one.run} step {one.step:,}" for one in found.averaged))
    for run in (folder for folder in folders if doubtful_end(folder)):
        print(f"warning: {run} {doubtful_end(run)}")
    return 0


def _kept(run: Path, last: int | None) -> bool:
    """True where the run has this average, of snapshots that were removed since."""
    there = read_average(run / AVERAGE)
    if there is None or there.settings != {LAST: DEFAULT_LAST if last is None else last}:
        return False
    print(f"{run / AVERAGE} is done: {there.words}; its snapshots are gone; nothing to do")
    return True


def _check_flags(runs: Sequence[Path], last: int | None, weights: str, out: str | None, label: str | None) -> None:
    if not runs:
        raise InputError("average: no run given; expected run folders")
    if weights not in (BEST, AVERAGE):
        raise InputError(f"--weights must be {BEST} or {AVERAGE}, found {weights!r}")
    if len({os.path.realpath(run) for run in runs}) < len(runs):
        raise InputError("average: a run is given twice; name each run once")
    if last is not None and last < 1:
        raise InputError(f"--last must be at least 1, found {last}")
    if len(runs) > 1 and last is not None:
        raise InputError("--last is of one run's snapshots; average each run first, then all with --weights average")
    if len(runs) > 1 and out is None:
        raise InputError("average: several runs need --out, the folder of the run that their mean becomes")
    if len(runs) == 1 and weights != BEST:
        raise InputError("--weights is for several runs; one run's snapshots are averaged")
    if out is None and label is not None:
        raise InputError("--label is for the run in --out; rows of RUN/average/ carry the run's own label")


def _sound(run: Path) -> FinishedRecord:
    """The record of a finished run. Raises InputError for a failed seed."""
    record = read_finished(run, failed=True)
    if record.status in FAILED:
        raise InputError(f"training of {run} {record.status}: a failed seed has no average; leave it out")
    return record


def _snapshots(run: Path, record: FinishedRecord, last: int) -> tuple[list[Part], dict[str, int]]:
    found = snapshots_of(run)
    if not found:
        raise InputError(f"{run} has no snapshots; train it with --checkpoint.snapshots={last}, which keeps the "
                         "weights of its last evaluation points")
    if len(found) < last:
        raise InputError(f"{run} has {len(found)} snapshots, --last {last} asks for more; lower it, or train the run "
                         f"with --checkpoint.snapshots={last} and at least as many evaluations")
    return [Part(folder, record, step_of(folder)) for folder in found[-last:]], {LAST: last}


def _runs(runs: Sequence[Path], records: Sequence[FinishedRecord], weights: str) -> tuple[list[Part], dict[str, int]]:
    """The models of `runs`, seeds ascending. Raises InputError unless their weights have a meaningful mean."""
    _check_alike(runs, records)
    ordered = sorted(zip(runs, records, strict=True), key=lambda pair: pair[1].seed)
    if weights == BEST:
        return [Part(run / BEST, record, record.selection.step) for run, record in ordered], {RUNS: len(runs)}
    averages = [average_of(run) for run, _ in ordered]
    for (run, _), found in zip(ordered, averages, strict=True):
        if found.settings != averages[0].settings:
            raise InputError(f"{run} holds the {found.words}, {ordered[0][0]} the {averages[0].words}; average the "
                             "same number of snapshots of each")
    parts = [Part(run / AVERAGE, record, found.step) for (run, record), found in zip(ordered, averages, strict=True)]
    return parts, {LAST: int(averages[0].settings[LAST] or 0), RUNS: len(runs)}


def _check_alike(runs: Sequence[Path], records: Sequence[FinishedRecord]) -> None:
    first = records[0]
    for run, record in list(zip(runs, records, strict=True))[1:]:
        for what in ("kind", "labels"):
            if getattr(record, what) != getattr(first, what):
                raise InputError(f"{run} and {runs[0]} differ in {what}; only models with the same head have a mean")
        if not record.settings or recipe_digest(record.settings) != recipe_digest(first.settings):
            keys = {*record.settings, *first.settings}
            unlike = sorted(key for key in keys if record.settings.get(key) != first.settings.get(key))
            raise InputError(f"{run} and {runs[0]} are not of one recipe (they differ in "
                             f"{', '.join(unlike[:3]) or 'what they record'}); average runs that differ in their seed "
                             "only")
        if record.origin_run != first.origin_run:
            raise InputError(f"{run} and {runs[0]} start from different intermediate runs, whose weights have no "
                             "meaningful mean; train all seeds with one init_from")
    if len({record.seed for record in records}) < len(records):
        raise InputError("average: two of the runs have the same seed; their mean is no more than one of them")
    heads = [first.weights_from, *first.weights_from.get("heads", {}).values()]
    head, kept = first.settings.get("model.head_seed"), not any(one.get("new_keys", ["unknown"]) for one in heads)
    if RUNS in first.settings or "random" in first.weights_from or (head is None and not kept):
        what = "weights" if "random" in first.weights_from else "heads"
        raise InputError(f"{runs[1]} and {runs[0]}: the initial {what} were drawn from different seeds, so that their "
                         "mean has no meaning; train on one encoder with the same --model.head_seed in every run")


def _is_there(model: Path, target: Path, found: AverageRecord, overwrite: bool) -> bool:
    """True where `target` holds this average. Raises InputError where it holds anything else, without `overwrite`."""
    if not target.exists():
        return False
    there = read_average(model)
    if there == found and weight_files(model):
        return True
    if there is None:
        raise InputError(f"{target} exists and is no average; choose another folder, or remove it")
    if not overwrite:
        raise InputError(f"{target} holds another average ({there.words}, {len(there.averaged)} models up to step "
                         f"{there.step:,}); add --overwrite, or choose another --out")
    return False


def _write_model(folder: Path, like: Path, parts: Sequence[Part], found: AverageRecord) -> None:
    """Write a transformers folder with the mean of `parts`, and all files of `like` that are no weights."""
    for file in sorted([*like.iterdir(), *like.glob(f"{HEADS}/*/*")]):
        name = file.relative_to(like).as_posix()
        if file.is_file() and not file.is_symlink() and name not in (*weight_files(like), AVERAGE_FILE):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / name)
    write_mean([part.folder for part in parts], folder)
    for name in weight_files(folder):  # safetensors lets nobody but the owner read them
        shutil.copymode(folder / "config.json", folder / name)
    write_json(folder / AVERAGE_FILE, found.model_dump())


def _write_run(folder: Path, first: Path, target: Path, records: Sequence[FinishedRecord], found: AverageRecord,
               label: str | None) -> None:
    """Write recipe, record and done.json of the average as a run: of the lowest seed, and without an oracle."""
    record = min(records, key=lambda one: one.seed)
    name = target.resolve().name
    label = label or label_with(record.label, found.settings)
    settings = {**record.settings, **found.settings}
    recipe = load_recipe(str(first / CONFIG), {"name": name, "label": label, "output": str(target.parent)},
                         announce=False)
    write_text(folder / CONFIG, dump(recipe))
    outcome = {"selection": {**record.selection.model_dump(), "step": found.step, "value": None},
               "oracle_by_cell": {}, "at_chance": None}
    update_record(folder, **{
        **record.model_dump(exclude_unset=True), **outcome, "name": name, "label": label, "settings": settings,
        "started_in": None, "recipe_digest": recipe_digest(settings),
        "wall_seconds": sum(one.wall_seconds or 0.0 for one in records)})
    write_json(folder / DONE, {"step": found.step, **outcome})
