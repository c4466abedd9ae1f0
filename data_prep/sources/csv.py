"""Tables with commas between columns and csv quoting (RFC 4180), with a header line or without.

A field in quotes may hold commas, quotes (doubled), tabs and line ends, which are read as LF. Rows are the records of
the file, whatever number of lines they take.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.sources.columns import Columns
from data_prep.sources.lines import read_lines
from data_prep.sources.tsv import header_columns, numbered_columns
from data_prep.tasks.task import Layout

CARRIAGE_RETURN = "\udc0d"  # stands in for CR inside a line, a line end to csv; no character of a UTF-8 file


def open_csv(file: Path, layout: Layout, split: str, sha256: Any = None) -> tuple[Columns, Iterator[tuple[int, Any]]]:
    """Columns of `file`, and (number of its first line, fields) of each record; of a blank line, one empty field.

    Raises InputError, naming file and line, for a header without the columns, a missing header, or broken quoting.
    """
    records = _records(file, sha256)
    if not layout.header:
        return numbered_columns(layout), records
    return header_columns(next(records, (1, [""]))[1], layout, split, file), records


def split_fields(line: str) -> list[str]:
    """Fields of one line; a quote may stay open."""
    return next(csv.reader([line.replace("\r", " ")]), [])


def _records(file: Path, sha256: Any) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, fields) of every record, without blank lines at the end."""
    reader = csv.reader((line.replace("\r", CARRIAGE_RETURN) + "\n" for line in read_lines(file, sha256)), strict=True)
    start, blank = 1, list[int]()
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise InputError(f"{file}, line {start}: not a csv record ({error}); a field with a quote, a comma or a "
                             'line end stands in quotes, and a quote in it is doubled ("")') from None
        if fields is None:
            return
        if len(fields) <= 1 and not "".join(fields).strip():
            blank.append(start)
        else:
            yield from ((number, [""]) for number in blank)
            blank.clear()
            yield start, [field.replace(CARRIAGE_RETURN, "\r") for field in fields]
        start = reader.line_num + 1
