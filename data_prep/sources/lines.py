"""Lines of UTF-8 text files, in archives or not.

Lines end at LF alone, since other characters that Python takes for line ends occur inside sentences. CRLF and LF may
be mixed; a byte-order mark at the start is removed; the last line may lack its newline.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from data_prep.base.errors import InputError
from data_prep.sources.archives import open_stream

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BYTE_ORDER_MARK = "\ufeff"
CHUNK = 1 << 16  # characters


def read_lines(file: Path, sha256: Any = None) -> Iterator[str]:
    """The lines of a UTF-8 file without LF or CRLF. `sha256`, if given, is updated with the bytes as they are read.

    Raises InputError, naming file and line, for bytes that are not UTF-8 and for a file that cannot be read.
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


def read_rows(file: Path, sha256: Any = None) -> Iterator[str]:
    """Lines as of `read_lines`, without the blank ones at the end. Other blank lines become "", whatever they hold."""
    blank = 0
    for line in read_lines(file, sha256):
        if not line.strip() and "\t" not in line:
            blank += 1
            continue
        yield from repeat("", blank)
        blank = 0
        yield line


def read_chunks(file: Path, sha256: Any = None) -> Iterator[str]:
    """The text of a UTF-8 file in pieces of bounded size, without a byte-order mark; `sha256` and errors as above."""
    try:
        with _opened(file, sha256) as stream:
            chunk = stream.read(CHUNK).removeprefix(BYTE_ORDER_MARK)
            while chunk:
                yield chunk
                chunk = stream.read(CHUNK)
    except UnicodeDecodeError:
        raise InputError(f"{file}, line {_bad_line(file)}: not UTF-8; convert the file to UTF-8") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None


class _Hashed(io.RawIOBase):
    """Raw file that hashes its bytes as they are read."""

    def __init__(self, file: Path, sha256: Any) -> None:
        self._raw = open_stream(file)
        self._sha256 = sha256

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        n: int = self._raw.readinto(buffer)  # type: ignore[attr-defined]
        self._sha256.update(memoryview(buffer)[:n])
        return n

    def close(self) -> None:
        self._raw.close()
        super().close()


def _opened(file: Path, sha256: Any) -> IO[str]:
    if sha256 is None:
        return io.TextIOWrapper(open_stream(file), encoding="utf-8", newline="\n")
    return io.TextIOWrapper(io.BufferedReader(_Hashed(file, sha256)), encoding="utf-8", newline="\n")


def _bad_line(file: Path) -> int:
    """Number of the first line that is not UTF-8; reads the file again, since the buffered reader does not know it."""
    with open_stream(file) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 0
