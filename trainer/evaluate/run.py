"""`python -m trainer evaluate RUN --tasks xnli [--languages en,de] [--generalized] [--smoothing.samples 1000 ...]`.

Inputs: a run's `best/` and built cells. Outputs, below `<run>/eval/`: predictions in XTREME's format, outcomes per
example, certificates where smoothing is asked for, and one row per cell in `results.jsonl`. Every input is checked
before the first prediction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.progress import Progress, track

from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256
from data_prep.shards.read import Cell, find_cells
from trainer.data.collate import Masking
from trainer.data.loader import Examples
from trainer.data.scratch import open_near
from trainer.distributed.ranks import find_ranks
from trainer.evaluate.crossed import CrossedExamples, first_text_groups
from trainer.evaluate.join import Join, column, describe_joins
from trainer.evaluate.predict import Predictions, predict
from trainer.evaluate.shards_root import find_shards_root
from trainer.evaluate.smoothing import Smoothing, Votes, certify, count_votes, read_settings, vote
from trainer.kinds import HEADS
from trainer.model.pretrained import WEIGHTS, load_model, read_config
from trainer.model.site import SiteModel
from trainer.results.outcomes import outcomes_path, write_outcomes
from trainer.results.predictions import (
    ABSTAIN,
    NO_PREDICTION,
    Certificates,
    certified_path,
    line_per_row,
    predictions_path,
    write_certificates,
    write_predictions,
)
from trainer.results.scores import (
    LARGEST_VALUE,
    MISSING,
    NO_LABEL,
    RESULTS_FILE,
    ResultRow,
    SmoothingRecord,
    merge_rows,
    read_rows,
)
from trainer.runs.folder import BEST, FAILED
from trainer.runs.identity import rows_sha256
from trainer.runs.record import DevCell, FinishedRecord, read_finished

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def evaluate(
    run: str, *, tasks: str, languages: str | None = None, splits: str = "test", generalized: bool = False,
    shards: str | None = None, batch_size: int = 64, precision: str = "fp32", **smoothing: str,
) -> int:
    """Predict with a run's best checkpoint: a prediction file and a result row per language, or pair of languages.

    tasks, languages, splits: comma lists; without languages, all that were built. generalized: also every ordered
    pair, premise in one language and hypothesis in the other, the diagonal included. shards: the folder that holds
    the cells (default: the one the run was trained from, or one of its name beside the run).

    Randomized smoothing (Cohen et al. 2019): --smoothing.samples N --smoothing.sigma S also gives, per language, the
    majority vote over N noisy passes, how often it abstains, and the L2 radius it is certified for. Noise is added at
    --smoothing.site (default: the run's robust.site) with standard deviation S per coordinate, a length at the site.
    Also --smoothing.alpha (0.001), .selection_samples (100), .seed (0). Classification only, without --generalized.
    """
    folder = Path(run)
    record = read_finished(folder, failed=True)
    if precision not in DTYPES:
        raise InputError(f"--precision must be one of {', '.join(DTYPES)}, found {precision!r}")
    if batch_size < 1:
        raise InputError(f"--batch_size must be at least 1, found {batch_size}")
    if (ranks := find_ranks()).world_size > 1:
        raise InputError(f"evaluate runs in one process, found {ranks.world_size} ranks; start it without a launcher, "
                         "several at once with --languages each")
    settings = read_settings(smoothing, folder)
    if settings and generalized:
        raise InputError("--smoothing is for single languages, found --generalized too; run evaluate once with each")
    if settings and record.kind != "pair":
        raise InputError(f"--smoothing certifies one class per example; a task of kind {record.kind!r} has none")
    weights = Weights(_checkpoint(folder), precision)
    if (written := folder / "eval" / RESULTS_FILE).exists():
        _refuse_other_rows(written, record.selection.step, weights.checkpoint)  # now, not after the last prediction
    root = find_shards_root(folder, record, shards)
    cells = [cell for task in _words(tasks) for split in _words(splits)
             for cell in open_cells(root, task, split, _words(languages or ""), record)]
    jobs = list(_jobs(cells, generalized, record))
    for line in (*_joined(jobs), *_without_prediction(cells)):
        print(line)
    site = settings.site if settings and settings.site else "word_embeddings"
    model, device = load_best(folder, record, DTYPES[precision], site)
    if record.status in FAILED:
        print(f"warning: training of {folder} {record.status}; its rows count as a failed seed in reports")
    rows = _oracle_rows(record)
    for job in track(jobs, description=f"{record.name}: evaluating", transient=True):
        predictions = predict(model, job.examples, batch_size, device, ranks)
        row = _write(folder / "eval", job, predictions, record, weights)
        rows.append(row)
        if generalized and row.setting == "standard":  # the diagonal of the pairs: the same predictions
            rows.append(row.model_copy(update={"setting": "generalized"}))
    merge_rows(folder / "eval" / RESULTS_FILE, rows)
    _print_rows(folder, [row for row in rows if row.selection == "best"])
    if settings:
        _smooth(folder, jobs, model, settings, batch_size, device, record, weights)
    return 0


def _checkpoint(folder: Path) -> str:
    """Hash of the weights to be evaluated; empty where there are none, which loading them will say."""
    weights = folder / BEST / WEIGHTS
    return file_sha256(weights) if weights.is_file() else ""


def _refuse_other_rows(written: Path, step: int, checkpoint: str) -> None:
    """InputError where the file is damaged, or holds rows of another model: a report must not mix the two."""
    for row in read_rows(written):
        if row.checkpoint not in ("", checkpoint):
            raise InputError(f"{written} holds rows of another checkpoint (step {row.step}) than {BEST}/ holds now "
                             f"(step {step}); remove {written.parent} and evaluate again")


@dataclass(frozen=True)
class Weights:
    """The weights that are scored."""

    checkpoint: str
    """Hash of their file."""
    precision: str
    """That they run in."""


@dataclass(frozen=True)
class Job:
    """One cell of the results: what to predict on, and what it is called."""

    cell: Cell
    language_2: str
    setting: Literal["standard", "generalized"]
    examples: Examples
    ids: np.ndarray
    keys: np.ndarray
    rows_sha256: str
    """Hash of the content of the cell's rows; of both cells' in the generalized setting."""
    excluded: int = 0
    join: Join | None = None


def load_best(
    folder: Path, record: FinishedRecord, dtype: torch.dtype, site: str = "word_embeddings"
) -> tuple[SiteModel, torch.device]:
    """The run's best checkpoint on the best device here, to be perturbed at `site`; InputError where it is damaged."""
    head = HEADS[record.kind]
    source = str(folder / BEST)
    if not (folder / BEST / "config.json").is_file():
        raise InputError(f"{folder / BEST} holds no model; expected the folder of a finished run")
    config = read_config(source, "run")
    if record.labels and config.num_labels != len(record.labels):
        raise InputError(f"{folder}: the model has {config.num_labels} classes, the record names "
                         f"{len(record.labels)}; copy the run's folder again")
    classes = [config.id2label.get(row, "") for row in range(config.num_labels)]
    if record.labels and classes != record.labels:
        raise InputError(f"{folder}: the model's classes are {', '.join(classes)}, the record's "
                         f"{', '.join(record.labels)}; copy the run's folder again")
    if config.max_position_embeddings < record.max_length + config.pad_token_id + 1:
        raise InputError(f"{folder}: the model has {config.max_position_embeddings} positions, the record says "
                         f"max_length {record.max_length}; copy the run's folder again")
    if config.vocab_size < record.tokenizer.vocab_size:
        raise InputError(f"{folder}: the model has {config.vocab_size} word embeddings, the record says "
                         f"{record.tokenizer.vocab_size}; copy the run's folder again")
    model, info = load_model(head.auto_class, source, config, "run", dtype, local_files_only=True)
    if wrong := sorted((*info["missing_keys"], *info["unexpected_keys"])):
        raise InputError(f"{folder / BEST}: {len(wrong)} weights are missing or have no place, e.g. {wrong[0]}; copy "
                         "the run's folder again")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return SiteModel(model, head, site).to(device), device


def open_cells(root: Path, task: str, split: str, languages: list[str], record: FinishedRecord) -> list[Cell]:
    """The cells of one task and split, English first, checked against the run."""
    built = {path.name: path for path in find_cells(root, task, split)}
    wanted = languages or sorted(built, key=lambda language: (language != "en", language))
    missing = [language for language in wanted if language not in built]
    if missing or not wanted:
        raise InputError(f"{root}: no finished cell {task}/{split}/{missing[0] if missing else '*'}; built: "
                         f"{', '.join(built) or 'none'}; build it with `python -m data_prep build`, or name "
                         "another folder of shards with --shards")
    cells = [open_near(built[language]) for language in wanted]
    for cell in cells:
        for what in ("kind", "labels"):
            if getattr(cell.manifest, what) != getattr(record, what):
                raise InputError(f"{cell.path}: {what} {getattr(cell.manifest, what)}, the run was trained with "
                                 f"{getattr(record, what)}")
        if cell.manifest.tokenizer.fingerprint != record.tokenizer.fingerprint:
            raise InputError(f"{cell.path} was built with another tokenizer ({cell.manifest.tokenizer.name}) than the "
                             f"run's ({record.tokenizer.name}); build it with the run's")
    return cells


def _jobs(cells: list[Cell], generalized: bool, record: FinishedRecord) -> Iterator[Job]:
    """Every cell in the standard setting, then every ordered pair of different languages of a task and split.

    The diagonal of the generalized setting is the standard setting, so it is no job of its own.
    """
    masking = Masking(record.mask_ratio, 0) if record.kind == "mlm" else None
    for cell in cells:
        examples = Examples([cell], record.max_length, masking=masking)
        yield Job(cell, cell.manifest.language, "standard", examples, column(cell, "id"), column(cell, "key"),
                  rows_sha256(cell))
    if not generalized:
        return
    if record.kind != "pair":
        raise InputError(f"--generalized pairs two sentences; a task of kind {record.kind!r} has one")
    for first in cells:
        for second in cells:
            same = (first.manifest.task, first.manifest.split) == (second.manifest.task, second.manifest.split)
            if same and first is not second:
                crossed = CrossedExamples(first, second, record.max_length)
                both = hashlib.sha256((rows_sha256(first) + rows_sha256(second)).encode()).hexdigest()
                yield Job(first, second.manifest.language, "generalized", crossed, crossed.ids, crossed.keys, both,
                          crossed.excluded, crossed.join)


def _joined(jobs: list[Job]) -> list[str]:
    """Lines on the rows of the generalized setting, each pair of languages once."""
    joins: dict[str, dict[str, Join]] = {}
    for job in jobs:
        pair, one = job.cell.manifest, job.language_2
        of_split = joins.setdefault(f"{pair.task}/{pair.split}", {})
        if job.join is not None and f"{one}-{pair.language}" not in of_split:
            of_split[f"{pair.language}-{one}"] = job.join
    return [line for title, found in joins.items() if found
            for line in describe_joins(title, found.items(), " (left out)")]


def _without_prediction(cells: list[Cell]) -> list[str]:
    """A line for each cell that lacks rows of the publisher: how many lines of its prediction file hold no label."""
    lines = []
    for manifest in (cell.manifest for cell in cells if cell.manifest.kind == "pair"):
        rows = manifest.source_rows * (manifest.copies + 1)
        if missing := rows - manifest.rows:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(manifest.skipped.items())) or "not known why"
            lines.append(f"{manifest.task}/{manifest.split}/{manifest.language}: {missing:,} of {rows:,} lines of the "
                         f"prediction file hold {NO_PREDICTION!r}: these rows were left out when the cell was built "
                         f"({reasons})")
    return lines


def _write(folder: Path, job: Job, predictions: Predictions, record: FinishedRecord,
           weights: Weights) -> ResultRow:
    """Write the files of one cell and return its row; without labels there are predictions and no score."""
    manifest = job.cell.manifest
    labelled = manifest.has_labels or manifest.kind == "mlm"
    names = (manifest.task, manifest.split, manifest.language, job.language_2 if job.setting == "generalized" else None)
    predicted_file = outcome_file = None
    if manifest.kind == "pair":
        order = np.argsort(job.ids, kind="stable")
        predicted_file = predictions_path(*names)
        said = [record.labels[i] for i in predictions.predicted[order]]
        rows = manifest.source_rows * (manifest.copies + 1)
        write_predictions(folder / predicted_file, line_per_row(job.ids[order], said, rows))
        if labelled:
            outcome_file = outcomes_path(*names)
            write_outcomes(folder / outcome_file, job.keys[order], predictions.score[order],
                           first_text_groups(job.cell, job.ids[order]))
    value, note = _score(predictions.metric(manifest.metric), manifest.metric) if labelled else (None, NO_LABEL)
    return ResultRow(
        **_identity(record), **_content(job, weights, predictions.gold if labelled else None),
        task=manifest.task, metric=manifest.metric, split=manifest.split, setting=job.setting,
        language=manifest.language, language_2=job.language_2, value=value, note=note,
        n=len(job.ids), excluded=job.excluded, step=record.selection.step, predictions=predicted_file,
        outcomes=outcome_file, language_info=manifest.language_info.model_dump())


def _smooth(folder: Path, jobs: list[Job], model: SiteModel, settings: Smoothing, batch_size: int,
            device: torch.device, record: FinishedRecord, weights: Weights) -> None:
    """Smooth every cell; each is written as soon as it is done, for this takes as long as thousands of evaluations."""
    token_noise = settings.sigma * model.model.config.hidden_size ** 0.5  # its mean norm, but for O(1/H)
    print(f"smoothing at {settings.site}: sigma {settings.sigma:g} (a token's noise has norm {token_noise:.3g}), "
          f"{settings.samples} samples, alpha {settings.alpha:g}")
    passes = sum(len(job.ids) for job in jobs) * (settings.samples + settings.selection_samples)
    with Progress(transient=True) as progress:
        task = progress.add_task(f"{record.name}: smoothing", total=passes)
        for job in jobs:
            votes = count_votes(model, job.examples, settings, batch_size, device,
                                lambda done: progress.advance(task, done))
            row = _write_smoothed(folder / "eval", job, votes, settings, record, weights)
            rows = merge_rows(folder / "eval" / RESULTS_FILE, [row])
            plain = next(r for r in rows if r.key == (*row.key[:2], "standard", *row.key[3:-1], ""))
            progress.console.print(_smoothed_line(plain, row), markup=False, highlight=False, soft_wrap=True)


def _write_smoothed(folder: Path, job: Job, votes: Votes, settings: Smoothing, record: FinishedRecord,
                    weights: Weights) -> ResultRow:
    """Write the certificates of one cell and return its row."""
    manifest = job.cell.manifest
    gold = column(job.cell, "label")
    certified, radii = certify(votes, settings)
    voted = vote(votes, settings.alpha)
    order = np.argsort(job.ids, kind="stable")
    correct = (certified == gold).astype(np.int64) if manifest.has_labels else np.full(len(gold), -1)
    names = [*record.labels, ABSTAIN]  # class -1 is the last one
    found = Certificates(job.ids[order], [names[i] for i in certified[order]], correct[order], radii[order])
    path = certified_path(manifest.task, manifest.split, manifest.language, str(settings.site), settings.sigma)
    write_certificates(folder / path, found)
    labelled = manifest.has_labels
    figures = SmoothingRecord(
        site=str(settings.site), sigma=settings.sigma, samples=settings.samples,
        selection_samples=settings.selection_samples, alpha=settings.alpha, seed=settings.seed,
        abstained=float(np.mean(certified < 0)), vote=float(np.mean(voted == gold)) if labelled else None,
        vote_abstained=float(np.mean(voted < 0)), mean_radius=float(found.reach.mean()) if labelled else None,
        median_radius=float(np.median(found.reach)) if labelled else None, token_norm=votes.token_norm,
        width=votes.width, certified=path)
    return ResultRow(
        **_identity(record), **_content(job, weights, gold if labelled else None),
        task=manifest.task, metric=manifest.metric, split=manifest.split, setting="smoothed",
        language=manifest.language, language_2=manifest.language, n=len(job.ids), smoothing=figures,
        value=float(np.mean(correct == 1)) if labelled else None, note="" if labelled else NO_LABEL,
        step=record.selection.step, language_info=manifest.language_info.model_dump())


def _smoothed_line(plain: ResultRow, row: ResultRow) -> str:
    """What smoothing found in one language, for the terminal."""
    figures = row.smoothing
    if figures is None:
        raise ValueError("not a smoothed row")
    parts = [f"{row.task}/{row.split}/{row.language}"]
    if row.value is None or plain.value is None or figures.median_radius is None:
        parts.append(row.note)
    else:
        parts += [f"plain {plain.value:.4f}", f"smoothed {row.value:.4f}"]
    parts.append(f"abstained {100 * figures.abstained:.1f} %")
    if figures.median_radius is not None:
        parts.append(f"median certified radius {figures.median_radius:.3g}")
    return "  ".join([*parts, f"(mean token norm {figures.token_norm:.3g})"])


def _oracle_rows(record: FinishedRecord) -> list[ResultRow]:
    """What each dev cell's own best checkpoint reached in training: an upper bound, out of reach of zero-shot."""
    rows = []
    for name, best in record.oracle_by_cell.items():
        task, split, language = name.split("/")
        value, note = _score(best.value, record.metric)
        cell = record.dev_cells.get(name, DevCell())
        rows.append(ResultRow(
            **_identity(record), cell_sha256=cell.rows_sha256, chance=cell.chance, precision=record.precision,
            task=task, metric=record.metric, split=split, language=language,
            language_2=language, value=value, note=note, n=0, step=best.step, selection="oracle"))
    return rows


def _score(value: float, metric: str) -> tuple[float | None, str]:
    """(value, note) of a row; the perplexity of a diverged model is infinite, which is no score."""
    return (value, "") if abs(value) <= LARGEST_VALUE else (None, f"{MISSING}{metric} is not finite")


def _identity(record: FinishedRecord) -> dict[str, Any]:
    return {"run": record.name, "label": record.label, "method": record.method, "seed": record.seed,
            "kind": record.kind, "train_languages": record.train_languages, "settings": record.settings,
            "origin_run": record.origin_run,
            "ended": record.status if record.status in FAILED else "done", "kernels": record.kernels,
            "chosen_on": record.selection.cell or ""}


def _content(job: Job, weights: Weights, gold: np.ndarray | None) -> dict[str, Any]:
    """What one score depends on besides the run's identity, by content; `gold`: class indices, None without labels."""
    known = gold[gold >= 0] if gold is not None else np.empty(0)  # mlm has none
    return {"checkpoint": weights.checkpoint, "cell_sha256": job.rows_sha256, "precision": weights.precision,
            "chance": float(np.bincount(known).max() / len(known)) if len(known) else None}


def _print_rows(folder: Path, rows: list[ResultRow]) -> None:
    for row in rows:
        if row.setting == "standard":
            value = row.note if row.value is None else f"{row.value:.4f}"
            print(f"{row.task}/{row.split}/{row.language}  {row.metric} {value}  ({row.n} rows)")
    crossed = [row.value for row in rows if row.setting == "generalized" and row.value is not None]
    if crossed:
        print(f"generalized: mean {np.mean(crossed):.4f} over {len(crossed)} pairs")
    print(f"{folder / 'eval' / RESULTS_FILE}: {len(rows)} rows")


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


