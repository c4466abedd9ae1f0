"""Archives as published: members are read as if unpacked where they lie, and nothing hostile is followed."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from data_prep.sources import archives
from data_prep.sources.batches import Content
from data_prep.sources.cells import read_cell
from data_prep.sources.find import Found, cells_of
from data_prep.sources.layouts import find_sources, unread_files
from data_prep.sources.revisions import Revisions
from data_prep.tasks import TASKS
from tests.data_prep.pairs import rows_of

XNLI = "language\tgold_label\tsentence1\tsentence2\nen\tneutral\ta\tb\nde\tentailment\tc\td\n"
PAIR = "a dog\ta cat\tneutral\n" * 3


def zipped(file: Path, contents: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file


def cells(folder: Path) -> list[Found]:
    """The cells of xnli."""
    return cells_of(TASKS["xnli"], str(folder), None, None, False, Revisions(folder))[0]


def read(task: str, folder: Path) -> dict[str, list[tuple[int, str, str, int]]]:
    """The rows of each cell, by split/language."""
    return {f"{source.split}/{source.language}": [
        row for batch in read_cell(source, TASKS[task], Counter()) for row in rows_of(batch)]
        for source in find_sources(TASKS[task], folder)}


def test_members_are_read_as_if_unpacked(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    (plain / "XNLI-1.0").mkdir(parents=True)
    (plain / "XNLI-1.0" / "xnli.dev.tsv").write_text(XNLI)
    (plain / "train-en.tsv").write_text(PAIR)
    packed.mkdir()
    zipped(packed / "XNLI-1.0.zip", {"XNLI-1.0/": "", "XNLI-1.0/xnli.dev.tsv": XNLI, "XNLI-1.0/README.md": "",
                                     "XNLI-1.0/notes.xml": "", "__MACOSX/XNLI-1.0/xnli.dev.tsv": "x"})
    (packed / "train-en.tsv.gz").write_bytes(gzip.compress(PAIR.encode()))
    assert read("xnli", packed) == read("xnli", plain)
    assert set(read("xnli", plain)) == {"train/en", "dev/de", "dev/en"}
    assert [found.source_sha256() for found in cells(packed)] == [found.source_sha256() for found in cells(plain)]
    sources = find_sources(TASKS["xnli"], packed)
    assert sources[1].describe() == f"{packed}/XNLI-1.0.zip/XNLI-1.0/xnli.dev.tsv ({len(XNLI)} bytes)"
    assert unread_files(TASKS["xnli"], packed, sources) == (
        "not read for xnli: 1 file: XNLI-1.0.zip/XNLI-1.0/notes.xml")


def test_the_hash_is_of_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "train-en.tsv.gz").write_bytes(gzip.compress(PAIR.encode()))
    (found,) = cells(tmp_path)
    content = archives_content(found)
    assert found.source_sha256() == content == hashlib.sha256(PAIR.encode()).hexdigest()


def archives_content(found: Found) -> str:
    """Hash of what a reader of the cell read."""
    content = Content()
    list(found.read(Counter(), Counter(), content))
    return content.sha256


def test_an_archive_beside_its_unpacked_files_is_not_read_twice(tmp_path: Path) -> None:
    zipped(tmp_path / "XNLI-1.0.zip", {"XNLI-1.0/xnli.dev.tsv": XNLI})
    (tmp_path / "XNLI-1.0").mkdir()
    (tmp_path / "XNLI-1.0" / "xnli.dev.tsv").write_text(XNLI)
    (tmp_path / "train-en.tsv").write_text(PAIR)
    (tmp_path / "train-en.tsv.gz").write_bytes(gzip.compress(b"other"))
    sources = find_sources(TASKS["xnli"], tmp_path)
    assert {file.relative_to(tmp_path).as_posix() for source in sources for file in source.files} == {
        "XNLI-1.0/xnli.dev.tsv", "train-en.tsv"}
    assert unread_files(TASKS["xnli"], tmp_path, sources) == (
        "not read for xnli: 2 files: XNLI-1.0.zip/XNLI-1.0/xnli.dev.tsv (instead of it xnli.dev.tsv), "
        "train-en.tsv.gz (instead of it train-en.tsv)")


@pytest.mark.parametrize("name", ["xnli.dev.tsv", "XNLI-1.0/xnli.dev.tsv", "XNLI-1.0.zip", "dev-en.tsv.gz"])
def test_a_single_file_is_a_source(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    if name.endswith(".zip"):
        zipped(file, {"XNLI-1.0/xnli.dev.tsv": XNLI})
    else:
        file.write_bytes(gzip.compress(PAIR.encode()) if name.endswith(".gz") else XNLI.encode())
    (file.parent / "test-fr.tsv").write_text(PAIR)
    assert set(read("xnli", file)) == ({"dev/en"} if name.endswith(".gz") else {"dev/en", "dev/de"})
    with pytest.raises(InputError, match="no files of sick; expected names like"):
        find_sources(TASKS["sick"], file)


@pytest.mark.parametrize("name", ["../train-en.tsv", "/train-en.tsv", "a/../train-en.tsv", "a\\..\\train-en.tsv"])
def test_an_archive_that_leads_out_of_itself_is_not_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "train-en.tsv").write_text(PAIR)
    (tmp_path / "in").mkdir()
    zipped(tmp_path / "in" / "x.zip", {name: PAIR, "train-de.tsv": PAIR})
    with pytest.raises(InputError, match=r"x.zip \(not opened: its member '.*' leads out of it\)"):
        find_sources(TASKS["xnli"], tmp_path / "in")
    assert archives.members(tmp_path / "in" / "x.zip") == [tmp_path / "in" / "x.zip"]


@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_a_decompression_bomb_is_refused_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1000)
    bomb = b"a\tb\tneutral\n" + b"a" * 1_000_000
    if kind == "zip":
        zipped(tmp_path / "x.zip", {"train-en.tsv": bomb})
    else:
        (tmp_path / "train-en.tsv.gz").write_bytes(gzip.compress(bomb))
    (found,) = cells(tmp_path)
    for step in (lambda: archives_content(found), found.source_sha256):
        with pytest.raises(InputError, match=r"train-en.tsv.*more than 200 bytes for each compressed one"):
            step()


def damaged_zip(content: bytes, how: str) -> bytes:
    at = content.index(b"train-en.tsv") + len("train-en.tsv") + 5
    changed = bytearray(content)
    if how == "bytes":
        changed[at : at + 4] = b"\xff\xff\xff\xff"
    elif how == "encrypted":
        for header in (content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8):
            changed[header] |= 1
    return bytes(changed)


@pytest.mark.parametrize("how", ["bytes", "encrypted"])
def test_a_damaged_member_is_one_line(tmp_path: Path, how: str) -> None:
    file = zipped(tmp_path / "x.zip", {"train-en.tsv": "".join(f"a {i}\tb\tneutral\n" for i in range(500))})
    file.write_bytes(damaged_zip(file.read_bytes(), how))
    with pytest.raises(InputError, match=r"x.zip/train-en.tsv: damaged, truncated or encrypted \(.+\); fetch it again"):
        read("xnli", tmp_path)


def test_a_truncated_archive_is_named_and_a_truncated_gz_refused(tmp_path: Path) -> None:
    file = zipped(tmp_path / "x.zip", {"train-de.tsv": PAIR})
    file.write_bytes(file.read_bytes()[:-30])
    packed = gzip.compress("".join(f"a {i}\tb\tneutral\n" for i in range(500)).encode())
    (tmp_path / "train-en.tsv.gz").write_bytes(packed)
    sources = find_sources(TASKS["xnli"], tmp_path)
    assert unread_files(TASKS["xnli"], tmp_path, sources) == (
        "not read for xnli: 1 file: x.zip (not opened: File is not a zip file)")
    (tmp_path / "train-en.tsv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"train-en.tsv.gz: damaged, truncated or encrypted"):
        read("xnli", tmp_path)
