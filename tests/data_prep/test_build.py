"""`build` from the command line: what it writes, skips and refuses, and that nothing half-done looks whole."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_prep import build, workers
from data_prep.__main__ import main
from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256
from data_prep.kinds.rows import TextBatch
from data_prep.shards.assemble import assemble
from data_prep.shards.manifest import read_manifest
from data_prep.shards.read import find_cells, open_cell
from data_prep.shards.template import derive_template
from data_prep.shards.tokenizers import tokenizer_dir, tokenizer_fingerprint
from data_prep.tokenizer import load_tokenizer
from tests.data_prep.conftest import sentences
from tests.data_prep.pairs import pair_batch

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("neutral", "contradiction", "entailment")


def pairs(n: int, seed: int = 0, labelled: bool = True) -> str:
    rows = zip(sentences(n, seed), sentences(n, seed + 1), strict=True)
    return "".join(f"{a}\t{b}" + (f"\t{LABELS[i % 3]}" if labelled else "") + "\n" for i, (a, b) in enumerate(rows))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name, labelled in (("train-en", True), ("dev-en", True), ("dev-d30", True), ("test-en", False)):
        (folder / f"{name}.tsv").write_text(pairs(60, labelled=labelled), encoding="utf-8")
    return folder


def words(source: Path, tokenizer: Path, out: Path, *more: str, task: str = "xnli") -> list[str]:
    return ["build", task, "--source", str(source), "--tokenizer", str(tokenizer), "--out", str(out), *more]


def below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*")) if folder.exists() else []


def test_cells_of_a_folder(source: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(words(source, tokenizer_folder, out, "--max_length", "24", "--workers", "1")) == 0
    names = ["xnli/dev/d30", "xnli/dev/en", "xnli/test/en", "xnli/train/en"]
    assert [p.relative_to(out).as_posix() for p in find_cells(out)] == names
    cell = open_cell(out / "xnli" / "dev" / "d30", verify="sha256")
    manifest = cell.manifest
    assert (manifest.kind, manifest.metric, manifest.rows) == ("pair", "accuracy", 60)
    assert manifest.labels == ["contradiction", "entailment", "neutral"]
    assert manifest.label_aliases["contradictory"] == "contradiction"
    assert manifest.label_counts == {"contradiction": 20, "entailment": 20, "neutral": 20}
    assert manifest.has_labels
    assert manifest.parallel
    assert manifest.language_info.name == "unknown"
    tokenizer = load_tokenizer(str(tokenizer_dir(out, manifest.tokenizer.fingerprint)))
    assert tokenizer_fingerprint(tokenizer) == manifest.tokenizer.fingerprint
    assert manifest.tokenizer.vocab_size == len(tokenizer)
    lines = (source / "dev-d30.tsv").read_text(encoding="utf-8").split("\n")
    for row in cell.dataset:
        first, second, label = lines[row["id"]].split("\t")
        own = tokenizer(first, second, truncation="longest_first", max_length=24)["input_ids"]
        built = assemble(row["first_ids"], row["second_ids"], 24, manifest.tokenizer.template)
        assert built.tolist() == own
        assert row["length"] == len(own)
        assert manifest.labels[row["label"]] == label
    test = open_cell(out / "xnli" / "test" / "en")
    assert not test.manifest.has_labels
    assert set(test.dataset["label"]) == {-1}
    assert open_cell(out / "xnli" / "dev" / "en").manifest.language_info.resource == "class 5"


def test_selection_and_resume(
    source: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(words(source, tokenizer_folder, out, "--languages", "d30", "--splits", "dev")) == 0
    assert len(find_cells(out)) == 1
    stamp = (out / "xnli/dev/d30/manifest.json").stat().st_mtime_ns
    capsys.readouterr()
    assert main(words(source, tokenizer_folder, out)) == 0
    printed = capsys.readouterr().out
    assert "skipped" in printed
    assert len(find_cells(out)) == 4
    assert (out / "xnli/dev/d30/manifest.json").stat().st_mtime_ns == stamp
    assert main(words(source, tokenizer_folder, out)) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_other_settings_need_overwrite(
    source: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(words(source, tokenizer_folder, out, "--splits", "dev")) == 0
    before = below(out)
    assert main(words(source, tokenizer_folder, out, "--max_length", "16")) == 2
    assert "max_length 128" in capsys.readouterr().err
    assert below(out) == before, "not even the cells that were free are written"
    (source / "dev-en.tsv").write_text(pairs(61), encoding="utf-8")
    assert main(words(source, tokenizer_folder, out, "--splits", "dev")) == 2
    assert "source" in capsys.readouterr().err
    assert main(words(source, tokenizer_folder, out, "--splits", "dev", "--overwrite")) == 0
    assert len(open_cell(out / "xnli/dev/en", verify="sha256")) == 61


def test_changed_content_needs_overwrite(
    source: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name, the size and the number of rows stay; one letter changes."""
    out, file = tmp_path / "out", source / "dev-en.tsv"
    asked = words(source, tokenizer_folder, out, "--splits", "dev", "--languages", "en")
    assert main(asked) == 0
    first = read_manifest(out / "xnli/dev/en")
    assert first.source_sha256 == file_sha256(file)
    before = file.read_bytes()
    os.utime(file, ns=(1, 1))
    assert main(asked) == 0, "a file that was only touched, or copied, is the same"
    file.write_bytes(before.replace(b"a", b"o", 1))
    capsys.readouterr()
    assert main(asked) == 2
    error = capsys.readouterr().err
    assert "finished from other content" in error
    assert "dev-en.tsv" in error
    assert "--overwrite" in error
    assert error.count("\n") == 1
    assert read_manifest(out / "xnli/dev/en") == first
    assert main([*asked, "--overwrite"]) == 0
    second = read_manifest(out / "xnli/dev/en")
    assert second.source_sha256 == file_sha256(file)
    assert (second.rows, second.rows_sha256 == first.rows_sha256) == (first.rows, False)


def test_a_source_that_changes_while_it_is_read(
    source: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kept(*args: Any) -> None:  # between the first reading and the second
        with open(source / "train-en.tsv", "a", encoding="utf-8") as stream:
            stream.write("one more\trow\tneutral\n")

    monkeypatch.setattr(build, "keep_tokenizer", kept)
    assert main(words(source, tokenizer_folder, tmp_path / "out", "--splits", "train")) == 2
    assert "train-en.tsv (" in (error := capsys.readouterr().err)
    assert "changed during the build" in error
    assert find_cells(tmp_path / "out") == []


def published(folder: Path, language: str, keys: list[str], name: str = "dev_2k") -> None:
    """A file of PAWS-X as its publisher has it: a header, and a key in each row."""
    (folder / language).mkdir(parents=True, exist_ok=True)
    rows = [f"{key}\tthe dog {i}\tthe cat\t{i % 2}\n" for i, key in enumerate(keys)]
    (folder / language / f"{name}.tsv").write_text("id\tsentence1\tsentence2\tlabel\n" + "".join(rows))


def test_keys_of_the_publisher(tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published(tmp_path / "s", "en", ["7", "3", "11"])
    published(tmp_path / "s", "de", ["7", "3", "7"])
    published(tmp_path / "s", "fr", ["7", " ", "4"])
    assert main(words(tmp_path / "s", tokenizer_folder, tmp_path / "out", task="pawsx")) == 0
    printed = capsys.readouterr().out
    found = {}
    for language in ("en", "de", "fr"):
        cell = open_cell(tmp_path / "out/pawsx/dev" / language, verify="sha256")
        assert (cell.manifest.source_rows, cell.manifest.label_tolerance) == (3, 0.03)
        found[language] = (cell.manifest.keys, cell.dataset["key"][:])
    assert found == {"en": ("publisher", ["7", "3", "11"]), "de": ("row", ["0", "1", "2"]),
                     "fr": ("row", ["0", "1", "2"])}
    assert "row 2 has the key '7' of another row" in printed
    assert "row 1 has none" in printed
    assert printed.count("row numbers are") == 2


def test_source_rows_count_what_was_left_out(source: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    (source / "dev-en.tsv").write_text("a\tb\t-\n\na\tb\tneutral\na\tneutral\na\tb\t-\n", encoding="utf-8")
    assert main(words(source, tokenizer_folder, tmp_path / "out", "--languages", "en", "--splits", "dev")) == 0
    cell = open_cell(tmp_path / "out/xnli/dev/en")
    assert (cell.manifest.source_rows, cell.manifest.rows) == (5, 1)
    assert (cell.dataset["id"][:], cell.dataset["key"][:]) == ([2], ["2"])


def test_left_out_rows_are_printed_and_kept_in_the_manifest(
    source: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "dev-en.tsv").write_text(pairs(30) + "a\tb\t-\n\na\tb\tneutral\n", encoding="utf-8")
    out = tmp_path / "out"
    assert main(words(source, tokenizer_folder, out, "--languages", "en", "--splits", "dev")) == 0
    assert "1 rows left out: no consensus" in capsys.readouterr().out
    cell = open_cell(out / "xnli/dev/en")
    assert cell.manifest.skipped == {"no consensus": 1, "blank line": 1}
    assert cell.dataset["id"][-1] == 32


def test_a_placeholder_label_is_pointed_out(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "test-de.tsv").write_text("a dog\ta cat\t0\n" * 30, encoding="utf-8")
    assert main(words(tmp_path / "s", tokenizer_folder, tmp_path / "out", task="pawsx")) == 0
    assert "placeholder" in capsys.readouterr().out


def test_placeholder_texts_are_kept_and_said_or_left_out(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "s", tmp_path / "out"
    folder.mkdir()
    (folder / "dev-de.tsv").write_text("a dog\ta cat\t1\nNS\ta cat\t0\na man\t NS\t1\nNS\tNS\t0\n", encoding="utf-8")
    call = words(folder, tokenizer_folder, out, task="pawsx")
    assert main(call) == 0
    assert "3 rows kept: placeholder text (--drop_placeholders leaves them out)" in capsys.readouterr().out
    cell = open_cell(out / "pawsx/dev/de")
    assert (len(cell), cell.manifest.kept, cell.manifest.skipped) == (4, {"placeholder text": 3}, {})
    assert main([*call, "--drop_placeholders"]) == 2
    assert "drop_placeholders False, but True was requested" in capsys.readouterr().err
    assert main([*call, "--drop_placeholders", "--overwrite"]) == 0
    assert "3 rows left out: placeholder text" in capsys.readouterr().out
    cell = open_cell(out / "pawsx/dev/de")
    assert (cell.dataset["id"][:], cell.manifest.kept, cell.manifest.skipped) == ([0], {}, {"placeholder text": 3})
    assert main([*words(folder, tokenizer_folder, out), "--drop_placeholders"]) == 2
    assert "xnli has no placeholder texts; tasks with some: pawsx" in capsys.readouterr().err


def test_files_that_nothing_read_are_named(
    source: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "test-de.tsv.xz").write_bytes(b"")
    (source / "README.md").write_bytes(b"")
    for _ in range(2):  # a second build, which finds all cells finished, names them too
        assert main(words(source, tokenizer_folder, tmp_path / "out", "--splits", "dev")) == 0
        assert "not read for xnli: 1 file: test-de.tsv.xz\n" in capsys.readouterr().out


def test_text(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    lines = [*sentences(40), "the dog\tder Hund"]
    (tmp_path / "s" / "train-en.txt").write_text("\n".join(lines), encoding="utf-8")
    assert main(words(tmp_path / "s", tokenizer_folder, tmp_path / "out", "--max_length", "16", task="text")) == 0
    cell = open_cell(tmp_path / "out/text/train/en")
    assert (cell.manifest.kind, cell.manifest.metric, cell.manifest.labels) == ("mlm", "perplexity", [])
    assert not cell.manifest.has_labels
    tokenizer = load_tokenizer(str(tokenizer_folder))
    for row, line in zip(cell.dataset, lines, strict=True):
        first, _, second = line.partition("\t")
        own = tokenizer(first, second or None, truncation="longest_first", max_length=16)["input_ids"]
        assert assemble(row["first_ids"], row["second_ids"], 16, cell.manifest.tokenizer.template).tolist() == own


def test_worker_processes_write_the_same_cells(
    source: Path, tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "POOL_FROM_ROWS", 0)
    monkeypatch.setattr("data_prep.sources.batches.BATCH_ROWS", 7)
    assert main(words(source, tokenizer_folder, tmp_path / "one", "--workers", "1")) == 0
    assert main(words(source, tokenizer_folder, tmp_path / "two", "--workers", "2")) == 0
    for cell in find_cells(tmp_path / "one"):
        other = tmp_path / "two" / cell.relative_to(tmp_path / "one")
        assert read_manifest(cell) == read_manifest(other), "the sha256 of each shard included"


def test_batches_under_way_are_bounded(tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "POOL_FROM_ROWS", 0)
    drawn = 0

    def endless() -> Iterator[TextBatch]:
        nonlocal drawn
        while True:
            drawn += 1
            yield pair_batch([drawn], ["the dog"], ["a cat"], [0])

    tokenizer = load_tokenizer(str(tokenizer_folder))
    work = workers.Work("pair", tokenizer.backend_tokenizer, 16, derive_template(tokenizer))
    with workers.mapper(work, 2, None) as encode:
        results = encode(endless())
        for taken in range(1, 40):
            assert next(results).table["id"].to_pylist() == [taken]
            assert drawn - taken < 2 * workers.BATCHES_PER_WORKER


def test_shards_are_capped(
    source: Path, tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "MEGABYTE", 1024)
    monkeypatch.setattr("data_prep.sources.batches.BATCH_ROWS", 10)
    assert main(words(source, tokenizer_folder, tmp_path / "out", "--max_shard_mb", "3", "--splits", "train")) == 0
    cell = open_cell(tmp_path / "out/xnli/train/en", verify="sha256")
    assert len(cell.manifest.shards) > 1
    assert cell.dataset["id"][:] == list(range(60))


KILLED = """
import os, signal, sys
from pathlib import Path
from data_prep.kinds import pair
from data_prep.shards import write
if sys.argv[2] == "before the manifest":
    write.write_json = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
elif sys.argv[2] == "before the rename":
    write.put_in_place = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
else:
    encode = pair.encode
    def killed(batch, *more):
        if batch.ids[0] > 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return encode(batch, *more)
    pair.encode = killed
import data_prep.sources.batches
data_prep.sources.batches.BATCH_ROWS = 20
from data_prep.__main__ import main
main(sys.argv[3:])
"""


@pytest.mark.parametrize("when", ["in mid-file", "before the manifest", "before the rename"])
def test_killed_half_way(source: Path, tokenizer_folder: Path, tmp_path: Path, when: str) -> None:
    out = tmp_path / "out"
    command = words(source, tokenizer_folder, out, "--splits", "train", "--workers", "1")
    ended = subprocess.run([sys.executable, "-c", KILLED, "-", when, *command], cwd=ROOT, timeout=120, check=False)
    assert ended.returncode == -9
    assert find_cells(out) == []
    assert any(".en.tmp-" in name for name in below(out)), "it was killed while it wrote"
    with pytest.raises(InputError, match="no such folder"):
        open_cell(out / "xnli/train/en")
    assert main(command) == 0
    assert len(open_cell(out / "xnli/train/en", verify="sha256")) == 60
    assert not any("tmp" in name for name in below(out)), "the dead process's leavings are cleared"


def test_bad_label_late_in_the_second_file_writes_nothing(
    source: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(source / "train-en.tsv", "a", encoding="utf-8") as stream:
        stream.write("a\tb\tperhaps\n")
    assert main(words(source, tokenizer_folder, tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert "train-en.tsv, line 61: label 'perhaps'" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("more", "message"), [
    (["--language", "en"], "no flag --language"), (["stray"], "stray word"),
    (["--local_rank=0"], "no flag --local_rank"),
    (["--languages", "sw"], "nothing for language 'sw'"), (["--languages", "en,,"], "comma list"),
    (["--splits", "dev,validation"], "no split 'validation'"), (["--max_length", "4"], "at least 8"),
    (["--max_length", "x"], "whole number"), (["--workers", "-1"], "at least 0"),
    (["--max_shard_mb", "0"], "at least 1"),
])
def test_wrong_flags_write_nothing(
    source: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str],
    message: str,
) -> None:
    before = below(tmp_path)
    assert main([*words(source, tokenizer_folder, tmp_path / "out"), *more]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert below(tmp_path) == before


@pytest.mark.parametrize(("task", "flag", "value", "message"), [
    ("xlni", None, None, "no task 'xlni'"), ("xnli", "--source", "absent", "no such folder"),
    ("text", "--source", "hub", "not on the hub"), ("sick", None, None, None),
    ("xnli", "--tokenizer", "./absent", "no such folder"),
    ("xnli", "--tokenizer", "source", "cannot be loaded"), ("xnli", "--out", "source/dev-en.tsv", "is a file"),
    ("xnli", "--out", "source/dev-en.tsv/x", "is a file"),
])
def test_wrong_places_write_nothing(
    source: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, task: str, flag: str | None, value: str | None, message: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = below(tmp_path)
    if message is None:  # a folder without a file of the task
        (source / "empty").mkdir()
        before, flag, value, message = below(tmp_path), "--source", "source/empty", "no files of sick"
    given = {"--source": str(source), "--tokenizer": str(tokenizer_folder), "--out": str(tmp_path / "out")}
    if flag and value:
        given[flag] = value
    assert main(["build", task, *[word for pair in given.items() for word in pair]]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert below(tmp_path) == before


def test_another_task_s_folder_is_told_before_anything_else(
    source: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, out = tmp_path / "other", tmp_path / "out"
    other.mkdir()
    (other / "dev-en.tsv").write_text("a\tb\t0\n")
    assert main(words(source, tokenizer_folder, out)) == 0
    for tokenizer in (tokenizer_folder, Path("nowhere")):
        capsys.readouterr()
        assert main(words(other, tokenizer, out)) == 2
        error = capsys.readouterr().err
        assert "dev-en.tsv, line 1: label '0' is not one of contradiction, entailment, neutral (xnli)" in error
        assert error.endswith(f"; {other} holds 1 file: dev-en.tsv (read by other tasks: pawsx 1)\n")
    (other / "dev-en.tsv").write_text("a\tb\tneutral\n")
    assert main(words(other, tokenizer_folder, out)) == 2
    error = capsys.readouterr().err
    assert f"is finished from {source}/dev-en.tsv (" in error
    assert f"but {other}/dev-en.tsv (12 bytes) was requested; check --source, then add --overwrite" in error


def test_two_files_for_one_cell(source: Path, tokenizer_folder: Path, tmp_path: Path,
                                capsys: pytest.CaptureFixture[str]) -> None:
    (source / "multinli.train.en.tsv").write_text("premise\thypo\tlabel\na\tb\tneutral\n", encoding="utf-8")
    assert main(words(source, tokenizer_folder, tmp_path / "out")) == 2
    assert "two files" in capsys.readouterr().err


def test_tasks_lists_every_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks"]) == 0
    printed = capsys.readouterr().out
    for name in ("xnli", "mnli", "pawsx", "sick", "mrpc", "text", "accuracy", "perplexity", "pair", "mlm"):
        assert name in printed


def test_tasks_shows_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "xnli"]) == 0
    printed = capsys.readouterr().out
    assert "contradiction, entailment, neutral" in printed
    assert "train-en.tsv" in printed
    assert main(["tasks", "xglue"]) == 0
    assert "xglue_pos" in capsys.readouterr().out
    assert main(["tasks", "xnly"]) == 2
    assert "no task or suite 'xnly'" in capsys.readouterr().err
