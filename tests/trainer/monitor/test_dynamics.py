"""Training dynamics: what a brute-force loop finds, whatever kills the run, and nothing that is learned changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from data_prep.base.errors import InputError
from data_prep.shards.assemble import assemble
from data_prep.shards.read import Cell, open_cell
from tests.random_cells import PLAIN, write_random_cell
from tests.trainer.small_runs import TAGS, TEXT, killed_at, metrics_of, run
from trainer.monitor.watcher import Watcher
from trainer.plots.data_map import MOST_POINTS, data_map
from trainer.results.dynamics import Columns, epoch_file, read_summary

# 60 rows in batches of 8 are epochs of 7 steps; in every test but one the run has 2 of them, and 2 steps more.
ON = {"logging.dynamics": "true", "schedule.max_steps": "16", "evaluation.every_steps": "7"}


def summary(folder: Path) -> Columns:
    return read_summary(folder / "dynamics.parquet")


def saved_at_epochs(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Within: a copy of the model at the end of each epoch, taken when the run has not measured anything yet."""
    original = Watcher.__call__

    def call(self: Watcher, *args: object) -> None:
        if self.state.step % 7 == 0:
            self.engine.module.model.save_pretrained(folder / str(self.state.step // 7))
        original(self, *args)  # type: ignore[arg-type]

    patch.setattr(Watcher, "__call__", call)


def probabilities(model: torch.nn.Module, cell: Cell, row: int) -> np.ndarray:
    """Softmax of the model's logits on one row of a cell, by transformers alone."""
    columns = cell.table.slice(row, 1).to_pydict()
    second = columns.get("second_ids", [[]])[0]
    ids = torch.from_numpy(assemble(columns["first_ids"][0], second, 24, PLAIN))[None]
    with torch.no_grad():
        return torch.softmax(model.eval()(ids).logits[0], -1).numpy()


def test_a_loop_over_saved_models_finds_the_same(
        recipe: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved_at_epochs(monkeypatch, tmp_path)
    found = summary(run(recipe, "recorded", {**ON, "robust.method": "mixup", "model.dropout": "0.1"}))
    cell = open_cell(shards / "xnli/train/en")
    gold = cell.table["label"].to_numpy()
    models = [AutoModelForSequenceClassification.from_pretrained(tmp_path / epoch) for epoch in ("1", "2")]
    p_ENC = np.array([[probabilities(model, cell, row) for row in range(60)] for model in models])
    p_EN = p_ENC[:, np.arange(60), gold]
    assert set(found["cell"]) == {"xnli/train/en"}
    assert found["id"].tolist() == list(range(60))
    assert found["confidence"] == pytest.approx(p_EN.mean(0), abs=1e-5)
    assert found["variability"] == pytest.approx(np.sqrt(((p_EN - p_EN.mean(0)) ** 2).mean(0)), abs=1e-5)
    assert (found["correctness"] == (p_ENC.argmax(-1) == gold).mean(0)).all()
    assert (found["epochs"] == 2).all()
    assert found["variability"].max() > 1e-4  # the model moved, or this test says nothing


def test_the_windows_of_a_sentence_are_one_example(
        recipe: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved_at_epochs(monkeypatch, tmp_path)
    found = summary(run(recipe, "tags", {**ON, **TAGS, "model.dropout": "0"}))
    cell = open_cell(shards / "udpos/train/en")
    rows = cell.table.to_pylist()
    confidence, correctness = np.zeros(len(found["id"])), np.zeros(len(found["id"]))
    for epoch in ("1", "2"):
        model = AutoModelForTokenClassification.from_pretrained(tmp_path / epoch)
        of_row = [probabilities(model, cell, row)[1 + np.array(rows[row]["starts"])] for row in range(60)]
        for place, number in enumerate(found["id"]):
            parts = [row for row in range(60) if rows[row]["id"] == number]
            p_PC = np.concatenate([of_row[row] for row in parts])
            gold_P = np.concatenate([rows[row]["labels"] for row in parts])
            confidence[place] += p_PC[np.arange(len(gold_P)), gold_P].mean() / 2
            correctness[place] += (p_PC.argmax(1) == gold_P).mean() / 2
    assert found["id"].tolist() == sorted({row["id"] for row in rows})
    assert len(found["id"]) == 48
    assert found["confidence"] == pytest.approx(confidence, abs=1e-5)
    assert found["correctness"] == pytest.approx(correctness)


def test_several_cells_and_choices(recipe: Path, tmp_path: Path) -> None:
    for name in ("copa/train/en", "siqa/train/en"):
        write_random_cell(tmp_path / "cells", name, 30, kind="multiple_choice", seed=len(name), first_id=5)
    found = summary(run(recipe, "choices", {
        **ON, "data.shards": str(tmp_path / "cells"), "data.train": "[siqa/train/en,copa/train/en]", "data.dev": "[]"}))
    assert found["cell"].tolist() == ["siqa/train/en"] * 30 + ["copa/train/en"] * 30
    assert found["id"].tolist() == [*range(5, 35)] * 2
    assert set(found["correctness"]) <= {0.0, 0.5, 1.0}


def test_a_killed_run_writes_the_same_files_and_learns_the_same(
        recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the first epoch is written, right after it, and when the last step is saved but nothing summarised.
    """
    whole, without = run(recipe, "whole", ON), run(recipe, "without", {**ON, "logging.dynamics": "false"})

    def dies(table: object, path: Path) -> None:
        path.write_bytes(b"PAR1 half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", dies)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, "killed", ON)
    assert not epoch_file(recipe.parent / "runs/killed", 1).exists()
    for step in (7, 16):
        with killed_at(step):
            run(recipe, "killed", ON)
    killed = run(recipe, "killed", ON)
    files = ["dynamics.parquet", "data_map.svg", "dynamics/epoch-0001.parquet", "dynamics/epoch-0002.parquet"]
    assert sorted(path.name for path in (killed / "dynamics").iterdir()) == [name[9:] for name in files[2:]]
    for name in files:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert metrics_of(killed) == metrics_of(whole) == metrics_of(without)
    assert not (without / "dynamics").exists()
    assert (killed / "best/model.safetensors").read_bytes() == (without / "best/model.safetensors").read_bytes()


def test_epochs_before_it_was_asked_for_are_left_out(recipe: Path, caplog: pytest.LogCaptureFixture) -> None:
    with killed_at(9):
        run(recipe, "late", {**ON, "logging.dynamics": "false"})
    found = summary(run(recipe, "late", ON))
    assert (found["epochs"] == 1).all()
    assert (found["variability"] == 0).all()
    assert "1 of the 1 epochs so far were trained without it" in caplog.text


@pytest.mark.parametrize(("change", "says"), [
    ({**TEXT}, "of kind mlm; kinds that have them: pair, tagging, multiple_choice"),
    ({"schedule.max_steps": "13"}, "13 steps are 1.9 epochs, and variability over epochs needs 2 or more"),
])
def test_refused_before_anything_is_written(recipe: Path, change: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        run(recipe, "refused", {**ON, **change})
    assert not (recipe.parent / "runs/refused").exists()


def test_a_damaged_or_other_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dynamics.parquet"
    for content in (None, b"PAR1"):
        if content:
            path.write_bytes(content)
        with pytest.raises(InputError, match="expected the training dynamics of a run"):
            read_summary(path)


def test_a_map_of_many_examples_draws_a_sample_and_counts_all() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.random(MOST_POINTS + 5)
    figure = data_map(confidence, confidence * (1 - confidence), np.round(confidence))
    points, *histograms = (axes for axes in figure.axes if axes.get_label() != "<colorbar>")
    assert len(points.collections[0].get_offsets()) == MOST_POINTS
    assert [sum(bar.get_height() for bar in axes.patches) for axes in histograms] == [len(confidence)] * 3
