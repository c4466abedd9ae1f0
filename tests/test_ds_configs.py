"""`ds_configs/` says how to run, never what to learn: what belongs into the recipe is "auto" there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_prep.errors import InputError
from trainer.engine import read_engine_config

FOLDER = Path(__file__).parents[1] / "ds_configs"
SHIPPED = sorted(FOLDER.glob("*.json"))
AUTO_KEYS = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")


def test_every_stage_is_shipped() -> None:
    stages = {json.loads(path.read_text())["zero_optimization"]["stage"] for path in SHIPPED}
    assert stages == {0, 1, 2, 3}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_the_recipe_says_is_auto(path: Path) -> None:
    config = json.loads(path.read_text())
    assert {key: config[key] for key in AUTO_KEYS} == dict.fromkeys(AUTO_KEYS, "auto")
    assert config["fp16"]["enabled"] == config["bf16"]["enabled"] == "auto"
    assert not {"optimizer", "scheduler"} & config.keys()
    assert read_engine_config(path.stem) == config
    assert read_engine_config(str(path)) == config


@pytest.mark.parametrize("change", [
    {"train_batch_size": 64}, {"train_micro_batch_size_per_gpu": 4}, {"gradient_accumulation_steps": 2},
    {"gradient_clipping": 1.0}, {"fp16": {"enabled": True}}, {"bf16": {"enabled": False}},
    {"optimizer": {"type": "AdamW", "params": {"lr": 1e-5}}}, {"scheduler": {"type": "WarmupLR"}},
], ids=lambda change: next(iter(change)))
def test_a_configuration_that_says_what_to_learn_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(json.loads(SHIPPED[0].read_text()) | change))
    with pytest.raises(InputError, match=next(iter(change))):
        read_engine_config(str(path))


@pytest.mark.parametrize(("text", "message"), [("{", "not valid JSON"), ("[]", "expected a JSON object")])
def test_a_broken_configuration_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_engine_config(str(path))


def test_a_missing_configuration_names_the_shipped_ones() -> None:
    with pytest.raises(InputError, match=r"zero0, zero1, zero2"):
        read_engine_config("zero9")
