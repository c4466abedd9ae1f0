"""Build the cells of a task: raw files or the hub in, sharded and tokenised cells out.

Inputs: a task, a source, a tokenizer. Outputs: `<out>/<task>/<split>/<language>/` and the tokenizer beside them.
Everything is checked before anything is written (one more pass over the files, short beside tokenising them); finished
cells are skipped if the content of their source is unchanged.

    python -m data_prep build xnli --source data/xnli --tokenizer xlm-roberta-base --out shards --languages en,de
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from data_prep.base.errors import InputError, did_you_mean
from data_prep.base.lock import held_beside
from data_prep.planning import Plan, Settings, checked, is_done, plan_cell
from data_prep.shards.manifest import Manifest, TokenizerInfo
from data_prep.sources.find import Found, cells_of, cells_there, check_first_rows, file_cell
from data_prep.sources.layouts import named_task, split_list
from data_prep.sources.own import Own, describe_own, is_own, own_cell
from data_prep.tasks import TASKS
from data_prep.tasks.suites import SUITES, SuitePart
from data_prep.tasks.task import Task
from data_prep.tokenizer import describe_tokenizer, keep_tokenizer, load_tokenizer
from data_prep.workers import Work, mapper
from data_prep.writing import Bar, progress_bar, report_cell, summarise, write_planned

SHORTEST_TEXTS = 4  # tokens of two texts that an input must have room for
MEGABYTE = 1024 * 1024
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """The cells of one task that are to be built, and a line on the files that nothing reads."""

    task: Task
    cells: Sequence[Found]
    unread: str = ""


@dataclass
class Problems:
    """Reasons for cells that were not built. One ends the build of a task; a suite goes on with its other cells."""

    goes_on: bool = False
    found: list[tuple[str, str]] = field(default_factory=list)
    """(cell, reason)."""

    def lines(self) -> list[str]:
        """A line for all languages of a task and split that are missing for one reason."""
        alike: dict[tuple[str, str], list[str]] = {}
        for cell, reason in self.found:
            part, _, language = cell.rpartition("/")
            alike.setdefault((part, reason.replace(f" in {language};", " in these languages;")), []).append(language)
        return [f"missing  {part} ({len(languages)}) {' '.join(languages)}: {reason}"
                for (part, reason), languages in alike.items()]

    def attempt(self, cell: str, step: Callable[[], T]) -> list[T]:
        """The result of `step` in a list, which is empty if it raised InputError and the build goes on."""
        try:
            return [step()]
        except InputError as error:
            if not self.goes_on:
                raise
            self.found.append((cell, str(error)))
            return []


def build(
    *task: str, source: str, tokenizer: str, out: str, languages: str | None = None, splits: str | None = None,
    kind: str | None = None, columns: str | None = None, labels: str | None = None, metric: str | None = None,
    format: str | None = None, parallel: bool = False, suite: str | None = None, max_length: int | None = None,
    workers: int = 0, max_shard_mb: int = 256, overwrite: bool = False, drop_placeholders: bool = False,
) -> None:
    """Build tokenised cells of a task from its publisher's files, from XTREME's layout, or from the hub.

    source: `hub`, `hub:REPOSITORY` (a mirror, or a folder laid out like the hub's repository), a folder of files (with
    `.gz` and `.zip` as published), or one file. tokenizer: a folder or a name on the hub. languages, splits: comma
    lists; by default all that the source has.
    Own data is one file (.csv, .tsv, .jsonl, .txt) of one language and split. columns: FIELD=COLUMN pairs
    (premise=text_a,label=gold): names in the header or keys of JSON objects (dots lead into nested ones), or positions
    from 0 if the file has no header; by default the columns that are named as the kind's fields. labels: in their
    order, or value=label pairs, in a comma list or one per line of a file. kind, metric: of a task that has no file
    here. format: if the file's ending does not tell it. parallel: rows of equal key (or number) are translations.
    suite: all cells of a benchmark (xtreme, xtreme_r, xglue, african, intermediate) in place of TASK; of a folder, each
    task's files lie in a folder of its name. Cells that cannot be built are listed at the end, and the exit code is 2.
    max_length: of a model input, special tokens included; by default the task's own (128 or more). workers: processes,
    0 for one per core. drop_placeholders: leave out rows with the publishers' placeholder for a missing text (pawsx:
    NS). A finished cell with the same settings and source content is skipped; one that differs is an error without
    --overwrite. A cell that another process is building is always an error.
    """
    settings = Settings(tokenizer, Path(out), max_length, workers, max_shard_mb, overwrite, drop_placeholders)
    own = Own(kind, columns, labels, metric, format, parallel)
    if suite is not None:
        clash = [*task, *("--" + flag for flag in own.given), *["--languages"] * bool(languages),
                 *["--splits"] * bool(splits)]
        if clash:
            raise InputError(f"--suite {suite} holds its tasks, splits and languages; omit {', '.join(clash)}")
        build_suite(suite, source, settings)
        return
    if len(task) != 1:
        found = f"stray word {task[1]!r}; it takes one" if task else "missing"
        raise InputError(f"build: {found} TASK; tasks: {', '.join(TASKS)}")
    build_task(task[0], source, languages, splits, settings, own)


def build_task(
    task: str, source: str, languages: str | None, splits: str | None, settings: Settings, own: Own | None = None
) -> Counter[str]:
    """Build the cells of a task, augmented or not; returns the counts summed over the written cells."""
    asked, parts, drop = split_list(languages, "languages"), split_list(splits, "splits"), settings.drop_placeholders
    own = own or Own()
    if is_own(task, source, own):
        declared, cell = own_cell(task, source, asked, parts, own)
        part = Part(declared, [file_cell(declared, cell, drop, describe_own(cell, own))])
        check_settings(settings, [declared])
    else:
        declared = named_task(task)
        check_settings(settings, [declared])
        part = Part(declared, *cells_of(declared, source, asked, parts, drop, settings.pins))
        check_first_rows(declared, source, part.cells)
    return build_parts([part], settings, Problems())


def build_suite(name: str, source: str, settings: Settings) -> None:
    """Build all cells of a suite, then list those that are missing; raises InputError if any is."""
    if name not in SUITES:
        raise InputError(f"no suite {name!r}{did_you_mean(name, SUITES)}; suites: {', '.join(SUITES)}")
    if source.startswith("hub:") or (source != "hub" and not Path(source).is_dir()):
        raise InputError(f"--source {source}: a suite is built from 'hub', or from a folder with one folder per task")
    suite = SUITES[name]
    check_settings(settings, [TASKS[part.task] for part in suite if part.task in TASKS])
    problems, console = Problems(goes_on=True), Console(highlight=False)
    build_parts(_suite_parts(suite, source, settings, problems), settings, problems,
                sum(len(part.splits) * len(part.languages) for part in suite))
    if problems.found:
        for line in problems.lines():
            console.print(line, soft_wrap=True, markup=False)
        raise InputError(f"suite {name}: {len(problems.found)} cells are missing or not as requested, see above; the "
                         "others are finished, and the same command goes on with these")


def _suite_parts(
    suite: Sequence[SuitePart], source: str, settings: Settings, problems: Problems
) -> Iterator[Part]:
    """The cells of a suite that the source has, task after task; the others are problems."""
    said = {""}
    for asked in suite:
        names = {(split, language): f"{asked.task}/{split}/{language}"
                 for split in asked.splits for language in asked.languages}
        if asked.task not in TASKS:
            problems.found += [(cell, f"no task {asked.task!r}") for cell in names.values()]
            continue
        task = TASKS[asked.task]
        drop = settings.drop_placeholders and bool(task.placeholders)
        place = source if source == "hub" else str(Path(source) / task.name)
        there, unread = cells_there(task, place, asked.splits, asked.languages, drop, settings.pins)
        problems.found += [(names[key], reason) for key, reason in there.items() if isinstance(reason, str)]
        cells = {(cell.split, cell.language): cell for cell in there.values() if isinstance(cell, Found)}
        yield Part(task, list(cells.values()), "" if unread in said else unread)
        said.add(unread)


def check_settings(settings: Settings, tasks: Sequence[Task]) -> None:
    """Raise InputError for settings that can never be met, before any source is read."""
    _check_least(workers=(settings.workers, 0), max_shard_mb=(settings.max_shard_mb, 1))
    without = [task.name for task in tasks if not task.placeholders]
    if settings.drop_placeholders and len(without) == len(tasks):
        raise InputError(f"--drop_placeholders: {', '.join(without)} has no placeholder texts; tasks with some: "
                         f"{', '.join(one.name for one in TASKS.values() if one.placeholders)}; omit the flag")
    for folder in (settings.out, *settings.out.parents):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--out {settings.out}: {folder} is a file; choose a folder")


def build_parts(
    parts: Iterable[Part], settings: Settings, problems: Problems, n_cells: int | None = None
) -> Counter[str]:
    """Build the cells of all parts under one progress bar; returns the counts summed over the written cells.

    `n_cells`: cells of all parts, where parts are found one after another (suites).
    """
    console = Console(highlight=False)
    loaded = load_tokenizer(settings.tokenizer)
    described = describe_tokenizer(loaded, settings.tokenizer)
    totals, written = Counter[str](), list[Manifest]()
    with progress_bar(console, n_cells) as bar:
        for part in parts:
            counts, manifests = _build_part(part, settings, loaded, described, problems, bar)
            totals.update(counts)
            written += manifests
    if written:
        summarise(written, console)
    elif not problems.found:
        console.print("nothing to do: every cell is finished")
    return totals


def _build_part(
    part: Part, settings: Settings, tokenizer: Any, described: TokenizerInfo, problems: Problems, bar: Bar
) -> tuple[Counter[str], list[Manifest]]:
    """Plan, check, lock and write the cells of one task."""
    console, length = bar.progress.console, settings.length(part.task)
    _check_least(max_length=(length, described.template.frames[1].specials + SHORTEST_TEXTS))

    def to_do(plans: Iterable[Plan]) -> list[Plan]:
        """The plans that are not finished; finished ones are said and counted as done."""
        left = []
        for plan in plans:
            finished = [False] if settings.overwrite else problems.attempt(_name(plan), partial(
                is_done, plan.path, plan.draft, plan.source_sha256, console))
            if finished == [False]:
                left.append(plan)
            else:
                bar.advance(1, 1)
        return left

    plans = [plan for cell in part.cells for plan in problems.attempt(
        f"{part.task.name}/{cell.split}/{cell.language}",
        partial(plan_cell, part.task, cell, settings, described))]
    todo = to_do(plans)
    if part.unread:
        console.print(part.unread, soft_wrap=True, markup=False)
    with ExitStack() as locks:
        what = "augment" if settings.augmentation else "build"
        # a fixed order, so that one of two processes gets all
        todo = [plan for plan in sorted(todo, key=lambda plan: plan.path) for _ in problems.attempt(
            _name(plan), partial(lambda plan: locks.enter_context(held_beside(plan.path, what)), plan))]
        todo = to_do(todo)  # another process may just have finished some
        ready = []
        for plan in todo:
            bar.say(f"checking {_name(plan)}")
            ready += problems.attempt(_name(plan), partial(checked, plan, console))
        if not ready:
            return Counter(), []
        settings.pins.keep()
        keep_tokenizer(settings.out, tokenizer, described.fingerprint)
        return _write(ready, part.task, settings, tokenizer, described, problems, bar)


def _write(
    plans: Sequence[Plan], task: Task, settings: Settings, tokenizer: Any, described: TokenizerInfo,
    problems: Problems, bar: Bar,
) -> tuple[Counter[str], list[Manifest]]:
    """Write checked cells of one task."""
    work = Work(task.kind, tokenizer.backend_tokenizer, settings.length(task), described.template,
                settings.augmentation.augment if settings.augmentation else None)
    rows = sum(plan.rows or 0 for plan in plans)
    bar.say("", rows)
    totals, written = Counter[str](), []
    with mapper(work, settings.workers, rows) as encode:
        for plan in plans:
            bar.say(_name(plan))
            for manifest, counts in problems.attempt(_name(plan), partial(
                    write_planned, plan, encode, settings.max_shard_mb * MEGABYTE, settings.overwrite,
                    partial(bar.advance, of_rows=plan.rows))):
                written.append(manifest)
                totals.update(counts)
                report_cell(plan, manifest, bar.progress.console)
    return totals, written


def _name(plan: Plan) -> str:
    return "/".join(plan.path.parts[-3:])


def _check_least(**flags: tuple[int, int]) -> None:
    """Raise InputError for a flag below its least value; flags are (value, least)."""
    for flag, (value, least) in flags.items():
        if value < least:
            raise InputError(f"--{flag} must be at least {least}, found {value}")
