"""`python -m trainer evaluate RUN --tasks xnli [--languages en,de] [--generalized] [--smoothing.samples 1000 ...]`.

Inputs: a run's `best/` and built cells. Outputs, below `<run>/eval/`: predictions in XTREME's format, outcomes per
example, certificates with smoothing, and one row per cell and metric in `results.jsonl`. All inputs are checked before
the first prediction.
"""

from __future__ import annotations

from pathlib import Path

import torch
from rich.progress import Progress, track

from data_prep.base.errors import InputError
from data_prep.shards.read import Cell
from trainer.distributed.ranks import Ranks, find_ranks
from trainer.evaluate.inputs import (
    Job,
    check_precision,
    comma_list,
    describe_jobs,
    head_of,
    jobs_of,
    load_heads,
    open_cells,
    open_suite,
)
from trainer.evaluate.outputs import (
    Source,
    checkpoint_sha256,
    describe_rows,
    describe_smoothed,
    oracle_rows,
    refuse_other_rows,
    write_cell,
    write_smoothed,
)
from trainer.evaluate.predict import predict
from trainer.evaluate.shards_root import find_shards_root
from trainer.evaluate.smoothing import Smoothing, count_votes, read_settings
from trainer.evaluate.suites import named_suite
from trainer.kinds import named_kind
from trainer.model.site import SiteModel
from trainer.results.scores import RESULTS_FILE, merge_rows
from trainer.robust.settings import DEFAULT_SITE
from trainer.runs.average import average_of
from trainer.runs.folder import AVERAGE, BEST, FAILED
from trainer.runs.next_command import report_command
from trainer.runs.record import FinishedRecord, read_finished


def evaluate(
    run: str, *, tasks: str | None = None, suite: str | None = None, languages: str | None = None,
    splits: str = "test", generalized: bool = False, weights: str = BEST, shards: str | None = None,
    batch_size: int = 64, precision: str = "fp32", **smoothing: str,
) -> int:
    """Predict with a run's best checkpoint: a prediction file and a result row per language, or pair of languages.

    tasks, languages, splits: comma lists; without languages, all that were built. suite: instead of tasks, all test
    sets of xtreme, xtreme_r or xglue that are built and that the run's kind and labels fit. generalized: also every
    ordered pair, premise in one language and hypothesis in the other, the diagonal included. weights: best, average
    (of `trainer average`; its rows stand beside those of the best checkpoint) or best,average. shards: the folder that
    holds the cells (default: the one the run was trained from, or one of its name beside the run).

    Randomized smoothing (Cohen et al. 2019): --smoothing.samples N --smoothing.sigma S adds, per language, the
    majority vote over N noisy passes, the share of abstentions, and certified L2 radii. Noise is added at
    --smoothing.site (default: the run's robust.site) with standard deviation S per coordinate, a length at the site.
    Also --smoothing.alpha (0.001), .selection_samples (100), .seed (0). Classification only, without --generalized.
    """
    if tasks is None and suite is None:
        raise InputError("evaluate: missing tasks; name --tasks (with --languages, --splits), or a --suite")
    if suite is not None and (tasks is not None or languages is not None or splits != "test"):
        raise InputError("name either --tasks (with --languages, --splits) or a --suite, whose cells are known")
    folder = Path(run)
    record = read_finished(folder, failed=True)
    check_precision(precision)
    ranks = _one_rank(batch_size)
    settings = read_settings(smoothing, folder)
    if settings and generalized:
        raise InputError("--smoothing is for single languages, found --generalized too; run evaluate once with each")
    sources = _sources(folder, record, weights, precision)
    for source in sources:
        refuse_other_rows(folder, source)  # now, not after the last prediction
    root = find_shards_root(folder, record, shards)
    cells = _cells(root, record, tasks or "", suite, languages or "", splits)
    if settings:
        _check_certifiable(cells)
    jobs = list(jobs_of(cells, generalized, record))
    _print(describe_jobs(jobs))
    site = (settings and settings.site) or DEFAULT_SITE
    spoken, heads = [cell.manifest.language for cell in cells], dict.fromkeys(_head(cell, record) for cell in cells)
    loaded = [load_heads(folder, record, precision, spoken, heads, site, source.selection) for source in sources]
    if record.status in FAILED:
        print(f"warning: training of {folder} {record.status}; its rows count as a failed seed in reports")
    rows = []
    for source, (models, device) in zip(sources, loaded, strict=True):
        for job in track(jobs, description=f"{record.name}: evaluating {source.selection}", transient=True):
            predictions = predict(models[_head(job.cell, record)], job.examples, batch_size, device, ranks)
            found = write_cell(folder / "eval", job, predictions, source)
            if generalized and job.setting == "standard":  # the diagonal of the pairs: the same predictions
                found += [row.model_copy(update={"setting": "generalized"}) for row in found]
            rows += found
    merge_rows(folder / "eval" / RESULTS_FILE, [*oracle_rows(sources[0]), *rows])
    _print(describe_rows(folder, rows))
    for source, (models, device) in zip(sources, loaded, strict=True):
        if settings:
            _smooth(folder, jobs, models, settings, batch_size, device, source)
    print(f"next: {report_command(folder)}")
    return 0


def _head(cell: Cell, record: FinishedRecord) -> str:
    """Key of the cell's model among those of `load_heads`."""
    return head_of(cell, record) or ""


def _one_rank(batch_size: int) -> Ranks:
    """The ranks, of which there must be one. Raises InputError for more, and for a batch size below 1."""
    if batch_size < 1:
        raise InputError(f"--batch_size must be at least 1, found {batch_size}")
    if (ranks := find_ranks()).world_size > 1:
        raise InputError(f"evaluate runs in one process, found {ranks.world_size} ranks; start it without a launcher, "
                         "several at once with --languages each")
    return ranks


def _cells(root: Path, record: FinishedRecord, tasks: str, suite: str | None, languages: str,
           splits: str) -> list[Cell]:
    """The cells that the flags name; of a suite, also prints what is left out. Raises InputError as `open_cells`."""
    if suite is None:
        return [cell for task in comma_list(tasks) for split in comma_list(splits)
                for cell in open_cells(root, task, split, comma_list(languages), record)]
    cells, left_out = open_suite(root, named_suite(suite), record)
    _print([f"{suite}: {len(cells)} cells", *left_out])
    return cells


def _sources(folder: Path, record: FinishedRecord, weights: str, precision: str) -> list[Source]:
    """Weights to evaluate, as --weights says. Raises InputError where the run has no such weights.

    A failed seed has no average: its best checkpoint alone is evaluated, so that it counts as failed in reports.
    """
    names = comma_list(weights)
    if not names or not set(names) <= {BEST, AVERAGE}:
        raise InputError(f"--weights must be {BEST}, {AVERAGE} or {BEST},{AVERAGE}, found {weights!r}")
    if record.status in FAILED and AVERAGE in names:
        if BEST not in names:
            raise InputError(f"training of {folder} {record.status}: a failed seed has no {AVERAGE}; evaluate it with "
                             f"--weights {BEST}")
        print(f"training of {folder} {record.status}: a failed seed has no {AVERAGE}; evaluating {BEST} alone")
        names = [BEST]
    found = {name: average_of(folder) if name == AVERAGE else None for name in names}
    return [Source(record, checkpoint_sha256(folder, name), precision, average) for name, average in found.items()]


def _check_certifiable(cells: list[Cell]) -> None:
    for kind in dict.fromkeys(cell.manifest.kind for cell in cells):
        if not named_kind(kind).one_class:
            raise InputError(f"--smoothing certifies one class per example; a task of kind {kind!r} has none")


def _smooth(folder: Path, jobs: list[Job], models: dict[str, SiteModel], settings: Smoothing, batch_size: int,
            device: torch.device, source: Source) -> None:
    """Smooth every cell; each is written as soon as it is done, as it takes as long as thousands of evaluations."""
    width = next(iter(models.values())).model.config.hidden_size
    token_noise = settings.sigma * width ** 0.5  # its mean norm, but for O(1/H)
    print(f"smoothing at {settings.site}: sigma {settings.sigma:g} (a token's noise has norm {token_noise:.3g}), "
          f"{settings.samples} samples, alpha {settings.alpha:g}")
    passes = sum(len(job.ids) for job in jobs) * (settings.samples + settings.selection_samples)
    with Progress(transient=True) as progress:
        task = progress.add_task(f"{source.record.name}: smoothing", total=passes)
        for job in jobs:
            votes = count_votes(models[_head(job.cell, source.record)], job.examples, settings, batch_size, device,
                                lambda done: progress.advance(task, done))
            row = write_smoothed(folder / "eval", job, votes, settings, source)
            rows = merge_rows(folder / "eval" / RESULTS_FILE, [row])
            plain = next((r for r in rows if r.key == row.plain_key), None)
            progress.console.print(describe_smoothed(plain, row), markup=False, highlight=False, soft_wrap=True)


def _print(lines: list[str]) -> None:
    for line in lines:
        print(line)
