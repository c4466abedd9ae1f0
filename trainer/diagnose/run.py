"""`python -m trainer diagnose RUN --tasks xnli [--splits test] [--languages en,de] [--noise_scales 0,0.1,0.5]`.

Hypothesis of robust training for transfer (Huang et al. 2021, arXiv 2104.08645): to the model, sentences of other
languages are perturbed English sentences, so that robustness in a ball around English transfers. This command measures
what it predicts per language: distance of row-aligned sentences to English, share inside the trained radius, and
accuracy by distance and by noise.

Inputs: a run's `best/` and `config.yaml`, and parallel cells, English among them. Outputs: a row per language in
`<run>/eval/diagnostics.jsonl` and figures in `<run>/tensorboard/`. Inputs are checked before the model is loaded;
nothing is written before everything is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from data_prep.base.errors import InputError
from data_prep.base.lock import held_beside
from data_prep.languages import same_language
from data_prep.shards.read import Cell
from trainer.config import load_recipe
from trainer.data.loader import Examples
from trainer.diagnose.measure import Ball, Noise, english_norms, measure
from trainer.diagnose.show import print_rows, write_figures
from trainer.diagnose.summary import measured_fields
from trainer.distributed.ranks import find_ranks
from trainer.evaluate.inputs import comma_list, head_of, load_best, open_cells, precision_of
from trainer.evaluate.join import Join, describe_joins, join_rows
from trainer.evaluate.shards_root import find_shards_root
from trainer.kinds import named_kind
from trainer.model.site import Site
from trainer.results.diagnostics import DIAGNOSTICS_FILE, ENGLISH, DiagnosticRow, merge_diagnostics, read_diagnostics
from trainer.robust.schedule import radius
from trainer.robust.settings import BallSettings, MethodSettings, ball_of, site_of
from trainer.runs.folder import CONFIG
from trainer.runs.record import FinishedRecord, read_finished


def diagnose(
    run: str, *, tasks: str, languages: str | None = None, splits: str = "test",
    noise_scales: str = "0,0.1,0.2,0.3,0.5,0.8,1.2", noise_draws: int = 1, noise_seed: int = 0,
    shards: str | None = None, batch_size: int = 64, precision: str | None = None,
) -> int:
    """Measure distance to English, and accuracy by distance and by noise, with a run's best model.

    tasks, languages, splits: comma lists; without languages, all that were built. noise_scales: norms of a token's
    Gaussian noise at the run's robust.site, relative to the mean norm of English tokens there; accuracy is averaged
    over noise_draws draws from noise_seed. shards: folder of the cells (default: the one the run was trained from, or
    one of its name beside the run). precision: of weights and activations (default: bf16 for a run trained in it, else
    fp32, as in evaluate).
    """
    folder = Path(run)
    record = read_finished(folder)
    precision = precision_of(precision, record)
    for name, value in (("batch_size", batch_size), ("noise_draws", noise_draws)):
        if value < 1:
            raise InputError(f"--{name} must be at least 1, found {value}")
    if (ranks := find_ranks()).world_size > 1:
        raise InputError(f"diagnose runs in one process, found {ranks.world_size} ranks; start it without a launcher, "
                         "several at once with --languages each")
    noise = Noise(_scales(noise_scales), _fitting("noise_draws", noise_draws, 4096),
                  _fitting("noise_seed", noise_seed, 2**63))
    settings = _settings(folder)
    ball = _ball(folder, settings, record)
    if (written := folder / "eval" / DIAGNOSTICS_FILE).exists():
        read_diagnostics(written)  # refuse a damaged file before measuring
    root = find_shards_root(folder, record, shards)
    jobs = [job for task in comma_list(tasks) for split in comma_list(splits)
            for job in _jobs(root, task, split, comma_list(languages or ""), record)]
    head = _head(folder, jobs, record)
    for line in _joined(jobs):
        print(line)
    measured = [cell.manifest.language for job in jobs for cell in (job.cell, job.english)]
    model, device = load_best(folder, record, precision, measured, head=head)
    model.site = Site.parse(site_of(settings), model.model.config.num_hidden_layers)
    model.eval()
    rows: list[DiagnosticRow] = []
    norms: dict[Path, tuple[float, float]] = {}
    with Progress(transient=True) as progress:
        bar = progress.add_task(f"{record.name}: measuring", total=sum(len(job.rows) for job in jobs))
        for job in jobs:
            manifest = job.cell.manifest
            english = Examples([job.english], record.max_length)
            if job.english.path not in norms:
                norms[job.english.path] = english_norms(model, english, batch_size, device)
            unit, labelled = norms[job.english.path], noise if manifest.has_labels else None
            found = measure(
                model, Examples([job.cell], record.max_length), job.rows, english, job.english_rows, ball=ball,
                noise=labelled, site_norm=unit[0], batch_size=batch_size, device=device,
                advance=lambda done: progress.advance(bar, done))
            rows.append(_row(job, measured_fields(found, unit, labelled), ball_of(settings), ball, noise, record))
    with held_beside(written, "diagnose", wait=True):  # of several processes, the last draws the rows of all
        merged = merge_diagnostics(written, rows)
        write_figures(folder / "tensorboard", merged)
    print_rows(rows)
    print(f"{written}: {len(rows)} rows; figures: tensorboard --logdir {folder}")
    return 0


@dataclass(frozen=True)
class Job:
    """A language and English, with the join of their parallel rows."""

    cell: Cell
    english: Cell
    join: Join

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        return self.join.first

    @property
    def english_rows(self) -> npt.NDArray[np.int64]:
        return self.join.second


def _head(folder: Path, jobs: list[Job], record: FinishedRecord) -> str:
    """The head that predicts all jobs. Raises InputError where there are several, or a kind without classes."""
    for kind in (job.cell.manifest.kind for job in jobs):
        if not named_kind(kind).one_class:
            raise InputError(f"{folder}: diagnose needs a kind with one class per example, found {kind!r}")
    heads = list(dict.fromkeys(head_of(job.cell, record) or "" for job in jobs))
    if len(heads) > 1:
        raise InputError(f"--tasks: predicted by the heads of {', '.join(heads)}; diagnose the tasks of one at a time")
    return heads[0]


def _jobs(root: Path, task: str, split: str, languages: list[str], record: FinishedRecord) -> Iterator[Job]:
    """Jobs of one task and split. Raises InputError where rows of a language and of English do not join."""
    cells = open_cells(root, task, split, languages, record)
    english = next((cell for cell in cells if same_language(cell.manifest.language, ENGLISH)), None)
    if english is None:
        try:
            (english,) = open_cells(root, task, split, [ENGLISH], record)
        except InputError as error:
            raise InputError(f"distances are to English: {error}") from None
    for cell in cells:
        yield Job(cell, english, join_rows(cell, english))


def _joined(jobs: list[Job]) -> list[str]:
    """Lines on the number of rows that each language shares with English."""
    joins: dict[str, list[tuple[str, Join]]] = {}
    for job in jobs:
        manifest = job.cell.manifest
        if job.cell is not job.english:
            joins.setdefault(f"{manifest.task}/{manifest.split}", []).append(
                (f"{manifest.language}-{ENGLISH}", job.join))
    return [line for title, found in joins.items() for line in describe_joins(title, found)]


def _row(job: Job, fields: dict[str, Any], measured: BallSettings, ball: Ball | None, noise: Noise,
         record: FinishedRecord) -> DiagnosticRow:
    manifest = job.cell.manifest
    if not fields["n"]:
        raise InputError(f"{job.cell.path} and {job.english.path} have no parallel rows that hold a word on both "
                         "sides; build both from aligned files")
    return DiagnosticRow(
        run=record.name, label=record.label, method=record.method, seed=record.seed, task=manifest.task,
        split=manifest.split, language=manifest.language, language_name=manifest.language_info.name,
        step=record.selection.step, excluded=len(job.cell) - fields["n"], site_name=measured.site,
        norm=measured.norm, scope=measured.scope, radius=ball.radius if ball else None, noise_draws=noise.draws,
        noise_seed=noise.seed, **fields)


def _settings(folder: Path) -> MethodSettings:
    """Robust section of the run's merged recipe."""
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder / CONFIG} is missing; expected the merged recipe of the run: train it again")
    return load_recipe(str(folder / CONFIG), announce=False).robust


def _ball(folder: Path, settings: MethodSettings, record: FinishedRecord) -> Ball | None:
    """Ball of the run at its full radius; None where its method has none."""
    if not isinstance(settings, BallSettings):
        return None
    if settings.relative and not record.site_norm:
        raise InputError(f"{folder}: epsilon is relative, but run.json holds no site_norm to take it from; "
                         "train the run again")
    return Ball(radius(settings, 1.0, record.site_norm), settings)


def _scales(text: str) -> list[float]:
    """Distinct noise scales, ascending."""
    try:
        scales = sorted({float(word) for word in comma_list(text)})
    except ValueError:
        scales = []
    if not scales or not all(math.isfinite(scale) and scale >= 0 for scale in scales):
        raise InputError(f"--noise_scales must be a comma list of numbers from 0 upwards, found {text!r}; "
                         "for example 0,0.1,0.2,0.5")
    return scales


def _fitting(name: str, value: int, limit: int) -> int:
    if not 0 <= value < limit:
        raise InputError(f"--{name} must lie from 0 to {limit - 1}, found {value}")
    return value
