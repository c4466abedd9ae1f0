"""Files and result rows of an evaluation: predictions, outcomes, certificates, `results.jsonl`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256
from data_prep.languages import same_language
from trainer.evaluate.crossed import groups_of
from trainer.evaluate.inputs import Job
from trainer.evaluate.join import column
from trainer.evaluate.predict import Predictions
from trainer.evaluate.smoothing import Smoothing, Votes, certify, vote
from trainer.kinds import KINDS
from trainer.kinds.kind import Rows
from trainer.metrics import METRICS
from trainer.results.numbers import PERCENT, counted, scale_of
from trainer.results.outcomes import outcomes_path, write_outcomes
from trainer.results.predictions import (
    ABSTAIN,
    Certificates,
    certified_path,
    predictions_path,
    write_certificates,
)
from trainer.results.scores import (
    LARGEST_VALUE,
    MISSING,
    NO_LABEL,
    RESULTS_FILE,
    ResultRow,
    SmoothingRecord,
    read_rows,
)
from trainer.runs.average import AverageRecord
from trainer.runs.folder import AVERAGE, BEST, FAILED, WEIGHTS
from trainer.runs.record import DevCell, FinishedRecord


@dataclass(frozen=True)
class Source:
    """Fields shared by all rows of one evaluation."""

    record: FinishedRecord
    checkpoint: str
    """Hash of the weights that are evaluated."""
    precision: str
    average: AverageRecord | None = None
    """Of the average that is evaluated; None of the best checkpoint."""

    @property
    def selection(self) -> Literal["best", "average"]:
        """Value of the rows' field."""
        return "best" if self.average is None else "average"

    @property
    def folder(self) -> str:
        """Beginning of the names of files below `eval/`."""
        return "" if self.average is None else f"{AVERAGE}/"

    def identity(self) -> dict[str, Any]:
        """Fields of a result row that describe the run."""
        record = self.record
        return {"run": record.name, "label": record.label, "method": record.method, "seed": record.seed,
                "kind": record.kind, "train_languages": record.train_languages, "settings": record.settings,
                "model": model_name(record.weights_from), "origin_run": record.origin_run,
                "ended": record.status if record.status in FAILED else "done", "kernels": record.kernels,
                "chosen_on": record.selection.cell or ""}

    def of_cell(self, job: Job) -> dict[str, Any]:
        """Fields of a result row that all scores of one cell share."""
        manifest = job.cell.manifest
        return {**self.identity(), "task": manifest.task, "kind": manifest.kind, "split": manifest.split,
                "language": manifest.language,
                "language_2": job.language_2, "language_info": manifest.language_info.model_dump(), "n": len(job.ids),
                "step": self.record.selection.step, "checkpoint": self.checkpoint,
                "cell_sha256": job.rows_sha256, "precision": self.precision, **self._of_average()}

    def _of_average(self) -> dict[str, Any]:
        if self.average is None:
            return {}
        return {"selection": self.selection, "step": self.average.step, "chosen_on": "",
                "settings": {**self.record.settings, **self.average.settings} if self.record.settings else {}}


def model_name(origin: Mapping[str, Any]) -> str:
    """Last part of a hub name or path; of an earlier run that without its seed; of random weights, family and size."""
    if "random" in origin:
        name = " ".join(filter(None, ("random", str(origin.get("family", "")), str(origin["random"]))))
    elif "model.name" in origin:
        name = Path(str(origin["model.name"])).name
    else:
        name = re.sub(r"-seed\d+$", "", Path(str(origin.get("init_from", ""))).name)
    return name[:200] if name.isprintable() else ""  # a record may be a stranger's


def checkpoint_sha256(folder: Path, name: str = BEST) -> str:
    """Hash of the weights in a run's `best/`, or the folder `name`; empty where there are none, which loading reports.
    """
    weights = folder / name / WEIGHTS
    return file_sha256(weights) if weights.is_file() else ""


def refuse_other_rows(folder: Path, source: Source) -> None:
    """Raise InputError where the run's result file is damaged or holds rows of other weights."""
    if not (written := folder / "eval" / RESULTS_FILE).exists():
        return
    for row in read_rows(written):
        if row.selection == source.selection and row.checkpoint not in ("", source.checkpoint):
            step = source.record.selection.step if source.average is None else source.average.step
            raise InputError(f"{written} holds rows of another checkpoint (step {row.step}) than {source.selection}/ "
                             f"holds now (step {step}); remove {written.parent} and evaluate again")


def write_cell(folder: Path, job: Job, predictions: Predictions, source: Source) -> list[ResultRow]:
    """Write the files of one cell below `folder`, a run's `eval/`; returns a row per metric of its task.

    Without labels there are predictions, and rows without a value.
    """
    manifest = job.cell.manifest
    kind = KINDS[manifest.kind]
    labelled = manifest.has_labels or kind.mask is not None
    names = (manifest.task, manifest.split, manifest.language, job.language_2 if job.setting == "generalized" else None)
    order = np.argsort(job.ids, kind="stable")
    predicted_file = None
    if kind.serialise is not None:
        predicted_file = source.folder + predictions_path(*names, extension=kind.extension)
        kind.serialise(predictions.predicted[order], Rows(job.ids[order], job.keys[order]), manifest,
                       folder / predicted_file)
    found = []
    for number, name in enumerate(manifest.metrics):
        value, note, outcome_file = None, NO_LABEL, None
        if labelled:
            counts = predictions.counts(name)
            value, note = _score(METRICS[name].score(counts), name)
            if predicted_file is not None:
                outcome_file = source.folder + outcomes_path(*names, metric=name if number else "")
                write_outcomes(folder / outcome_file, job.keys[order], counts[order],
                               groups_of(job.cell, job.ids[order]), smallest=METRICS[name].smallest_count,
                               largest=METRICS[name].largest_count)
        found.append(ResultRow(
            **source.of_cell(job), metric=name, setting=job.setting, value=value, note=note, excluded=job.excluded,
            joined_by=job.joined_by, predictions=predicted_file, outcomes=outcome_file,
            chance=_chance(name, predictions.gold if labelled else None)))
    return found


def write_smoothed(folder: Path, job: Job, votes: Votes, settings: Smoothing, source: Source) -> ResultRow:
    """Write the certificates of one cell below `folder`, a run's `eval/`; returns its row."""
    manifest = job.cell.manifest
    gold, labelled = column(job.cell, "label"), manifest.has_labels
    certified, radii = certify(votes, settings)
    voted = vote(votes, settings.alpha)
    order = np.argsort(job.ids, kind="stable")
    correct = (certified == gold).astype(np.int64) if labelled else np.full(len(gold), -1)
    names = [*manifest.labels, ABSTAIN]  # class -1 is the last one
    found = Certificates(job.ids[order], [names[i] for i in certified[order]], correct[order], radii[order])
    path = source.folder + certified_path(manifest.task, manifest.split, manifest.language, str(settings.site),
                                          settings.sigma)
    write_certificates(folder / path, found)
    smoothing = SmoothingRecord(
        site=str(settings.site), sigma=settings.sigma, samples=settings.samples,
        selection_samples=settings.selection_samples, alpha=settings.alpha, seed=settings.seed,
        abstained=float(np.mean(certified < 0)), vote=float(np.mean(voted == gold)) if labelled else None,
        vote_abstained=float(np.mean(voted < 0)), mean_radius=float(found.reach.mean()) if labelled else None,
        median_radius=float(np.median(found.reach)) if labelled else None, token_norm=votes.token_norm,
        width=votes.width, certified=path)
    return ResultRow(
        **source.of_cell(job), metric="accuracy", setting="smoothed", smoothing=smoothing,
        value=float(np.mean(correct == 1)) if labelled else None, note="" if labelled else NO_LABEL,
        chance=_chance("accuracy", gold if labelled else None))


def oracle_rows(source: Source) -> list[ResultRow]:
    """The score of each dev cell's own best checkpoint in training: an upper bound that zero-shot cannot reach."""
    rows, record = [], source.record
    for name, best in record.oracle_by_cell.items():
        task, split, language = name.split("/")
        cell = record.dev_cells.get(name, DevCell())
        of_task = record.task_record(cell.task)
        value, note = _score(best.value, of_task.metric)
        has_chance = METRICS[of_task.metric].majority_is_chance
        rows.append(ResultRow(
            **source.identity() | {"kind": of_task.kind}, cell_sha256=cell.rows_sha256,
            chance=cell.chance if has_chance else None, precision=record.precision, task=task, metric=of_task.metric,
            split=split, language=language,
            language_2=language, value=value, note=note, n=0, step=best.step, selection="oracle"))
    return rows


def describe_rows(rows: list[ResultRow]) -> list[str]:
    """Lines for the terminal: every score of the standard setting."""
    lines = []
    for row in rows:
        if row.setting == "standard":
            of = "" if row.selection == "best" else f", {row.selection}"
            lines.append(f"{row.task}/{row.split}/{row.language}  {_spoken(row.metric, row.value, row.note)}  "
                         f"({counted(row.n, 'row')}{of})")
    return lines


def describe_means(folder: Path, rows: list[ResultRow]) -> list[str]:
    """Lines for the terminal: the means over languages, and over pairs of them, and the file."""
    lines = []
    groups: dict[tuple[str, ...], list[ResultRow]] = {}
    for row in rows:
        if row.value is not None:
            groups.setdefault((row.task, row.split, row.metric, row.selection, row.setting), []).append(row)
    for (task, split, metric, selection, setting), found in groups.items():
        if setting == "standard" and len(found) == 1:
            continue
        others = [row for row in found if not same_language(row.language, "en")]
        of = "" if selection == "best" else f", {selection}"
        if setting == "standard":
            more = "" if len(others) in (0, len(found)) else (
                f"; without English {scale_of(metric).with_unit(_mean(others))} over {len(others)}")
            lines.append(f"{task}/{split}{of}: mean {_spoken(metric, _mean(found))} over {len(found)} languages{more}")
        else:
            lines.append(f"{task}/{split}, {setting}{of}: mean {_spoken(metric, _mean(found))} over "
                         f"{counted(len(found), 'pair')}")
    return [*lines, f"{folder / 'eval' / RESULTS_FILE}: {counted(len(rows), 'row')}"]


def _spoken(metric: str, value: float | None, note: str = "") -> str:
    """A score in words: "accuracy 71.3 %"."""
    scale = scale_of(metric)
    return f"{scale.name} {note if value is None else scale.with_unit(value)}"


def _mean(rows: list[ResultRow]) -> float:
    return float(np.mean([row.value for row in rows if row.value is not None]))


def describe_smoothed(plain: ResultRow | None, row: ResultRow) -> str:
    """Line for the terminal: a smoothed row beside the accuracy of the same cell without noise."""
    smoothing = row.smoothing
    if smoothing is None:
        raise ValueError("not a smoothed row")
    parts = [f"{row.task}/{row.split}/{row.language}"]
    if row.value is None:
        parts.append(row.note)
    else:
        if plain is not None and plain.value is not None:
            parts.append(f"plain {PERCENT.with_unit(plain.value)}")
        parts.append(f"smoothed {PERCENT.with_unit(row.value)}")
    parts.append(f"abstained {100 * smoothing.abstained:.1f} %")
    if smoothing.median_radius is not None:
        parts.append(f"median certified radius {smoothing.median_radius:.3g}")
    return "  ".join([*parts, f"(mean token norm {smoothing.token_norm:.3g})"])


def _score(value: float, metric: str) -> tuple[float | None, str]:
    """(value, note) of a row; the perplexity of a diverged model is infinite, which is no score."""
    return (value, "") if abs(value) <= LARGEST_VALUE else (None, f"{MISSING}{metric} is not finite")


def _chance(metric: str, gold: np.ndarray | None) -> float | None:
    """Score of always predicting the most frequent class of `gold`, class indices; None where that is not its share."""
    if not METRICS[metric].majority_is_chance or gold is None:
        return None
    return float(np.bincount(gold).max() / len(gold))
