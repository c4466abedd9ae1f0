"""`python -m trainer evaluate RUN --tasks xnli [--languages en,de] [--generalized] [--smoothing.samples 1000 ...]`.

Inputs: a run's `best/` and built cells. Outputs, below `<run>/eval/`: predictions in XTREME's format, outcomes per
example, certificates with smoothing, and one row per cell and metric in `results.jsonl`. All inputs are checked before
the first prediction.
"""

from __future__ import annotations

import io
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

import torch
from rich.progress import Progress

from data_prep.base.errors import InputError
from data_prep.shards.read import Cell
from trainer.distributed.collectives import gather_objects
from trainer.distributed.preemption import failures_in_a_line
from trainer.distributed.ranks import Ranks, find_ranks
from trainer.evaluate.inputs import (
    Job,
    comma_list,
    describe_jobs,
    head_of,
    jobs_of,
    load_heads,
    open_cells,
    open_suite,
    precision_of,
)
from trainer.evaluate.outputs import (
    Source,
    checkpoint_sha256,
    describe_means,
    describe_rows,
    describe_smoothed,
    oracle_rows,
    refuse_other_rows,
    write_cell,
    write_smoothed,
)
from trainer.evaluate.predict import Part, predict_batch, put_together
from trainer.evaluate.progress import EvaluationProgress
from trainer.evaluate.shards_root import find_shards_root
from trainer.evaluate.sharing import rounds_of
from trainer.evaluate.smoothing import Smoothing, count_votes, read_settings
from trainer.evaluate.suites import named_suite
from trainer.kinds import named_kind
from trainer.model.site import SiteModel
from trainer.results.scores import RESULTS_FILE, ResultRow, merge_rows
from trainer.robust.settings import DEFAULT_SITE
from trainer.runs.average import average_of
from trainer.runs.folder import AVERAGE, BEST, FAILED
from trainer.runs.next_command import report_command
from trainer.runs.record import FinishedRecord, read_finished

TIMEOUT_SECONDS = 1800.0  # of collectives: a rank may have to wait for the others' share of a round


def evaluate(
    run: str, *, tasks: str | None = None, suite: str | None = None, languages: str | None = None,
    splits: str = "test", generalized: bool = False, weights: str = "best", shards: str | None = None,
    batch_size: int = 64, precision: str | None = None, **smoothing: str,
) -> int:
    """Predict with a run's best checkpoint: a prediction file and a result row per language, or pair of languages.

    tasks, languages, splits: comma lists; without languages, all that were built. suite: instead of tasks, all test
    sets of xtreme, xtreme_r or xglue that are built and that the run's kind and labels fit. generalized: also every
    ordered pair, premise in one language and hypothesis in the other, the diagonal included. weights: best, average
    (of `trainer average`; its rows stand beside those of the best checkpoint) or best,average. shards: the folder that
    holds the cells (default: the one the run was trained from, or one of its name beside the run). precision: fp32,
    bf16 or fp16 (default: bf16 where the run was trained in it, else fp32).

    Under the `deepspeed` launcher, torchrun or srun, the batches of all cells are shared out over the ranks; files are
    the same to the last byte as those of one process.

    Randomized smoothing (Cohen et al. 2019): --smoothing.samples N --smoothing.sigma S adds, per language, the
    majority vote over N noisy passes, the share of abstentions, and certified L2 radii. Noise is added at
    --smoothing.site (default: the run's robust.site) with standard deviation S per coordinate, a length at the site.
    Also --smoothing.alpha (0.001), .selection_samples (100), .seed (0). Classification only, without --generalized.
    """
    if tasks is None and suite is None:
        raise InputError("evaluate: missing tasks; name --tasks (with --languages, --splits), or a --suite")
    if suite is not None and (tasks is not None or languages is not None or splits != "test"):
        raise InputError("name either --tasks (with --languages, --splits) or a --suite, whose cells are known")
    if batch_size < 1:
        raise InputError(f"--batch_size must be at least 1, found {batch_size}")
    folder, ranks = Path(run), find_ranks()
    with nullcontext() if ranks.is_main else redirect_stdout(io.StringIO()):  # one rank speaks
        record = read_finished(folder, failed=True)
        asked = precision_of(precision, record)
        settings = read_settings(smoothing, folder)
        if settings and (generalized or ranks.world_size > 1):
            found = "--generalized" if generalized else f"{ranks.world_size} ranks"
            raise InputError(f"--smoothing is for single languages, in one process, found {found} too; run evaluate "
                             "once with each")
        sources = _sources(folder, record, weights, asked)
        for source in sources:
            refuse_other_rows(folder, source)  # now, not after the last prediction
        cells = _cells(find_shards_root(folder, record, shards), record, tasks or "", suite, languages or "", splits)
        if settings:
            _check_certifiable(cells)
        _evaluate(folder, list(jobs_of(cells, generalized, record)), sources, settings, batch_size, ranks, generalized)
    return 0


def _evaluate(folder: Path, jobs: list[Job], sources: list[Source], settings: Smoothing | None, batch_size: int,
              ranks: Ranks, generalized: bool) -> None:
    """Predict all jobs with the weights of every source, and write what follows; every rank must call it."""
    record, precision = sources[0].record, sources[0].precision
    _print(describe_jobs(jobs))
    if ranks.world_size > 1:
        from trainer.engine.engine import start_distributed  # of several ranks only: DeepSpeed takes seconds

        start_distributed(ranks, TIMEOUT_SECONDS)
    cells = [job.cell for job in jobs if job.setting == "standard"]
    spoken, heads = [cell.manifest.language for cell in cells], dict.fromkeys(_head(cell, record) for cell in cells)
    site = (settings and settings.site) or DEFAULT_SITE
    loaded = [load_heads(folder, record, precision, spoken, heads, site, source.selection) for source in sources]
    if record.status in FAILED:
        print(f"warning: training of {folder} {record.status}; its rows count as a failed seed in reports")
    rows: list[ResultRow] = []
    with failures_in_a_line(ranks.world_size, TIMEOUT_SECONDS):
        for source, (models, device) in zip(sources, loaded, strict=True):
            rows += _predict_all(folder, jobs, models, source, batch_size, device, ranks, generalized)
    if ranks.is_main:
        merge_rows(folder / "eval" / RESULTS_FILE, [*oracle_rows(sources[0]), *rows])
    _print(describe_means(folder, rows))
    for source, (models, device) in zip(sources, loaded, strict=True):
        if settings:
            _smooth(folder, jobs, models, settings, batch_size, device, source)
    print(f"next: {report_command(folder)}")
    if ranks.world_size > 1:
        torch.distributed.destroy_process_group()


def _predict_all(folder: Path, jobs: list[Job], models: dict[str, SiteModel], source: Source, batch_size: int,
                 device: torch.device, ranks: Ranks, generalized: bool) -> list[ResultRow]:
    """Predict every job, the batches shared out over the ranks; the main rank writes, and has the rows."""
    record, rows = source.record, list[ResultRow]()
    rounds = list(rounds_of([job.examples for job in jobs], batch_size, ranks.world_size))
    for model in models.values():
        model.eval()
    tokens = sum(share.tokens for turn in rounds for share in turn.shares[ranks.rank])
    with EvaluationProgress(f"{record.name}: evaluating {source.selection}", len(jobs),
                            sum(len(job.examples) for job in jobs), tokens, ranks.is_main) as progress:
        for turn in rounds:
            mine: list[tuple[int, Part]] = []
            for share in turn.shares[ranks.rank]:
                job = jobs[share.job]
                mine.append((share.job, predict_batch(
                    models[_head(job.cell, record)], job.examples, share.rows, device)))
                progress.advance(share.tokens)
            parts = [part for of_rank in gather_objects(mine, ranks) for part in of_rank]
            found: list[ResultRow] = []
            for number in turn.jobs if ranks.is_main else ():
                job = jobs[number]
                predictions = put_together(job.examples, (part for owner, part in parts if owner == number))
                written = write_cell(folder / "eval", job, predictions, source)
                found += written
                if generalized and job.setting == "standard":  # the diagonal of the pairs: the same predictions
                    found += [row.model_copy(update={"setting": "generalized"}) for row in written]
            rows += found
            progress.finished(len(turn.jobs), describe_rows(found))
    return rows


def _head(cell: Cell, record: FinishedRecord) -> str:
    """Key of the cell's model among those of `load_heads`."""
    return head_of(cell, record) or ""


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
