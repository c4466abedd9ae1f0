"""What is exported loads with plain transformers and gives the logits that training saw."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from tests.random_cells import LABELS
from tests.trainer.small_runs import TEXT, ZERO3, run, tree_of, weights_of, write_recipe
from trainer.checkpoint.export import export
from trainer.data.loader import Examples
from trainer.evaluate import predict as predict_module
from trainer.kinds import Masking
from trainer.monitor.watcher import Watcher

CASES = {
    "pair": {}, "mlm": TEXT, "mlm-zero3": {**TEXT, **ZERO3},
    "bf16": {"engine.config": "zero2", "engine.precision": "bf16"},
    "mlm-bf16": {**TEXT, "engine.config": "zero2", "engine.precision": "bf16"},
}


@pytest.fixture(scope="module")
def trained(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, torch.Tensor]]:
    """Per case the run and the logits of its SiteModel, on padded rows, at the moment the best checkpoint was kept."""
    recipe = write_recipe(tmp_path_factory.mktemp("export"), shards)
    found = {}
    for name, overrides in CASES.items():
        seen: dict[int, torch.Tensor] = {}
        original = Watcher._evaluate
        cell = "text/train/en" if "mlm" in name else "xnli/train/en"

        def evaluate(self: Watcher, original: Any = original, seen: Any = seen, cell: str = cell) -> None:
            original(self)
            self.engine.module.eval()
            with torch.no_grad():
                seen[self.state.step] = self.engine.module(batch_of(shards, cell)).float()
            self.engine.module.train()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Watcher, "_evaluate", evaluate)
            folder = run(recipe, name, overrides)
        found[name] = (folder, seen[json.loads((folder / "done.json").read_text())["selection"]["step"]])
    return found


def batch_of(shards: Path, cell: str) -> Any:
    examples = Examples([open_cell(shards / cell)], 24, masking=Masking(0.3, 0))
    return examples[0, np.argsort(examples.lengths)[[0, 5, -1]]]


def logits_of(folder: Path, shards: Path, kind: str) -> torch.Tensor:
    loader: Any = AutoModelForMaskedLM if kind == "mlm" else AutoModelForSequenceClassification
    model = loader.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert not model.training
    batch = batch_of(shards, "text/train/en" if kind == "mlm" else "xnli/train/en")
    with torch.no_grad():
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask.long()).logits
    return logits[batch.targets["labels"] != -100] if kind == "mlm" else logits


@pytest.mark.parametrize("case", CASES)
def test_best_gives_the_logits_of_training(trained: Any, shards: Path, case: str) -> None:
    folder, expected = trained[case]
    found = logits_of(folder / "best", shards, "mlm" if "mlm" in case else "pair")
    if "bf16" in case:
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
    else:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", ["bf16", "mlm-bf16"])
def test_the_optimisers_fp32_weights_are_exported_whole(trained: Any, case: str) -> None:
    weights = weights_of(trained[case][0])
    rounded = [key for key, value in weights.items() if torch.equal(value, value.bfloat16().float())]
    assert not [key for key in rounded if "LayerNorm.weight" not in key], "these are no more than bf16"
    if case == "mlm-bf16":
        assert torch.equal(weights["lm_head.decoder.weight"], weights["roberta.embeddings.word_embeddings.weight"])


def test_labels_are_named(trained: Any) -> None:
    config = json.loads((trained["pair"][0] / "best" / "config.json").read_text())
    assert config["id2label"] == {str(index): label for index, label in enumerate(LABELS)}
    assert config["architectures"] == ["XLMRobertaForSequenceClassification"]


def test_export_copies_best(trained: Any, shards: Path, tmp_path: Path) -> None:
    folder, expected = trained["pair"]
    target = tmp_path / "deep" / "model"
    assert export(str(folder), out=str(target)) == 0
    torch.testing.assert_close(logits_of(target, shards, "pair"), expected, rtol=1e-5, atol=1e-6)
    before = tree_of(tmp_path)
    with pytest.raises(InputError, match="exists; choose another place, or pass --overwrite"):
        export(str(folder), out=str(target))
    with pytest.raises(InputError, match="holds no model"):
        export(str(tmp_path), out=str(tmp_path / "other"))
    assert tree_of(tmp_path) == before
    (target / "old.txt").write_text("x")
    assert export(str(folder), out=str(target), overwrite=True) == 0
    assert not (target / "old.txt").exists()
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_a_diverged_language_model_has_no_good_perplexity() -> None:
    nan = np.array([np.nan])
    diverged = predict_module.Predictions(nan, np.ones(1))
    assert diverged.metric("perplexity") == float("inf")
    nothing = predict_module.Predictions(np.zeros(1), np.zeros(1))
    assert nothing.metric("perplexity") == 1.0


def test_what_is_damaged_or_foreign_is_not_exported(recipe: Path, tmp_path: Path) -> None:
    folder = run(recipe, "run", {"schedule.max_steps": "2"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is no model; --overwrite replaces models only"):
        export(str(folder), out=str(tmp_path / "mine"), overwrite=True)
    (folder / "best/secret").symlink_to(tmp_path / "mine/notes.txt")
    export(str(folder), out=str(tmp_path / "out"))
    assert not (tmp_path / "out/secret").exists()
    weights = folder / "best/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="export: cannot load"):
        export(str(folder), out=str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()
    assert (tmp_path / "mine/notes.txt").read_text() == "mine"


def test_what_is_doubtful_is_said(
    trained: dict[str, tuple[Path, torch.Tensor]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model of an unfinished run is exported, with a warning; so is that of one at chance."""
    run_folder = tmp_path / "run"
    shutil.copytree(trained["pair"][0], run_folder)
    record = json.loads((run_folder / "run.json").read_text())

    def said(**changes: object) -> str:
        (run_folder / "run.json").write_text(json.dumps({**record, **changes}))
        assert export(str(run_folder), out=str(tmp_path / "out"), overwrite=True) == 0
        return capsys.readouterr().out

    assert "warning" not in said(at_chance=False)
    assert "ended at chance on its dev cell" in said(at_chance=True)
    assert "warning: training of" in said(status="diverged")
    (run_folder / "done.json").unlink()
    assert f"warning: {run_folder} is unfinished (no done.json): this is the best model so far" in said()
    assert (tmp_path / "out/model.safetensors").is_file()
