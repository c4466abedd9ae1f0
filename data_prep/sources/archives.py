"""Files of a source folder, with those inside `.zip` archives and `.gz` files, as if unpacked where they lie.

A member of an archive has a path below that of the archive, `data/XNLI-1.0.zip/XNLI-1.0/xnli.dev.tsv`. Members are
read as streams: nothing is extracted, so no name can lead out of the folder. What a stream yields is bounded by its
compressed size (decompression bombs). Archives inside archives, and `.tar`, are not opened.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from data_prep.base.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_MEMBERS = 100_000
FREE_BYTES = 64 << 20  # that any stream may yield
MOST_BYTES_PER_BYTE = 200  # of the compressed stream beyond these; text compresses to a third or a tenth
DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, NotImplementedError)


def listed(folder: Path) -> list[Path]:
    """Files in `folder` and two levels of folders below it, and whatever lies at the third level (not opened).

    Archives are replaced by their members; one that cannot be read stays as a file, see `fault`.
    """
    three = sorted(folder.glob("*/*/*"))
    files = sorted([*(file for level in ("*", "*/*") for file in folder.glob(level) if file.is_file()), *three])
    return [one for file in files for one in members(file)]


def members(file: Path) -> list[Path]:
    """Paths of the members of a `.zip` archive, without folders and macOS's own files; of any other file, itself."""
    return _members(file)[0] or [file]


def fault(file: Path) -> str:
    """Why the members of an archive are not listed, "" for any other file."""
    return _members(file)[1]


def unpacked(file: Path, folder: Path) -> PurePosixPath:
    """Path of `file` below `folder` once all archives are unpacked where they lie, without `.gz`."""
    archive, member = _split(file)
    path = PurePosixPath((archive.parent / member if archive else file).relative_to(folder).as_posix())
    return path.with_suffix("") if path.suffix.lower() == ".gz" and path.stem else path


def is_file(file: Path) -> bool:
    """True for a file and for a member of an archive."""
    return file.is_file() or _split(file)[0] is not None


def size(file: Path) -> int:
    """Bytes of a file as it is stored, of a member of an archive as it is unpacked."""
    archive, member = _split(file)
    if archive is None:
        return file.stat().st_size
    with zipfile.ZipFile(archive) as opened:
        return opened.getinfo(member).file_size


def file_sha256(file: Path) -> str:
    """SHA-256 (hex) of what `open_stream` reads: the content, unpacked. Raises InputError if it cannot be read."""
    sha256 = hashlib.sha256()
    with open_stream(file) as stream:
        while block := stream.read(1 << 20):
            sha256.update(block)
    return sha256.hexdigest()


def open_stream(file: Path) -> IO[bytes]:
    """The bytes of a file, unpacked if it is a `.gz` file or a member of a `.zip` archive.

    Raises InputError, at opening or while reading, for a damaged or encrypted archive, and for a stream that grows
    beyond the bounds above; OSError for a file that cannot be opened.
    """
    archive, member = _split(file)
    if archive is None and file.suffix.lower() != ".gz":
        return open(file, "rb")
    if archive is None:
        stream: IO[bytes] = open(file, "rb")  # noqa: SIM115
        packed = file.stat().st_size
    else:
        try:
            with zipfile.ZipFile(archive) as opened:
                stream, packed = opened.open(member), opened.getinfo(member).compress_size
        except DAMAGES as error:
            raise _damaged(file, error) from None
    if file.suffix.lower() == ".gz":
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    return io.BufferedReader(_Bounded(file, stream, FREE_BYTES + MOST_BYTES_PER_BYTE * packed))


class _Bounded(io.RawIOBase):
    """Raw file that yields no more than `most` bytes of `stream`."""

    def __init__(self, file: Path, stream: IO[bytes], most: int) -> None:
        self._file, self._stream, self._left = file, stream, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        try:
            block = self._stream.read(len(view))
        except DAMAGES as error:
            raise _damaged(self._file, error) from None
        self._left -= len(block)
        if self._left < 0:
            raise InputError(f"{self._file}: more than {MOST_BYTES_PER_BYTE} bytes for each compressed one; if it is "
                             "no decompression bomb, unpack it and give the folder")
        view[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _damaged(file: Path, error: BaseException) -> InputError:
    reason = " ".join(str(error).split())[:120]
    return InputError(f"{file}: damaged, truncated or encrypted ({reason}); fetch it again, or unpack it and give the "
                      "folder")


def _split(file: Path) -> tuple[Path | None, str]:
    """The archive that a path leads into and the name of the member; None for a path of the file system."""
    if ".zip/" in file.as_posix().lower():
        for above in file.parents:
            if above.suffix.lower() == ".zip" and above.is_file():
                return above, file.relative_to(above).as_posix()
    return None, ""


def _members(file: Path) -> tuple[list[Path], str]:
    if file.suffix.lower() != ".zip" or not file.is_file():
        return [], ""
    about = file.stat()
    return _directory(file, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=64)
def _directory(file: Path, _size: int, _changed: int) -> tuple[list[Path], str]:
    """Members of an archive in a state of it, or the reason why there are none."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except DAMAGES as error:
        return [], f"not opened: {' '.join(str(error).split())[:80]}"
    if len(names) > MOST_MEMBERS:
        return [], f"not opened: {len(names):,} members"
    outside = next((name for name in names if not _stays_inside(name)), None)
    if outside is not None:
        return [], f"not opened: its member {outside[:80]!r} leads out of it"
    return [file / name for name in names if not name.startswith("__MACOSX/")], ""


def _stays_inside(name: str) -> bool:
    return all(part not in ("", ".", "..") and not {"\\", "\0"} & set(part) for part in name.split("/"))
