"""A kind that is not ours, regression to a score, is one module and one registry line: built, verified and shown."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from data_prep.__main__ import main
from data_prep.base.errors import InputError
from data_prep.kinds import KINDS
from data_prep.kinds.kind import Encoded
from data_prep.kinds.rows import Record, Row, TextBatch
from data_prep.kinds.segments import encode_texts
from data_prep.shards.manifest import NO_TEXT, Manifest
from data_prep.shards.read import open_cell
from data_prep.shards.template import InputTemplate
from data_prep.tasks import TASKS
from data_prep.tasks.task import Task, prefixed_pair

columns: Mapping[str, str] = {"first_ids": "token_ids", "second_ids": "token_ids", "score": "number"}
fields: Mapping[str, tuple[str, ...]] = {"first": (), "second": (), "label": ()}
texts: tuple[str, ...] = ("first", "second")
noised: tuple[str, ...] = ("first", "second")
STS = Task(name="sts", summary="similarity", kind="score", metric="pearson", labels=(), languages=("en",),
           layouts=(prefixed_pair("sts"),))


def read(record: Record, task: Task) -> Row | str:
    first, second = record.values["first"], record.values["second"]
    if not first or not second:
        return NO_TEXT
    try:
        score = float(record.values["label"] or "nan")
    except ValueError:
        raise InputError(f"score {record.values['label']!r} is not a number") from None
    return Row(record.row, {"first": first, "second": second, "score": score}, record.key)


def encode(batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
    return encode_texts(batch, tokenizer, max_length, template, {"score": pa.array(batch["score"], pa.float64())})


def validate(table: pa.Table, manifest: Manifest) -> None:
    scores = table["score"].to_numpy()
    if (scores > 5).any():
        raise InputError(f"score {scores.max()}, expected at most 5")


def show(row: Mapping[str, Any], manifest: Manifest, tokenizer: Any) -> str:
    return f"score   {row['score']}"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(KINDS, "score", sys.modules[__name__])  # type: ignore[arg-type]
    monkeypatch.setitem(TASKS, "sts", STS)
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def call(source: Path, tokenizer: Path) -> list[str]:
    return ["build", "sts", "--source", str(source), "--tokenizer", str(tokenizer), "--out", str(source.parent / "out")]


def test_built_verified_and_shown(source: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "sts-train-en.tsv").write_text("the dog\ta cat\t2.5\na\tb\t-1\n\tb\t0\n")
    (source / "sts-test-en.tsv").write_text("the dog\ta cat\n")
    assert main(call(source, tokenizer_folder)) == 0
    train, test = (open_cell(source.parent / "out/sts" / split / "en") for split in ("train", "test"))
    assert train.dataset["score"][:] == [2.5, -1.0]
    assert (train.manifest.has_labels, train.manifest.skipped) == (True, {"missing text": 1})
    assert (train.manifest.kind, train.manifest.metric, test.manifest.has_labels) == ("score", "pearson", False)
    assert main(["verify", str(source.parent / "out")]) == 0
    assert main(["peek", str(train.path)]) == 0
    assert "score   2.5" in capsys.readouterr().out


@pytest.mark.parametrize(("score", "message"), [
    ("much", "line 2: score 'much' is not a number"), ("7", "score 7.0, expected at most 5")])
def test_what_the_kind_refuses(
    source: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str], score: str, message: str
) -> None:
    (source / "sts-train-en.tsv").write_text(f"the dog\ta cat\t2.5\na\tb\t{score}\n")
    assert main(call(source, tokenizer_folder)) == 2
    assert message in capsys.readouterr().err
    assert not (source.parent / "out/sts/train").exists()


def test_an_unknown_kind_is_one_line(
    source: Path, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "sts-train-en.tsv").write_text("the dog\ta cat\t2.5\n")
    assert main(call(source, tokenizer_folder)) == 0
    monkeypatch.delitem(KINDS, "score")
    for command in ("verify", "peek"):
        assert main([command, str(source.parent / "out/sts/train/en")]) == 2
        assert "no kind 'score'; kinds: pair, mlm" in capsys.readouterr().err
