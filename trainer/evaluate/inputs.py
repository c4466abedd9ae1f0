"""Inputs of an evaluation: the cells to predict on, checked against the run, and the run's best model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from data_prep.base.errors import InputError, did_you_mean
from data_prep.languages import same_language
from data_prep.shards.manifest import read_manifest
from data_prep.shards.read import Cell, find_cells
from data_prep.suggest import near_or_built
from trainer.data.loader import Examples, check_known, check_windows
from trainer.data.scratch import open_near
from trainer.evaluate.crossed import CrossedExamples
from trainer.evaluate.join import Join, column, describe_joins, first_windows, joined_by
from trainer.evaluate.suites import Suite
from trainer.kinds import KINDS, Kind, Masking, named_kind
from trainer.model.encoders import FAMILIES
from trainer.model.heads import load_head
from trainer.model.languages import check_languages
from trainer.model.pretrained import load_model, read_config
from trainer.model.site import SiteModel
from trainer.results.predictions import NO_PREDICTION
from trainer.robust.settings import DEFAULT_SITE
from trainer.runs.folder import BEST, HEADS, WEIGHTS
from trainer.runs.record import FinishedRecord, RunRecord, TaskRecord

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Job:
    """One cell of the results: the examples to predict, and the names of their rows."""

    cell: Cell
    language_2: str
    setting: Literal["standard", "generalized"]
    examples: Examples
    ids: np.ndarray
    keys: np.ndarray
    rows_sha256: str
    """Hash of the content of the cell's rows; of both cells' in the generalized setting."""
    joined_by: str = ""
    """See `ResultRow.joined_by`."""
    excluded: int = 0
    """Rows left out by the join of two cells."""
    join: Join | None = None


def open_cells(root: Path, task: str, split: str, languages: list[str], record: FinishedRecord) -> list[Cell]:
    """The cells of one task and split, English first.

    Raises InputError where a cell is missing, not known to this trainer, or differs from the run in kind, labels or
    tokenizer.
    """
    built = {path.name: path for path in find_cells(root, task, split)}
    wanted = (list(dict.fromkeys(cell_of(language, built) for language in languages))
              or sorted(built, key=lambda language: (not same_language(language, "en"), language)))
    missing = [language for language in wanted if language not in built]
    if missing or not wanted:
        name = f"{task}/{split}/{missing[0] if missing else '*'}"
        raise InputError(f"{root}: no finished cell {name}{near_or_built(root, name, built)}; build it with "
                         "`python -m data_prep build`, or name another folder of shards with --shards")
    cells = [open_near(built[language]) for language in wanted]
    for cell in cells:
        check_known(cell)
        check_windows(cell, record.max_length, "the run's max_length")
        if head_of(cell, record) is None:
            if record.tasks:
                heads = ", ".join(f"{name} ({one.kind})" for name, one in record.tasks.items())
                raise InputError(f"{cell.path}: no head of the run has its kind, {cell.manifest.kind}, and its labels; "
                                 f"heads: {heads}")
            for what in ("kind", "labels"):
                if getattr(cell.manifest, what) != getattr(record, what):
                    raise InputError(f"{cell.path}: {what} {getattr(cell.manifest, what)}, the run was trained with "
                                     f"{getattr(record, what)}")
        if cell.manifest.tokenizer.fingerprint != record.tokenizer.fingerprint:
            raise InputError(f"{cell.path} was built with another tokenizer ({cell.manifest.tokenizer.name}) than the "
                             f"run's ({record.tokenizer.name}); build it with the run's")
    return cells


def open_suite(root: Path, suite: Suite, record: FinishedRecord) -> tuple[list[Cell], list[str]]:
    """The built cells of a suite that the run's kind and labels fit, and a line per task on what is left out.

    Raises InputError where there is none, and for cells as of `open_cells`.
    """
    cells, lines = [], []
    for name, part in suite.parts.items():
        task = next((task for task in part.tasks if find_cells(root, task, part.split)), part.tasks[0])
        built = {path.name: path for path in find_cells(root, task, part.split)}
        found = {language: built[cell] for language in part.languages if (cell := cell_of(language, built)) in built}
        if not found:
            lines.append(f"{name}: no cell of {task}/{part.split} is built")
            continue
        manifest = read_manifest(next(iter(found.values())))
        if record.head_of(manifest.task, manifest.kind, manifest.labels) is None:
            heads = [f"{one.kind} ({', '.join(one.labels)[:80]})" for one in record.tasks.values() or [record]]
            lines.append(f"{name}: kind {manifest.kind} or its labels are not those of the run, {'; '.join(heads)}")
            continue
        if manifest.tokenizer.fingerprint != record.tokenizer.fingerprint:
            lines.append(f"{name}: built with another tokenizer ({manifest.tokenizer.name})")
            continue
        if absent := [language for language in part.languages if language not in found]:
            lines.append(f"{name}: not built: {', '.join(absent)}")
        cells += open_cells(root, task, part.split, [path.name for path in found.values()], record)
    if not cells:
        raise InputError(f"{root}: no cell of the suite that the run could be evaluated on ({'; '.join(lines)})")
    return cells, lines


def head_of(cell: Cell, record: FinishedRecord) -> str | None:
    """The task of the run whose head predicts the cell (`RunRecord.head_of`)."""
    return record.head_of(cell.manifest.task, cell.manifest.kind, cell.manifest.labels)


def cell_of(language: str, built: Iterable[str]) -> str:
    """The one of the languages `built` that `language` names, be it by another code; itself where none or several do.
    """
    alike = [one for one in built if same_language(one, language)]
    return alike[0] if len(alike) == 1 else language


def jobs_of(cells: list[Cell], generalized: bool, record: FinishedRecord) -> Iterator[Job]:
    """Every cell in the standard setting, then every ordered pair of different languages of a task and split.

    The diagonal of the generalized setting equals the standard setting and has no job of its own.
    """
    masking = Masking(record.mask_ratio, 0)
    for cell in cells:
        examples = Examples([cell], record.max_length, masking=masking)
        starts = first_windows(cell)
        yield Job(cell, cell.manifest.language, "standard", examples, column(cell, "id")[starts],
                  column(cell, "key")[starts], cell.manifest.rows_sha256, joined_by(cell))
    if not generalized:
        return
    for cell in cells:
        if not named_kind(cell.manifest.kind).can_be_crossed:
            raise InputError(f"--generalized pairs two sentences; a task of kind {cell.manifest.kind!r} has one")
    for first in cells:
        for second in cells:
            same = (first.manifest.task, first.manifest.split) == (second.manifest.task, second.manifest.split)
            if same and first is not second:
                crossed = CrossedExamples(first, second, record.max_length)
                both = hashlib.sha256((first.manifest.rows_sha256 + second.manifest.rows_sha256).encode()).hexdigest()
                yield Job(first, second.manifest.language, "generalized", crossed, crossed.ids, crossed.keys, both,
                          "publisher" if crossed.join.by == "publisher" else joined_by(first), crossed.excluded,
                          crossed.join)


def describe_jobs(jobs: list[Job]) -> list[str]:
    """Lines on the rows that pairs of languages share, each pair once, and on rows without a prediction."""
    joins: dict[str, dict[str, Join]] = {}
    for job in jobs:
        pair, one = job.cell.manifest, job.language_2
        of_split = joins.setdefault(f"{pair.task}/{pair.split}", {})
        if job.join is not None and f"{one}-{pair.language}" not in of_split:
            of_split[f"{pair.language}-{one}"] = job.join
    joined = [line for title, found in joins.items() if found
              for line in describe_joins(title, found.items(), " (left out)")]
    return [*joined, *_without_prediction([job.cell for job in jobs if job.setting == "standard"])]


def _without_prediction(cells: list[Cell]) -> list[str]:
    """Lines on cells that lack rows of the publisher: how many lines of the prediction file hold no label, and why."""
    lines = []
    for manifest in (cell.manifest for cell in cells if KINDS[cell.manifest.kind].serialise is not None):
        rows = manifest.source_rows * (manifest.copies + 1)
        if missing := rows - manifest.examples:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(manifest.skipped.items())) or "not known why"
            lines.append(f"{manifest.task}/{manifest.split}/{manifest.language}: {missing:,} of {rows:,} lines of the "
                         f"prediction file hold {NO_PREDICTION!r}: these rows were left out when the cell was built "
                         f"({reasons})")
    return lines


def check_precision(precision: str) -> None:
    """Raise InputError unless `precision` is one that models can be loaded in."""
    if precision not in DTYPES:
        raise InputError(f"--precision must be one of {', '.join(DTYPES)}, found {precision!r}"
                         f"{did_you_mean(precision, DTYPES)}")


def precision_of(asked: str | None, record: FinishedRecord) -> str:
    """`--precision`, else bf16 for a run that was trained in it. Raises InputError for an unknown one."""
    if asked is None:
        return "bf16" if record.precision == "bf16" else "fp32"
    check_precision(asked)
    return asked


def load_best(
    folder: Path, record: FinishedRecord, precision: str, languages: Iterable[str], site: str = DEFAULT_SITE,
    name: str = BEST, head: str = "",
) -> tuple[SiteModel, torch.device]:
    """The model in the run's folder `name` with its perturbation site at `site`, on a GPU where there is one.

    head: of a mixture, the task whose head it has; "" is the one of `best/`. Raises as `load_heads`.
    """
    models, device = load_heads(folder, record, precision, languages, [head], site, name)
    return models[head], device


def load_heads(
    folder: Path, record: FinishedRecord, precision: str, languages: Iterable[str], heads: Iterable[str],
    site: str = DEFAULT_SITE, name: str = BEST,
) -> tuple[dict[str, SiteModel], torch.device]:
    """Models in the run's folder `name` by head, on one encoder; heads as of `RunRecord.head_of`.

    precision: a key of DTYPES. Raises InputError where the model is damaged, does not fit the record, or is of a family
    that does not work in this precision or has no embedding of one of `languages`.
    """
    source = str(folder / name)
    if not (folder / name / "config.json").is_file():
        raise InputError(f"{folder / name} holds no model; expected the folder of a finished run")
    config = read_config(source, "run")
    family = FAMILIES[config.model_type]
    family.check_precision(precision, "--precision")
    _check_classes(folder, config, record.task_record(record.best_task))
    if (longest := family.max_length(config)) < record.max_length:
        raise InputError(f"{folder}: the model takes inputs of {longest} tokens, the record says max_length "
                         f"{record.max_length}; copy the run's folder again")
    if config.vocab_size < record.tokenizer.vocab_size:
        raise InputError(f"{folder}: the model has {config.vocab_size} word embeddings, the record says "
                         f"{record.tokenizer.vocab_size}; copy the run's folder again")
    check_languages(config, languages)
    kind = named_kind(record.task_record(record.best_task).kind)
    model, info = load_model(family.auto_class(kind.head), source, config, "run", DTYPES[precision],
                             local_files_only=True)
    if wrong := sorted((*info["missing_keys"], *info["unexpected_keys"])):
        raise InputError(f"{folder / name}: {len(wrong)} weights are missing or have no place, e.g. {wrong[0]}; copy "
                         "the run's folder again")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    models = {head: SiteModel(model, kind, site).to(device) if head in ("", record.best_task)
              else SiteModel(*_with_head(folder / name, record, model, head), site).to(device) for head in heads}
    return models, device


def _check_classes(folder: Path, config: Any, task: TaskRecord) -> None:
    """Raise InputError where the classes of a model are not those in the run's record."""
    if not task.labels or named_kind(task.kind).outputs is not None:
        return
    if config.num_labels != len(task.labels):
        raise InputError(f"{folder}: the model has {config.num_labels} classes, the record names "
                         f"{len(task.labels)}; copy the run's folder again")
    classes = [config.id2label.get(row, "") for row in range(config.num_labels)]
    if classes != task.labels:
        raise InputError(f"{folder}: the model's classes are {', '.join(classes)}, the record's "
                         f"{', '.join(task.labels)}; copy the run's folder again")


def _with_head(folder: Path, record: RunRecord, first: Any, head: str) -> tuple[Any, Kind]:
    """(model of another task of a mixture on the encoder of `first`, its kind). folder: of the first one."""
    task, of_head = record.task_record(head), folder / HEADS / head
    config = read_config(str(of_head), "run", check_weights=False)
    if config.model_type != first.config.model_type:
        raise InputError(f"{of_head}: a head of {config.model_type}, the encoder is {first.config.model_type}; copy "
                         "the run's folder again")
    _check_classes(of_head, config, task)
    kind = named_kind(task.kind)
    return load_head(first, config, FAMILIES[config.model_type].auto_class(kind.head), of_head / WEIGHTS), kind


def comma_list(text: str) -> list[str]:
    """Words of a comma-separated flag, without repetitions."""
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
