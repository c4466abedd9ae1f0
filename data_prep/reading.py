"""Read benchmark files row by row, quirks and all, into small batches of text.

Input: the files of one cell. Output: `TextBatch`es of at most `BATCH_ROWS` rows; rows left out are counted by reason.

What is taken as it comes: quotes (text, never quoting), CRLF and LF in one file, a byte-order mark at the start,
U+FEFF and control characters inside, text that is not NFC, a missing newline at the end. Lines end at LF alone, since
other characters that Python takes for line ends occur inside sentences.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from data_prep.errors import InputError
from data_prep.sources import CellSource
from data_prep.tasks.task import Layout, Task

BATCH_ROWS = 1024
NO_LABEL = -1
BYTE_ORDER_MARK = "\ufeff"

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@dataclass
class TextBatch:
    """Rows as text: number in the source, the two texts (the second may be empty), label index or -1, key if any."""

    ids: list[int] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """The publisher's keys, one per row; empty where the source has none."""

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, row: int, first: str, second: str, label: int, key: str | None = None) -> None:
        self.ids.append(row)
        self.first.append(first)
        self.second.append(second)
        self.labels.append(label)
        if key is not None:
            self.keys.append(key)


@dataclass
class Content:
    """What one pass over a source saw of it; whole once the pass has come to its end."""

    rows: int = 0
    """Rows of the publisher, those left out included."""
    hashes: list[Any] = field(default_factory=list)
    """A running sha256 per file, in the order of reading."""

    def new_hash(self) -> Any:
        self.hashes.append(hashlib.sha256())
        return self.hashes[-1]

    @property
    def sha256(self) -> str:
        """Hash of all that was read, see `content_sha256`."""
        return content_sha256([one.hexdigest() for one in self.hashes])


def content_sha256(hashes: Sequence[str]) -> str:
    """One hash for a source: that of its only file, or over the hashes of its files in the order of reading."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def read_cell(
    source: CellSource, task: Task, skipped: Counter[str], content: Content | None = None
) -> Iterator[TextBatch]:
    """Batches of the rows of `source`; `skipped` counts the rows left out, by reason, as they are met.

    `content`, where given, counts all rows and hashes the files on the way. Raises InputError, naming file and line,
    for bytes that are not UTF-8, a header without the columns, or a label outside the label set.
    """
    batch, content = TextBatch(), content or Content()
    rows = _text_rows(source, skipped, content) if source.layout.lines else _pair_rows(source, task, skipped, content)
    for row in rows:
        batch.add(*row)
        if len(batch) >= BATCH_ROWS:
            yield batch
            batch = TextBatch()
    if len(batch):
        yield batch


class _Hashed(io.RawIOBase):
    """A file opened for reading that hashes the bytes as they are read."""

    def __init__(self, file: Path, sha256: Any) -> None:
        self._raw = open(file, "rb", buffering=0)  # noqa: SIM115
        self._sha256 = sha256

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        n = self._raw.readinto(buffer)
        self._sha256.update(memoryview(buffer)[:n])
        return n

    def close(self) -> None:
        self._raw.close()
        super().close()


def _opened(file: Path, sha256: Any) -> IO[str]:
    if sha256 is None:
        return open(file, encoding="utf-8", newline="\n")
    return io.TextIOWrapper(io.BufferedReader(_Hashed(file, sha256)), encoding="utf-8", newline="\n")


def read_lines(file: Path, sha256: Any = None) -> Iterator[str]:
    """The lines of a UTF-8 file without their LF or CRLF, the byte-order mark at the start removed.

    `sha256`, where given, is updated with the file's bytes as they are read.
    """
    try:
        with _opened(file, sha256) as stream:
            for number, line in enumerate(stream):
                line = line[:-1] if line.endswith("\n") else line
                line = line[:-1] if line.endswith("\r") else line
                yield line.removeprefix(BYTE_ORDER_MARK) if number == 0 else line
    except UnicodeDecodeError:
        raise InputError(f"{file}, line {_bad_line(file)}: not UTF-8; convert the file to UTF-8") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None


def label_indices(task: Task) -> dict[str, int]:
    """Every spelling of a label, in lower case, and the index it stands for."""
    index = {label.lower(): i for i, label in enumerate(task.labels)}
    return index | {alias: index[label.lower()] for alias, label in task.aliases.items()}


def _text_rows(source: CellSource, skipped: Counter[str], content: Content) -> Iterator[tuple[int, str, str, int]]:
    """Rows of unlabelled text, numbered through all files; a TAB with nothing on one side of it is no pair."""
    lines = chain.from_iterable(read_lines(file, content.new_hash()) for file in source.files)
    for row, line in enumerate(lines):
        content.rows = row + 1
        first, _, rest = line.partition("\t")
        second, more, _ = rest.partition("\t")
        if not line.strip():
            skipped["blank line"] += 1
        elif more:
            skipped["more than two texts"] += 1
        elif not first.strip():
            yield row, second, "", NO_LABEL
        else:
            yield row, first, second if second.strip() else "", NO_LABEL


def _pair_rows(
    source: CellSource, task: Task, skipped: Counter[str], content: Content
) -> Iterator[tuple[int, str, str, int, str | None]]:
    """Rows of a file of columns. The first row decides how many columns a row has and whether labels are given."""
    file, layout = source.files[0], source.layout
    lines = read_lines(file, content.new_hash())
    offset = 1  # line number of row 0
    n_columns, header = 0, [""]
    if layout.header:
        header = next(lines, "").split("\t")
        first, second, label = _columns(header, layout, source.split, file)
        n_columns, offset = len(header), 2
    else:
        first, second, label = _positions(layout)
    key = _key_column(layout, header)
    index, doubtful = label_indices(task), set(task.no_consensus)
    labelled: bool | None = None
    for row, line in enumerate(lines):
        content.rows = row + 1
        fields = line.split("\t")
        if len(fields) == 1 and not line.strip():
            skipped["blank line"] += 1
            continue
        if not n_columns:
            n_columns = _first_row_columns(fields, file, row + offset)
        if len(fields) != n_columns:
            skipped["wrong number of columns"] += 1
            continue
        name = fields[label].strip(f" {BYTE_ORDER_MARK}").lower() if 0 <= label < n_columns else ""
        if labelled is None:
            labelled = bool(name)
        if name in doubtful:
            skipped["no consensus"] += 1
        elif not name and labelled:
            skipped["empty label"] += 1
        elif name and not labelled:
            raise InputError(f"{file}, line {row + offset}: a label {name!r} in a file whose first row has none; "
                             "give all rows a label, or none")
        elif name and name not in index:
            raise InputError(f"{file}, line {row + offset}: label {fields[label]!r} is not one of "
                             f"{', '.join(task.labels)} ({task.name}); correct it or remove the row")
        else:
            named = fields[key].strip(f" {BYTE_ORDER_MARK}") if 0 <= key < n_columns else None
            yield row, fields[first], fields[second], index[name] if labelled else NO_LABEL, named


def _positions(layout: Layout) -> tuple[int, int, int]:
    first, second, label = layout.first, layout.second, layout.label
    if not (isinstance(first, int) and isinstance(second, int) and isinstance(label, int)):
        raise TypeError(f"layout {layout.pattern!r} has no header, so its columns must be positions")
    return first, second, label


def _key_column(layout: Layout, header: Sequence[str]) -> int:
    """Position of the publisher's key, -1 where the layout names none, or the file does not have it."""
    if isinstance(layout.key, int):
        return layout.key
    return next((header.index(name) for name in layout.key or () if name in header), -1)


def _first_row_columns(fields: Sequence[str], file: Path, line: int) -> int:
    if len(fields) not in (2, 3):
        raise InputError(f"{file}, line {line}: {len(fields)} columns, expected 2 or 3 (text, text, label) with TAB "
                         "between them")
    return len(fields)


def _columns(header: Sequence[str], layout: Layout, split: str, file: Path) -> tuple[int, int, int]:
    """Positions of the three columns by the names in the header line; -1 for a label column that a test lacks."""
    found = []
    for names in (layout.first, layout.second, layout.label):
        alternatives = names if isinstance(names, tuple) else ()
        at = next((header.index(name) for name in alternatives if name in header), -1)
        if at < 0 and not (names is layout.label and split == "test"):
            raise InputError(f"{file}, line 1: no column {' or '.join(alternatives)} in the header "
                             f"({', '.join(header)[:120]})")
        found.append(at)
    return found[0], found[1], found[2]


def _bad_line(file: Path) -> int:
    """Number of the first line that is not UTF-8 (read again, line by line: the buffered reader does not know)."""
    with open(file, "rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 0
