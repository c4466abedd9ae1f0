"""Own data: one file of a task of any kind, with columns and labels that the command line names.

Input: a file (`.csv`, `.tsv`, `.jsonl`, `.txt`; packed or not), its one language and split. Output: the task, which is
a known one with the columns of the file or a new one of a known kind, and the cell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError, did_you_mean
from data_prep.kinds import named_kind
from data_prep.kinds.rows import GOLD_FIELDS, Record
from data_prep.shards.columns import COLUMN_TYPES
from data_prep.sources.archives import is_file, members
from data_prep.sources.cells import FORMATS
from data_prep.sources.csv import split_fields
from data_prep.sources.jsonl import ABSENT, look_up
from data_prep.sources.layouts import CellSource, fits
from data_prep.sources.lines import read_lines
from data_prep.sources.tables import language_code
from data_prep.tasks import TASKS
from data_prep.tasks.task import LANGUAGE, SPLITS, Layout, Task

FORMAT_OF = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".txt": "lines",
             ".conllu": "conllu"}
KEY = ("key", "id")  # names of the publisher's key in --columns
NAME = r"[A-Za-z0-9_-]{1,80}"
Adapt = Callable[[dict[str, Any]], dict[str, Any]]
MOST_LABELS = 10_000
NAMED = ("tsv", "csv", "jsonl")  # formats whose columns or keys have names


@dataclass(frozen=True)
class Own:
    """Flags of own data, as given."""

    kind: str | None = None
    columns: str | None = None
    labels: str | None = None
    metric: str | None = None
    format: str | None = None
    parallel: bool = False

    @property
    def given(self) -> list[str]:
        """Names of the flags that were given."""
        return [one.name for one in fields(self) if getattr(self, one.name)]


def is_own(name: str, source: str, own: Own) -> bool:
    """True for own data: by a flag, by a new task, or as one file of no name that the task's files have."""
    if own.given or name not in TASKS:
        return True
    file = Path(source)
    return file.is_file() and file.suffix.lower() != ".zip" and not fits(TASKS[name], file)


def own_cell(
    name: str, source: str, languages: Sequence[str] | None, splits: Sequence[str] | None, own: Own
) -> tuple[Task, CellSource]:
    """The task and the cell of one own file. Raises InputError for flags and columns that do not fit each other."""
    file = Path(source)
    task, spellings = _task(name, own)
    if not is_file(file):
        raise InputError(f"--source {source}: own data ({', '.join('--' + flag for flag in own.given) or name}) is one "
                         f"file, found {'a folder' if file.is_dir() else 'none'}; name the file")
    if (inside := members(file)) != [file]:
        raise InputError(f"--source {source}: an archive; name the file in it: {', '.join(map(str, inside[:3]))}"
                         f"{' ...' if inside[3:] else ''}")
    for flag, values, example in (("languages", languages, "de"), ("splits", splits, "train")):
        if len(values or ()) != 1:
            raise InputError(f"--{flag}: own data is one language and one split per file, found "
                             f"{', '.join(values or ()) or 'none'}; name one, such as --{flag} {example}")
    (language,), (split,) = languages or (), splits or ()
    if split not in SPLITS or not re.fullmatch(LANGUAGE, language):
        raise InputError(f"no split {split!r} or no language code {language!r}; splits: {', '.join(SPLITS)}")
    layout = _layout(task, file, own)
    # columns of its own are the kind's fields, which need no adapting
    adapt = _respell(spellings, None if layout.format in NAMED else task.adapt)
    task = replace(task, layouts=(layout,), hub=None, adapt=adapt, parallel=(split,) if own.parallel else ())
    _probe(task, layout, file)
    return task, CellSource(split, language_code(language), (file,), layout)


def describe_own(cell: CellSource, own: Own) -> str:
    """Source of the rows, for the manifest: with the flags, since other flags make other rows."""
    flags = [f"{flag} {getattr(own, flag)}" for flag in own.given if flag in ("columns", "labels", "format")]
    return ", ".join([cell.describe(), *flags])


def _task(name: str, own: Own) -> tuple[Task, Mapping[str, str]]:
    """The task, and the labels of the spellings in the file."""
    known = TASKS.get(name)
    if known is None and own.kind is None:
        raise InputError(f"no task {name!r}{did_you_mean(name, TASKS)}; tasks: {', '.join(TASKS)}; for a task of "
                         "your own name its --kind")
    if known is not None and own.kind not in (None, known.kind):
        raise InputError(f"--kind {own.kind}: {name} is a task of kind {known.kind}; omit the flag, or choose another "
                         "name")
    if known is None and not re.fullmatch(NAME, name):
        raise InputError(f"task name {name!r}: expected letters, digits, _ and -")
    kind_name = known.kind if known else own.kind or ""
    kind = named_kind(kind_name)
    holds_labels = any(COLUMN_TYPES[column].holds_labels for column in kind.columns.values())
    spellings, labels = _labels(own.labels)
    if known is not None and holds_labels and not known.labels and len(labels) > 1:
        return replace(known, labels=tuple(labels)), spellings
    if known is not None:
        index = {**known.label_index, **{label: at for at, label in enumerate(known.labels)}}
        strange = [label for label in labels if holds_labels and label not in index and label.lower() not in index]
        if strange:
            raise InputError(f"--labels: {strange[0]!r} is no label of {name}; its labels: {', '.join(known.labels)}")
        return known, spellings
    if not holds_labels and len(spellings) < len(labels):
        raise InputError(f"--labels: kind {own.kind} has no label set; give value=answer pairs, or omit the flag")
    if holds_labels and len(labels) < 2:
        raise InputError(f"--labels: a task of kind {own.kind} needs its labels, two or more, in their order: "
                         "--labels no,yes, --labels 0=no,1=yes, or a file with one per line")
    metrics = own.metric.split(",") if own.metric else [_metrics(kind)[0]]
    length = next((task.max_length for task in TASKS.values() if task.kind == kind_name), Task.max_length)
    return Task(name=name, summary="own data", kind=kind_name, metric=metrics[0], further_metrics=tuple(metrics[1:]),
                labels=tuple(labels) if holds_labels else (), languages=(), layouts=(), max_length=length), spellings


def _metrics(kind: Any) -> Sequence[str]:
    """Metrics of a kind, its usual one first."""
    return getattr(kind, "METRICS", None) or (getattr(kind, "METRIC", "accuracy"),)


def _labels(given: str | None) -> tuple[dict[str, str], list[str]]:
    """(spelling -> label, labels in their order) of --labels: names or value=label pairs, in words or in a file."""
    if given is None:
        return {}, []
    if Path(given).is_file():
        parts = [line for line in read_lines(Path(given)) if line.strip()]
    else:
        parts = given.split(",")
    spellings: dict[str, str] = {}
    labels: dict[str, None] = {}
    for part in parts[:MOST_LABELS]:
        value, pair, label = (side.strip() for side in part.partition("="))
        label = label if pair else value
        if not value or not label or value in spellings or (not pair and label in labels):
            raise InputError(f"--labels {given}: {part.strip()!r} is empty or repeated; expected labels, or "
                             "value=label pairs, in a comma list or one per line of a file")
        if pair:
            spellings[value] = label
        labels[label] = None
    return spellings, list(labels)


def _respell(spellings: Mapping[str, str], adapt: Adapt | None) -> Adapt | None:
    """Adapter that turns the file's spellings of labels and tags into those of the task, before `adapt`."""
    if not spellings:
        return adapt

    def one(value: Any) -> Any:
        if isinstance(value, list):
            return [one(part) for part in value]
        return spellings.get(value.strip(), value) if isinstance(value, str) else value

    def respelt(values: dict[str, Any]) -> dict[str, Any]:
        found = {name: one(value) if name in GOLD_FIELDS else value for name, value in values.items()}
        return adapt(found) if adapt else found

    return respelt


def _layout(task: Task, file: Path, own: Own) -> Layout:
    """The layout of the file, by --columns or by the names in its header."""
    suffix = (file.with_suffix("") if file.suffix.lower() == ".gz" else file).suffix.lower()
    format_ = own.format or FORMAT_OF.get(suffix)
    if format_ not in FORMATS:
        raise InputError(f"{file}: format {own.format or suffix or 'without an ending'!r} is not known; name one with "
                         f"--format: {', '.join(FORMATS)}")
    accepted = named_kind(task.kind).fields
    wanted = _columns(own.columns, accepted)
    if format_ == "lines" and (wanted or "texts" not in accepted):
        format_ = "tsv"  # a table named .txt
    positions = {name: int(column) for name, column in wanted.items() if column.isdecimal()}
    if format_ not in NAMED:
        like = next((one for other in TASKS.values() for one in other.layouts if one.format == format_), None)
        columns = dict(like.columns) if like else {}
        if not set(wanted) <= {name for name, at in columns.items() if isinstance(at, int)} & set(positions):
            raise InputError(f"--columns {own.columns}: format {format_} has no such columns; give positions from 0 of "
                             f"{', '.join(columns) or 'none'}, omit the flag, or name another --format")
        return replace(like or Layout(".*", file.name, format=format_), pattern=".*", example=file.name,
                       language_column=(), key=None, columns={**columns, **positions})
    if positions and format_ != "jsonl":
        n = len(_fields(_first_line(file), format_))
        if n <= max(positions.values()):
            raise InputError(f"--columns {own.columns}: {file} has {n} columns in its first line, at positions 0 to "
                             f"{n - 1}")
        key = positions.pop(KEY[0], None)
        return Layout(".*", file.name, format=format_, columns=positions, key=key, more_columns=True)
    header = _header(file, format_)
    found: dict[str, tuple[str, ...]] = {name: (column,) for name, column in wanted.items()} or {
        name: match for name, more in {**accepted, KEY[0]: KEY[1:]}.items()
        if (match := tuple(one for one in (name, *more) if look_up(header, one) is not ABSENT)[:1])}
    missing = [names[0] for name, names in found.items() if look_up(header, names[0]) is ABSENT
               and (wanted or name not in GOLD_FIELDS) and not (format_ == "jsonl" and name in GOLD_FIELDS)]
    if missing or not set(found) - GOLD_FIELDS - {KEY[0]}:
        what = f"no column {missing[0]!r}" if missing else f"no column named as a field of kind {task.kind}"
        raise InputError(f"{file}: {what}; its header is: {', '.join(header)[:300]}; name columns with --columns "
                         f"FIELD=COLUMN (fields: {', '.join(accepted)}), by position from 0 in a file without a header")
    return Layout(".*", file.name, format=format_, header=True, key=found.pop(KEY[0], None), columns=found)


def _columns(given: str | None, accepted: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Column by field of --columns."""
    names = {other: field for field, others in accepted.items() for other in (field, *others)}
    names |= dict.fromkeys(KEY, KEY[0])
    found: dict[str, str] = {}
    for part in given.split(",") if given else ():
        name, pair, column = (side.strip() for side in part.partition("="))
        field = names.get(name)
        if not pair or not column or field is None or field in found:
            fields_ = ", ".join(f"{field} ({', '.join(others)})" if others else field
                                for field, others in accepted.items())
            raise InputError(f"--columns: {part.strip()!r} is no FIELD=COLUMN, or a field twice; fields: {fields_}, "
                             "key (id)")
        found[field] = column
    if found and len({column.isdecimal() for column in found.values()}) == 2:
        raise InputError(f"--columns {given}: names and positions; give names if the first line is a header, positions "
                         "from 0 if there is none")
    return found


def _first_line(file: Path) -> str:
    if not (line := next((line for line in read_lines(file) if line.strip()), "")):
        raise InputError(f"{file}: the file is empty")
    return line


def _fields(line: str, format_: str) -> list[str]:
    return split_fields(line) if format_ == "csv" else line.split("\t")


def _header(file: Path, format_: str) -> dict[str, Any]:
    """The first row: names of columns, or the first JSON object, whose values lead to nested keys."""
    line = _first_line(file)
    if format_ != "jsonl":
        return dict.fromkeys(_fields(line, format_))
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{file}, line 1: not a JSON object; expected one object per line, or --format squad for "
                         "SQuAD's JSON")
    return found


def _probe(task: Task, layout: Layout, file: Path) -> None:
    """Raise InputError if the kind needs a field that the layout does not give, before any row is read."""
    if layout.format not in NAMED:
        return
    try:
        with suppress(InputError):
            named_kind(task.kind).read(Record(0, dict.fromkeys(layout.columns, "x")), task)
    except KeyError as error:
        raise InputError(f"{file}: kind {task.kind} needs a column for {error}; give --columns {error.args[0]}=COLUMN"
                         ) from None
