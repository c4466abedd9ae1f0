"""Folders of finished runs that were damaged, given to evaluate, diagnose and export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.budget import fuzzed
from tests.fuzz.damage import damaged_bytes, damaged_tree, run_command, scratch
from tests.trainer.small_runs import launcher_variables_kept, tree_of
from trainer.__main__ import main
from trainer.results.scores import RESULTS_FILE, read_rows

COMMANDS = {
    "evaluate": ["--tasks", "xnli", "--generalized"], "diagnose": ["--tasks", "xnli"],
    "smooth": ["--tasks", "xnli", "--smoothing.samples", "12", "--smoothing.sigma", "0.02"]}


@pytest.fixture(autouse=True)
def _launcher() -> Iterator[None]:
    with launcher_variables_kept():
        yield


def command(run: Path, name: str) -> int:
    """Run a command on `run`; where it refuses its input, nothing was written."""
    before = tree_of(run)
    code = run_command(main, ["evaluate" if name == "smooth" else name, str(run), *COMMANDS[name]])
    if code == 2:
        assert tree_of(run) == before
    elif name != "diagnose":
        assert all(row.note == "" for row in read_rows(run / "eval" / RESULTS_FILE))
    return code


def copy_of(finished: Path, folder: Path) -> Path:
    shutil.copytree(finished, folder / "run", ignore=shutil.ignore_patterns("eval"))
    return folder / "run"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_sound_run_is_taken(finished: Path, tmp_path: Path, name: str) -> None:
    assert command(copy_of(finished, tmp_path), name) == 0


def content_of(data: st.DataObject, good: bytes, tree: Any) -> bytes:
    return data.draw(st.one_of(damaged_tree(tree).map(lambda damaged: json.dumps(damaged).encode()),
                               damaged_tree(tree).map(lambda damaged: json.dumps(damaged).encode()),
                               damaged_bytes(good), st.binary(max_size=20)))


@fuzzed(50)
@given(st.sampled_from(list(COMMANDS)), st.data())
def test_damaged_records(finished: Path, name: str, data: st.DataObject) -> None:
    good = (finished / "run.json").read_bytes()
    content = content_of(data, good, json.loads(good))
    with scratch() as folder:
        run = copy_of(finished, folder)
        (run / "run.json").write_bytes(content)
        command(run, name)


@fuzzed(30)
@given(st.sampled_from(["config.json", "model.safetensors"]), st.sampled_from(list(COMMANDS)), st.data())
def test_damaged_models(finished: Path, file: str, name: str, data: st.DataObject) -> None:
    good = (finished / "best" / file).read_bytes()
    content = content_of(data, good, json.loads(good)) if file == "config.json" else data.draw(damaged_bytes(good))
    with scratch() as folder:
        run = copy_of(finished, folder)
        (run / "best" / file).write_bytes(content)
        command(run, name)


@fuzzed(25)
@given(st.sampled_from(["smooth", "diagnose"]), st.data())
@example("smooth", None)
@example("diagnose", None)
def test_damaged_recipes_of_runs(finished: Path, name: str, data: st.DataObject | None) -> None:
    good = (finished / "config.yaml").read_bytes()
    content = b"robust: {site: !!timestamp x}" if data is None else data.draw(damaged_bytes(good))
    with scratch() as folder:
        run = copy_of(finished, folder)
        (run / "config.yaml").write_bytes(content)
        command(run, name)


@pytest.mark.parametrize("site", ["layer:9", "layer:x", "nowhere", "layer:" + "9" * 5000, "layer:0", "[]"])
def test_sites_of_foreign_recipes(finished: Path, tmp_path: Path, site: str) -> None:
    run = copy_of(finished, tmp_path)
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("site: word_embeddings", f"site: {site}"))
    assert (run / "config.yaml").read_text() != text
    assert command(run, "smooth") == 2


@pytest.mark.parametrize("gone", ["best", "best/config.json", "best/model.safetensors", "run.json", "done.json"])
@pytest.mark.parametrize("name", COMMANDS)
def test_parts_that_are_missing_or_of_another_kind(finished: Path, tmp_path: Path, name: str, gone: str) -> None:
    run = copy_of(finished, tmp_path)
    (run / gone).rename(tmp_path / "gone")
    assert command(run, name) == 2
    (run / gone).touch() if gone == "best" else (run / gone).mkdir()
    assert command(run, name) == 2


def test_rows_in_the_way_are_refused_before_the_first_prediction(finished: Path, tmp_path: Path) -> None:
    for name, file in (("evaluate", "results.jsonl"), ("smooth", "results.jsonl"), ("diagnose", "diagnostics.jsonl")):
        run = copy_of(finished, tmp_path / name)
        (run / "eval").mkdir()
        (run / "eval" / file).write_text("no row\n")
        assert command(run, name) == 2
