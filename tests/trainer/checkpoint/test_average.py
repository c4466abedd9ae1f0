"""Averages of weights: numpy's mean of the snapshots or of the runs, taken everywhere that a best checkpoint is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from tests.trainer.small_runs import TEXT, killed_at, run, tree_of, write_recipe
from trainer.__main__ import main
from trainer.checkpoint.average import average
from trainer.checkpoint.export import export
from trainer.checkpoint.snapshots import snapshots_of
from trainer.config import load_recipe
from trainer.evaluate.run import evaluate
from trainer.model.build import build_model
from trainer.report.data.runs import read_runs
from trainer.results.scores import RESULTS_FILE, read_rows

WEIGHTS = "model.safetensors"
DEV = {"tasks": "xnli", "splits": "dev"}


@pytest.fixture(scope="module")
def trained(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two seeds of one recipe whose heads start alike, a third of another, and one whose head is its own."""
    recipe = write_recipe(tmp_path_factory.mktemp("averages"), shards)
    short = {"schedule.max_steps": "4", "label": "plain"}
    mlm = run(recipe, "mlm", {**short, **TEXT})
    tuned = {**short, "model.random": "null", "init_from": str(mlm)}
    alike = {**tuned, "model.head_seed": "1", "checkpoint.snapshots": "2"}
    return {"mlm": mlm, "seed8": run(recipe, "seed8", {**alike, "seed": "8"}), "seed7": run(recipe, "seed7", alike),
            "other": run(recipe, "other", {**alike, "seed": "9", "optimizer.lr": "0.002"}),
            "apart7": run(recipe, "apart7", tuned), "apart8": run(recipe, "apart8", {**tuned, "seed": "8"})}


@pytest.fixture
def runs(trained: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Copies of the trained runs, to be changed."""
    shutil.copytree(trained["mlm"].parent, tmp_path / "runs")
    return {name: tmp_path / "runs" / path.name for name, path in trained.items()}


def assert_mean(found: Path, parts: Sequence[Path]) -> None:
    weights = [load_file(part / WEIGHTS) for part in parts]
    assert any(not np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    for name, mean in load_file(found / WEIGHTS).items():
        expected = np.mean([one[name].astype(np.float64) for one in weights], axis=0).astype(mean.dtype)
        np.testing.assert_array_equal(mean, expected)


def change_record(folder: Path, **fields: Any) -> None:
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, **fields}))


def test_the_mean_of_the_last_snapshots_has_rows_of_its_own(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = runs["seed7"]
    assert average(str(folder), last=2) == 0
    assert_mean(folder / "average", snapshots_of(folder))
    before = tree_of(folder)
    shutil.rmtree(folder / "snapshots")
    assert average(str(folder), last=2) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert tree_of(folder / "average").items() <= {
        name.removeprefix("average/"): what for name, what in before.items()}.items()
    assert evaluate(str(folder), weights="best,average", **DEV) == 0
    first = (folder / "eval" / RESULTS_FILE).read_bytes()
    assert evaluate(str(folder), weights="average,best", **DEV) == 0
    assert (folder / "eval" / RESULTS_FILE).read_bytes() == first
    rows = {(row.language, row.selection): row for row in read_rows(folder / "eval" / RESULTS_FILE)}
    assert {key for key in rows if key[1] != "oracle"} == {
        (language, selection) for language in ("de", "en") for selection in ("best", "average")}
    assert rows["de", "average"].predictions == "average/" + str(rows["de", "best"].predictions)
    assert (rows["de", "average"].settings["average.last"], rows["de", "average"].chosen_on) == (2, "")
    assert rows["de", "average"].checkpoint != rows["de", "best"].checkpoint
    assert [one.label for one in read_runs([folder])] == ["plain", "plain (average of last 2)"]


def test_the_mean_of_runs_is_a_run(runs: dict[str, Path], shards: Path, tmp_path: Path) -> None:
    """Evaluated, exported and begun from like any other; the order in which its runs are named is of no account."""
    out = runs["mlm"].with_name("soup")
    assert average(str(runs["seed8"]), str(runs["seed7"]), out=str(out)) == 0
    assert average(str(runs["seed7"]), str(runs["seed8"]), out=str(out)) == 0
    assert_mean(out / "best", [runs["seed7"] / "best", runs["seed8"] / "best"])
    assert [one["seed"] for one in json.loads((out / "best/average.json").read_text())["averaged"]] == [7, 8]
    assert evaluate(str(out), **DEV) == evaluate(str(runs["seed7"]), **DEV) == 0
    assert [one.label for one in read_runs([runs["seed7"], out])] == ["plain", "plain, mean of 2 runs"]
    assert not [row for row in read_rows(out / "eval" / RESULTS_FILE) if row.selection == "oracle"]
    assert export(str(out), out=str(tmp_path / "exported")) == 0
    settings = load_recipe(str(write_recipe(tmp_path, shards)), {"model.random": "null", "init_from": str(out)})
    model, _ = build_model(settings, open_cell(shards / "xnli/train/en").manifest, 24)
    for name, mean in load_file(tmp_path / "exported" / WEIGHTS).items():
        if name.startswith("roberta."):
            np.testing.assert_array_equal(model.state_dict()[name].numpy(), mean)


def test_the_mean_of_averages(runs: dict[str, Path]) -> None:
    names, out = [str(runs["seed7"]), str(runs["seed8"])], runs["mlm"].with_name("soup")
    for name in names:
        average(name, last=2)
    average(*names, weights="average", out=str(out))
    assert_mean(out / "best", [Path(name) / "average" for name in names])
    assert json.loads((out / "run.json").read_text())["label"] == "plain (average of last 2), mean of 2 runs"


@pytest.mark.parametrize(("names", "flags", "message"), [
    ([], {}, "no run given"),
    (["seed7"], {"last": 0}, "--last must be at least 1"),
    (["seed7"], {"last": 3}, "has 2 snapshots, --last 3 asks for more"),
    (["seed7"], {"weights": "oracle"}, "--weights must be best or average"),
    (["seed7"], {"weights": "average"}, "--weights is for several runs"),
    (["seed7"], {"label": "mine"}, "--label is for the run in --out"),
    (["seed7"], {"last": 2, "out": "runs/other"}, "exists and is no average"),
    (["apart7"], {}, "has no snapshots; train it with --checkpoint.snapshots=3"),
    (["seed7", "seed8"], {}, "several runs need --out"),
    (["seed7", "seed7"], {"out": "runs/soup"}, "a run is given twice"),
    (["seed7", "seed8"], {"out": "runs/soup", "last": 2}, "--last is of one run's snapshots"),
    (["seed7", "seed8"], {"out": "runs/soup", "weights": "average"}, "has no average/; make it with"),
    (["seed7", "other"], {"out": "runs/soup"}, r"not of one recipe \(they differ in optimizer.lr\)"),
    (["seed7", "mlm"], {"out": "runs/soup"}, "differ in kind"),
    (["apart7", "apart8"], {"out": "runs/soup"}, "initial heads were drawn from different seeds"),
])
def test_what_has_no_mean_is_refused(
    trained: dict[str, Path], names: list[str], flags: dict[str, Any], message: str
) -> None:
    home = trained["mlm"].parents[1]
    before = tree_of(home)
    flags |= {"out": str(home / flags["out"])} if "out" in flags else {}
    with pytest.raises(InputError, match=message) as caught:
        average(*(str(trained[name]) for name in names), **flags)
    assert "\n" not in str(caught.value)
    assert tree_of(home) == before


def test_an_average_of_other_models_is_replaced_on_demand_only(runs: dict[str, Path]) -> None:
    folder = runs["seed7"]
    average(str(folder), last=1)
    last = load_file(snapshots_of(folder)[-1] / WEIGHTS)
    assert all(np.array_equal(value, last[name]) for name, value in load_file(folder / "average" / WEIGHTS).items())
    with pytest.raises(InputError, match=r"holds another average.*add --overwrite"):
        average(str(folder), last=2)
    average(str(folder), last=2, overwrite=True)
    assert_mean(folder / "average", snapshots_of(folder))


def test_weights_of_two_shapes_are_refused(runs: dict[str, Path]) -> None:
    weights = snapshots_of(runs["seed7"])[-1] / WEIGHTS
    tensors = load_file(weights)
    name = max(tensors)
    save_file({**tensors, name: np.concatenate([tensors[name]] * 2)}, weights)
    with pytest.raises(InputError, match=f"{name} has shape .* only models of one shape have a mean"):
        average(str(runs["seed7"]), last=2)
    assert not (runs["seed7"] / "average").exists()


def test_a_failed_seed_has_no_average(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = runs["seed7"]
    average(str(folder), last=2)
    change_record(folder, status="collapsed")
    capsys.readouterr()
    assert main(["average", str(folder), "--last", "2"]) == 2
    assert "collapsed: a failed seed has no average; leave it out" in capsys.readouterr().err
    assert evaluate(str(folder), weights="best,average", **DEV) == 0
    assert "collapsed: a failed seed has no average; evaluating best alone" in capsys.readouterr().out
    assert {row.selection for row in read_rows(folder / "eval" / RESULTS_FILE)} == {"best", "oracle"}
    with pytest.raises(InputError, match="evaluate it with --weights best"):
        evaluate(str(folder), weights="average", **DEV)


@pytest.mark.parametrize(("patience", "death"), [("null", 8), ("2", 5)])
def test_a_resumed_run_ends_with_the_same_snapshots(recipe: Path, patience: str, death: int) -> None:
    """Killed after a snapshot, resumed from the checkpoint before it; with early stopping, which ends after step 6."""
    flags = {"checkpoint.snapshots": "2", "evaluation.patience_evaluations": patience, "model.dropout": "0.1"}
    with killed_at(death):
        run(recipe, "twice", flags)
    assert snapshots_of(recipe.parent / "runs/twice")[-1].name == f"step-{death // 2 * 2:08}"
    folder = run(recipe, "twice", flags)
    whole = run(recipe, "whole", flags)
    names = [path.name for path in snapshots_of(whole)]
    assert names == [f"step-{step:08}" for step in ((8, 10) if patience == "null" else (4, 6))]
    assert [path.name for path in snapshots_of(folder)] == names
    for name in names:
        found, expected = (path / "snapshots" / name / WEIGHTS for path in (folder, whole))
        assert found.read_bytes() == expected.read_bytes()
