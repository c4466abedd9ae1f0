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


UNKNOWN = [
    ({"zero_optimisation": {"stage": 2}}, "unknown key 'zero_optimisation', did you mean 'zero_optimization'?"),
    ({"steps_per_prin": 5}, "unknown key 'steps_per_prin', did you mean 'steps_per_print'?"),
    ({"quantum": True}, "unknown key 'quantum'; known: "),
    ({"zero_optimization": {"stage": 2, "overlap_com": True}},
     "unknown key 'zero_optimization.overlap_com', did you mean 'overlap_comm'?"),
    ({"zero_optimization": {"stage": 3, "stage3_max_live_parameter": 1}},
     "unknown key 'zero_optimization.stage3_max_live_parameter', did you mean 'stage3_max_live_parameters'?"),
    ({"zero_optimization": {"stage": 2, "offload_optimizer": {"devise": "cpu"}}},
     "unknown key 'zero_optimization.offload_optimizer.devise', did you mean 'device'?"),
    ({"fp16": {"enabled": "auto", "loss_scales": 0}}, "unknown key 'fp16.loss_scales', did you mean 'loss_scale'?"),
    ({"flops_profiler": {"enable": True}}, "unknown key 'flops_profiler.enable', did you mean 'enabled'?"),
    ({"timers": {"thruput": {}}}, "unknown key 'timers.thruput'; known: throughput"),
]
BAD_VALUES = [
    ({"zero_optimization": {"stage": 5}}, "zero_optimization.stage: expected 0, 1, 2 or 3, found 5"),
    ({"zero_optimization": {"stage": "auto"}}, 'zero_optimization.stage: expected 0, 1, 2 or 3, found "auto"'),
    ({"zero_optimization": 2}, "zero_optimization: expected a JSON object, found 2"),
    ({"zero_optimization": {"stage": 2, "reduce_bucket_size": "big"}}, "zero_optimization.reduce_bucket_size: "),
    ({"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "disk"}}},
     "zero_optimization.offload_optimizer.device: Input should be 'none', 'cpu' or 'nvme'"),
    ({"comms_logger": True}, "comms_logger: expected a JSON object, found true"),
    ({"steps_per_print": "ten"}, 'steps_per_print: Input should be a valid integer, found "ten"'),
    ({"wall_clock_breakdown": "no"}, "wall_clock_breakdown: Input should be a valid boolean"),
    ({"communication_data_type": "fp8"}, "communication_data_type: "),
    ({"zero_allow_untested_optimizer": False}, "zero_allow_untested_optimizer: Input should be True, found false"),
]
NOT_TOGETHER = [
    ({"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}}, "offload_param needs stage 3 or more"),
    ({"zero_optimization": {"stage": 0, "offload_optimizer": {"device": "cpu"}}}, "offload_optimizer needs stage 1 or"),
    ({"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}, "zero_force_ds_cpu_optimizer"),
    ({"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}}, "offload_param.nvme_path is missing"),
    ({"zero_optimization": {"stage": 3, "compute_grad_norm": False}}, "compute_grad_norm=false is supported only with"),
    ({"fp16": {"enabled": "auto", "fp16_master_weights_and_grads": True}},
     "DeepSpeed does not take it: Fp16_master_weights_and_grads is only supported with ZeRO"),
]
ELSEWHERE = [
    ({"activation_checkpointing": {}}, "'activation_checkpointing': the recipe says it (model.gradient_checkpointing)"),
    ({"torch_autocast": {"enabled": True}}, "the recipe says it (engine.precision)"),
    ({"gradient_allreduce_op": "sum"}, "gradient_allreduce_op: Input should be 'mean'"),
    ({"pipeline": {"stages": 2}}, "'pipeline': this trainer makes no use of it"),
    ({"amp": {"enabled": True}}, "'amp': NVIDIA Apex AMP integration has been removed"),
    ({"zero_optimization": {"stage": 3, "mics_shard_size": 2}}, "mics_shard_size"),
]


@pytest.mark.parametrize(("config", "message"), [*UNKNOWN, *BAD_VALUES, *NOT_TOGETHER, *ELSEWHERE])
def test_what_deepspeed_would_pass_over_or_refuse_later_is_refused_now(
    config: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(config))
    with pytest.raises(InputError) as refusal:
        read_engine_config(str(path))
    assert str(refusal.value).startswith(f"{path}: ")
    assert message in str(refusal.value)


@pytest.mark.parametrize("config", [
    {},
    {"steps_per_print": 100, "wall_clock_breakdown": True, "communication_data_type": "fp32"},
    {"zero_optimization": {"stage": 3, "stage3_prefetch_bucket_size": "auto", "reduce_bucket_size": 2e8}},
    {"fp16": {"enabled": "auto", "loss_scale": 0, "initial_scale_power": 12}, "zero_optimization": {"stage": 2}},
    {"comms_logger": {"enabled": True, "verbose": False}, "timers": {"throughput": {"enabled": False}}},
    {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "none"}}},
    {"aio": {"queue_depth": 16}, "data_types": {"grad_accum_dtype": "fp32"}, "csv_monitor": {"enabled": False}},
], ids=str)
def test_what_deepspeed_heeds_is_taken(config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(config))
    assert read_engine_config(str(path)) == config


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"zero_optimization": {"stage": 1, "stage": 2}}')
    with pytest.raises(InputError, match="the key 'stage' occurs twice"):
        read_engine_config(str(path))
