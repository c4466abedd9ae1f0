"""A run that dies anywhere and is started again ends with the same numbers, bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from data_prep.base.errors import InputError
from data_prep.shards.manifest import read_manifest
from data_prep.shards.read import open_cell
from data_prep.shards.write import write_cell
from tests.random_cells import write_random_cell
from tests.trainer.small_runs import (
    PGD,
    TEXT,
    ZERO3,
    killed_at,
    metrics_of,
    run,
    tree_of,
    weights_of,
    write_cells,
    write_recipe,
)
from trainer.checkpoint import layout
from trainer.robust import METHODS

DROPOUT = {"model.dropout": "0.1", "checkpoint.keep_when_done": "true"}  # whose last state is compared
KINDS = {
    "plain": DROPOUT,
    "pgd": {**DROPOUT, **PGD, "batch.micro_batch_size": "4", "robust.ramp_end": "0.5"},
    "shared": {**DROPOUT, **PGD, "batch.micro_batch_size": "4", "robust.shared_dropout": "true"},
    "noise": {**DROPOUT, "robust.method": "random_noise", "engine.config": "zero2", "engine.precision": "bf16"},
    "mlm": {**DROPOUT, **TEXT},
    "windows": {**DROPOUT, "logging.every_steps": "4", "optimizer.name": "sgd", "engine.config": "zero1"},
    "zero3": {**DROPOUT, **ZERO3},
    "smart": {**DROPOUT, "robust.method": "smart", "robust.bregman_weight": "1.0", "robust.bregman_momentum": "0.5"},
    "mixup": {**DROPOUT, "robust.method": "mixup"},
}
DEATHS = {"before the first checkpoint": ((2,), False), "with a checkpoint": ((3,), False), "twice": ((4, 7), False),
          "before it is logged": ((8,), True), "before the last is kept": ((10,), True), "at the end": ((10,), False)}
CASES = [(kind, death) for kind in KINDS for death in DEATHS
         if kind in ("plain", "windows") or death == "twice" or (death == "before it is logged" and kind != "zero3")]


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of run, never interrupted."""
    recipe = write_recipe(tmp_path_factory.mktemp("whole"), shards)
    return {kind: run(recipe, kind, overrides) for kind, overrides in KINDS.items()}


def last_state(folder: Path, update: int = 10) -> dict[str, torch.Tensor]:
    """The weights after the last update, whether or not they were the best."""
    newest = layout.complete_checkpoints(folder)[-1]
    assert layout.step_of(newest) == update
    files = [torch.load(path, weights_only=False, map_location="cpu") for path in sorted(newest.glob("*.pt"))]
    found: dict[str, torch.Tensor] = {}

    def collect(value: object, name: str) -> None:
        if isinstance(value, torch.Tensor):
            found[name] = value
        elif isinstance(value, dict):
            for key, part in value.items():
                collect(part, f"{name}/{key}")
        elif isinstance(value, list | tuple):
            for number, part in enumerate(value):
                collect(part, f"{name}/{number}")

    collect(files, "")
    assert len(found) > 20
    return found


def assert_same(folder: Path, expected: Path) -> None:
    assert metrics_of(folder) == metrics_of(expected)
    for one, other in ((weights_of(folder), weights_of(expected)), (last_state(folder), last_state(expected))):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    done, done_there = (json.loads((path / "done.json").read_text()) for path in (folder, expected))
    del done["wall_seconds"], done_there["wall_seconds"]
    assert done == done_there


@pytest.mark.parametrize(("kind", "death"), CASES)
def test_the_same_numbers_whenever_it_dies(recipe: Path, whole: dict[str, Path], kind: str, death: str) -> None:
    updates, unlogged = DEATHS[death]
    for update in updates:
        with killed_at(update, before_it_is_logged=unlogged):
            run(recipe, kind, KINDS[kind])
    assert not (recipe.parent / "runs" / kind / "done.json").exists()
    assert_same(run(recipe, kind, KINDS[kind]), whole[kind])


@pytest.mark.full
@pytest.mark.parametrize("stage", range(4))
@pytest.mark.parametrize("method", METHODS)
def test_every_method_at_every_stage(recipe: Path, method: str, stage: int) -> None:
    """Killed in the middle of an epoch, between two checkpoints and two lines of the log."""
    settings = {**DROPOUT, "robust.method": method, "batch.micro_batch_size": "4", "logging.every_steps": "3",
                "checkpoint.every_steps": "4", **(ZERO3 if stage == 3 else {"engine.config": f"zero{stage}"})}
    if method == "smart":
        settings["robust.bregman_weight"] = "1.0"
    expected = run(recipe, "whole", settings)
    with killed_at(6):
        run(recipe, "killed", settings)
    found = run(recipe, "killed", settings)
    assert metrics_of(found) == metrics_of(expected)
    one, other = last_state(found), last_state(expected)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_patience_ends_a_run_alike_whenever_it_dies(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patient = {"evaluation.every_steps": "1", "evaluation.patience_evaluations": "2", "schedule.max_steps": "40"}
    whole = run(recipe, "whole", patient)
    done = json.loads((whole / "done.json").read_text())
    assert 3 <= done["step"] < 40
    assert done["step"] == done["selection"]["step"] + 2
    assert f"out of patience after step {done['step']}" in capsys.readouterr().out
    for update in (2, done["step"] - 1):
        with killed_at(update):
            run(recipe, "killed", patient)
    found = run(recipe, "killed", patient)
    assert metrics_of(found) == metrics_of(whole)
    assert json.loads((found / "done.json").read_text())["step"] == done["step"]


def test_a_finished_run_says_so_and_changes_nothing(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(recipe, "done", {"schedule.max_steps": "2"})
    before = tree_of(folder)
    capsys.readouterr()
    run(recipe, "done", {"schedule.max_steps": "2"})
    assert capsys.readouterr().out == (
        f"{folder} is done; nothing to do\n"
        f"next: python -m trainer evaluate {folder} --tasks xnli --splits dev\n")
    assert tree_of(folder) == before


def test_a_half_written_checkpoint_is_never_chosen(recipe: Path, whole: dict[str, Path],
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    with killed_at(7):
        run(recipe, "plain", KINDS["plain"])
    folder = recipe.parent / "runs" / "plain"
    three, six = layout.complete_checkpoints(folder)
    assert (layout.step_of(three), layout.step_of(six)) == (3, 6)
    nine = six.with_name(layout.checkpoint_name(9))  # later, but without a manifest
    shutil.copytree(six, nine)
    (nine / layout.MANIFEST).unlink()
    largest = max(six.glob("*.pt"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1])  # and one cut short
    assert layout.complete_checkpoints(folder) == [three]
    capsys.readouterr()
    assert_same(run(recipe, "plain", KINDS["plain"]), whole["plain"])
    assert "resumed after step 3" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["missing file", "no manifest", "broken manifest", "another format", "no files"])
def test_what_counts_as_whole(tmp_path: Path, damage: str) -> None:
    path = tmp_path / layout.FOLDER / layout.checkpoint_name(5)
    path.mkdir(parents=True)
    (path / "a.pt").write_bytes(b"123")
    manifest = {"format_version": layout.FORMAT_VERSION, "step": 5, "files": {"a.pt": {"size": 3, "sha256": "?"}}}
    (path / layout.MANIFEST).write_text(json.dumps(manifest))
    assert layout.complete_checkpoints(tmp_path) == [path]
    if damage == "missing file":
        (path / "a.pt").unlink()
    elif damage == "no manifest":
        (path / layout.MANIFEST).unlink()
    else:
        text = {"broken manifest": "{", "another format": json.dumps({**manifest, "format_version": 99}),
                "no files": json.dumps({"format_version": layout.FORMAT_VERSION})}[damage]
        (path / layout.MANIFEST).write_text(text)
    assert layout.complete_checkpoints(tmp_path) == []


def test_the_newest_are_kept_and_nothing_else_lies_about(whole: dict[str, Path]) -> None:
    for folder in whole.values():
        kept = sorted(path.name for path in (folder / layout.FOLDER).iterdir() if path.is_dir())
        assert kept == [layout.checkpoint_name(9), layout.checkpoint_name(10)]
        assert not list(folder.rglob(".*"))


@pytest.mark.parametrize("keep", [False, True])
def test_a_finished_run_drops_its_checkpoints(recipe: Path, keep: bool) -> None:
    folder = run(recipe, "done", {"checkpoint.keep_when_done": "true"} if keep else {})
    assert (folder / layout.FOLDER).exists() == keep
    left = folder / layout.FOLDER / layout.checkpoint_name(9) / "left by a kill"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()
    run(recipe, "done", {"checkpoint.keep_when_done": "true"} if keep else {})
    assert left.exists() == keep
    assert (folder / "done.json").is_file()
    assert weights_of(folder)


def partial(recipe: Path) -> Path:
    with killed_at(4):
        run(recipe, "partial")
    return recipe.parent / "runs" / "partial"


def test_another_recipe_in_the_folder_is_refused(recipe: Path) -> None:
    folder = partial(recipe)
    before = tree_of(folder)
    with pytest.raises(InputError, match=r"another recipe \(optimizer.lr: 0.001 there, 0.002 here\)"):
        run(recipe, "partial", {"optimizer.lr": "0.002"})
    assert tree_of(folder) == before


def test_shards_may_move_between_two_lives(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path leads nowhere from another folder: the line names the flag, and with it the run goes on."""
    write_cells(tmp_path / "there" / "cells")
    monkeypatch.chdir(tmp_path / "there")
    expected = run(recipe, "whole", {"data.shards": "cells"})
    with killed_at(4):
        run(recipe, "moved", {"data.shards": "cells"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"cells: no such folder, .* name theirs with --data.shards"):
        run(recipe, "moved", {"data.shards": "cells"})
    folder = run(recipe, "moved", {"data.shards": "there/cells"})
    assert metrics_of(folder) == metrics_of(expected)
    record = json.loads((folder / "run.json").read_text())
    assert record["shards_root"] == "there/cells"
    assert record["shards_path"] == str(tmp_path / "there" / "cells")


@pytest.mark.parametrize(("key", "word"), [("zero_stage", "written at ZeRO stage 2, this start has 0"),
                                           ("recipe", "written by another run")])
def test_a_checkpoint_that_does_not_fit_is_refused_in_clear_words(recipe: Path, key: str, word: str) -> None:
    folder = partial(recipe)
    manifest = layout.complete_checkpoints(folder)[-1] / layout.MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), key: 2}))
    before = tree_of(folder)
    with pytest.raises(InputError, match=word):
        run(recipe, "partial")
    assert tree_of(folder) == before


def own(folder: Path) -> Path:
    """A recipe over cells that only this test has."""
    write_cells(folder / "cells")
    return write_recipe(folder, folder / "cells")


def rewritten(cell: Path, **changes: Any) -> None:
    """Write the cell anew in other shards, with some columns changed."""
    opened = open_cell(cell)
    rows = dict(opened.dataset[:]) | changes
    halves = [{name: values[part] for name, values in rows.items()} for part in (slice(0, 9), slice(9, None))]
    shutil.rmtree(cell)
    write_cell(cell, opened.manifest.model_copy(update={"shards": []}), halves, max_shard_bytes=1)


@pytest.mark.parametrize("cell", ["xnli/train/en", "xnli/dev/en"])
def test_a_run_is_not_resumed_on_other_data(tmp_path: Path, cell: str) -> None:
    recipe = own(tmp_path)
    folder = partial(recipe)
    path = tmp_path / "cells" / cell
    labels = open_cell(path).dataset["label"][:]
    rewritten(path, label=[*labels[:-1], (labels[-1] + 1) % 3])
    before = tree_of(folder)
    with pytest.raises(InputError, match=f"step-00000003 cannot be resumed: the rows of cell {cell} were others"):
        run(recipe, "partial")
    assert tree_of(folder) == before
    rewritten(path, label=labels)  # the rows of before, in other files
    assert len(open_cell(path).manifest.shards) == 2
    run(recipe, "partial")
    assert (folder / "done.json").is_file()


def test_a_run_is_not_resumed_with_more_cells(tmp_path: Path) -> None:
    recipe = own(tmp_path)
    with killed_at(4):
        run(recipe, "partial", {"data.dev": "[xnli/dev/*]"})
    write_random_cell(tmp_path / "cells", "xnli/dev/sw", 20)
    with pytest.raises(InputError, match="cell xnli/dev/sw was not among the run's cells"):
        run(recipe, "partial", {"data.dev": "[xnli/dev/*]"})
    for language in ("sw", "de"):
        shutil.rmtree(tmp_path / "cells/xnli/dev" / language)
    with pytest.raises(InputError, match="cell xnli/dev/de is no longer among the run's cells"):
        run(recipe, "partial", {"data.dev": "[xnli/dev/*]"})


def test_a_checkpoint_that_does_not_say_its_data_is_refused(tmp_path: Path) -> None:
    recipe = own(tmp_path)
    folder = partial(recipe)
    manifest = layout.complete_checkpoints(folder)[-1] / layout.MANIFEST
    content = json.loads(manifest.read_text())
    assert content.pop("cells") == {
        name: read_manifest(tmp_path / "cells" / name).rows_sha256 for name in ("xnli/train/en", "xnli/dev/en")}
    manifest.write_text(json.dumps(content))
    with pytest.raises(InputError, match="the rows that it was trained on are not recorded"):
        run(recipe, "partial")


def test_a_finished_run_is_done_whatever_became_of_its_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = own(tmp_path)
    folder = run(recipe, "done", {"schedule.max_steps": "2"})
    record = json.loads((folder / "run.json").read_text())
    assert record["rows_sha256"] == {
        name: read_manifest(tmp_path / "cells" / name).rows_sha256 for name in ("xnli/train/en", "xnli/dev/en")}
    rewritten(tmp_path / "cells/xnli/train/en", label=[0] * 60)
    capsys.readouterr()
    run(recipe, "done", {"schedule.max_steps": "2"})
    assert capsys.readouterr().out == (
        f"{folder} is done; nothing to do\n"
        f"next: python -m trainer evaluate {folder} --tasks xnli --splits dev\n")
