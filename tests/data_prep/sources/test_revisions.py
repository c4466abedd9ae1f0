"""Commits of the hub's repositories: pinned at first use, kept beside the shards, used again; and plain data files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest

from data_prep.__main__ import main
from data_prep.base.errors import InputError
from data_prep.shards.read import find_cells, open_cell
from data_prep.sources.batches import Content
from data_prep.sources.hub import _records
from data_prep.sources.revisions import REVISIONS_FILE, Revisions
from data_prep.tasks import TASKS
from data_prep.tasks.task import Hub
from tests.trainer.model.hub import FIRST, SECOND, offline

REPO = "someone/nli"
ROWS = 'premise\thypothesis\tlabel\nthe "dog\ta cat\tneutral\n"a man\tthe man\t{}\n'


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a commit of a repository of .tsv files the main branch of the stand-in, in which xnli lies."""
    commit = offline(monkeypatch, tmp_path / "hub", "datasets")
    columns = {"first": "premise", "second": "hypothesis", "label": "label"}
    hub = Hub(repo=REPO, config=None, splits={"dev": "dev", "test": "test"}, columns=columns,
              files="data/{language}/{split}.tsv")
    monkeypatch.setitem(TASKS, "xnli", replace(TASKS["xnli"], hub=hub))

    def publish(commit_hash: str, label: str) -> None:
        folder = commit(REPO, commit_hash)
        for name in ("data/amh/dev.tsv", "data/amh/test.tsv", "data/ewe/dev.tsv"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(ROWS.format(label))

    return publish


def build(tokenizer: Path, out: Path, *more: str, source: str = "hub") -> int:
    return main(["build", "xnli", "--source", source, "--tokenizer", str(tokenizer), "--out", str(out), *more])


def test_files_of_a_repository_at_one_commit(files: Any, tokenizer_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    files(FIRST, "neutral")
    assert build(tokenizer_folder, out, "--languages", "amh", "--splits", "dev") == 0
    manifest = open_cell(out / "xnli/dev/amh").manifest
    assert (manifest.revision, manifest.source, manifest.rows) == (FIRST, f"hub:{REPO} data/amh/dev.tsv", 2)
    assert json.loads((out / REVISIONS_FILE).read_text()) == {REPO: FIRST}
    files(SECOND, "entailment")  # the main branch moves on
    assert build(tokenizer_folder, out) == 0
    assert {cell.relative_to(out).as_posix(): open_cell(cell).manifest.revision for cell in find_cells(out)} == {
        "xnli/dev/amh": FIRST, "xnli/dev/ewe": FIRST, "xnli/test/amh": FIRST}
    assert open_cell(out / "xnli/dev/ewe").manifest.label_counts["neutral"] == 2
    assert build(tokenizer_folder, out, "--overwrite") == 0
    assert json.loads((out / REVISIONS_FILE).read_text()) == {REPO: SECOND}
    assert open_cell(out / "xnli/dev/ewe").manifest.label_counts["entailment"] == 1
    (out / REVISIONS_FILE).write_text("{}")
    files(FIRST, "neutral")
    assert build(tokenizer_folder, out) == 2, "other rows than those that the cells were built from"


def test_a_folder_of_files_stands_in_for_a_repository(
    files: Any, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "copy", tmp_path / "out"
    (folder / "data" / "amh").mkdir(parents=True)
    (folder / "data" / "amh" / "dev.tsv").write_text(ROWS.format("neutral"))
    assert build(tokenizer_folder, out, source=f"hub:{folder}") == 0
    assert open_cell(out / "xnli/dev/amh").manifest.revision == ""
    assert not (out / REVISIONS_FILE).exists()
    (folder / "data" / "amh" / "dev.tsv").rename(folder / "data" / "amh.tsv")
    assert build(tokenizer_folder, tmp_path / "other", source=f"hub:{folder}") == 2
    assert "has no files named like data/{language}/{split}.tsv; it has: data/amh.tsv" in capsys.readouterr().err


def test_parquet_files(files: Any, tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    hub = TASKS["xnli"].hub
    assert hub is not None
    monkeypatch.setitem(TASKS, "xnli", replace(TASKS["xnli"], hub=replace(
        hub, files="{split}/{language}.parquet", label_names=("entailment", "neutral", "contradiction"))))
    (tmp_path / "copy" / "dev").mkdir(parents=True)
    datasets.Dataset.from_dict({"premise": ["a"], "hypothesis": ["b"], "label": [2]}).to_parquet(
        str(tmp_path / "copy/dev/sw.parquet"))
    assert build(tokenizer_folder, tmp_path / "out", source=f"hub:{tmp_path / 'copy'}") == 0
    assert open_cell(tmp_path / "out/xnli/dev/sw").manifest.label_counts["contradiction"] == 1


def test_tables_are_loaded_at_the_commit(
    tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call to the hub has the commit, and a branch that the task names is resolved to one."""
    asked: list[Any] = []
    data = datasets.Dataset.from_dict({"sentence_A": ["a"], "sentence_B": ["b"], "label": ["neutral"]})

    def info(_: Any, repo: str, revision: str | None) -> Any:
        asked.append((repo, revision))
        return huggingface_hub.hf_api.DatasetInfo(id=repo, sha=SECOND)

    def called(result: Any) -> Any:
        return lambda *_, revision, **__: asked.append(revision) or result

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.setattr(datasets, "get_dataset_config_names", called(["default"]))
    monkeypatch.setattr(datasets, "get_dataset_split_names", called(["train", "validation", "test"]))
    monkeypatch.setattr(datasets, "load_dataset", called(data))
    call = ["build", "sick", "--source", "hub", "--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / "out")]
    assert main([*call, "--splits", "train"]) == 0
    assert asked[0] == ("RobZamp/sick", "refs/convert/parquet")
    assert set(asked[1:]) == {SECOND}
    assert json.loads((tmp_path / "out" / REVISIONS_FILE).read_text()) == {"RobZamp/sick@refs/convert/parquet": SECOND}
    asked.clear()
    assert main([*call, "--splits", "train"]) == 0
    assert set(asked) == {SECOND}, "neither resolved again nor read again: the finished cell is of this commit"
    assert len(asked) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"a/b": 1}', '{"a/b": "main"}'])
def test_a_damaged_file_of_commits_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / REVISIONS_FILE).write_text(content)
    with pytest.raises(InputError, match="expected a JSON object of repositories and their commits"):
        Revisions(tmp_path).commit("a/b", None)


def test_nested_columns() -> None:
    """Parts of structs, lists of structs, and lists of class labels."""
    data = datasets.Dataset.from_list([
        {"question": {"stem": "why"}, "choices": {"text": ["a", "b"], "label": ["A", "B"]},
         "options": [{"text": "x"}, {"text": "y"}], "tags": [0, 1], "answers": {"text": ["z"], "answer_start": [3]}},
    ]).cast_column("tags", datasets.List(datasets.ClassLabel(names=["O", "B-X"])))
    hub = Hub(repo="a/b", config=None, splits={}, columns={
        "question": "question.stem", "choices": "choices.text", "options": "options.text", "tags": "tags",
        "answers": "answers", "starts": "answers.answer_start", "absent": "nothing.here"})
    ((_, record),) = _records(data, hub, Content())
    assert record.values == {"question": "why", "choices": ["a", "b"], "options": ["x", "y"], "tags": ["O", "B-X"],
                             "answers": {"text": ["z"], "answer_start": [3]}, "starts": [3]}
