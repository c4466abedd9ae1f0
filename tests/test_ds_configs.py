"""`ds_configs/` says how to run, never what to learn: what belongs into the recipe is "auto" there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from data_prep.base.errors import InputError
from trainer.engine.ds_config import read_engine_config

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
]
ELSEWHERE = [
    ({"activation_checkpointing": {}}, "'activation_checkpointing': the recipe says it (model.gradient_checkpointing)"),
    ({"torch_autocast": {"enabled": True}}, "the recipe says it (engine.precision)"),
    ({"gradient_allreduce_op": "sum"}, "gradient_allreduce_op: Input should be 'mean'"),
    ({"pipeline": {"stages": 2}}, "'pipeline': this trainer makes no use of it"),
    ({"amp": {"enabled": True}}, "'amp': NVIDIA Apex AMP integration has been removed"),
    ({"zero_optimization": {"stage": 3, "mics_shard_size": 2}}, "mics_shard_size"),
]


def _zero(stage: int, **keys: Any) -> dict[str, Any]:
    return {"zero_optimization": {"stage": stage, **keys}}


LEARNING = "it changes what is learned, not how it runs; this trainer does not use it; expected "
UNFORCED = {"zero_force_ds_cpu_optimizer": False}
DIE_IN_THE_RANKS = [
    (_zero(2, cpu_offload=True), 'zero_optimization.cpu_offload: an old name; write "offload_optimizer"'),
    (_zero(3, cpu_offload_param=True), 'zero_optimization.cpu_offload_param: an old name; write "offload_param"'),
    (_zero(3, cpu_offload_params=True), 'zero_optimization.cpu_offload_params: an old name; write "offload_param"'),
    (_zero(2, cpu_offload_use_pin_memory=True), "zero_optimization.cpu_offload_use_pin_memory: an old name; write"),
    (_zero(1, legacy_stage1=True), "zero_optimization.legacy_stage1: DeepSpeed has dropped the old stage 1; expected"),
    (_zero(2, compute_grad_norm=False), "zero_optimization.compute_grad_norm: this trainer logs and checks the norm"),
    (_zero(3, compute_grad_norm=False), "zero_optimization.compute_grad_norm: this trainer logs and checks the norm"),
    (_zero(2) | {"gradient_predivide_factor": 2.0}, "gradient_predivide_factor: under ZeRO gradients are the plain"),
    ({"gradient_predivide_factor": 1e300}, "expected 1, found 1e+300"),
    (_zero(2) | {"prescale_gradients": True}, "prescale_gradients: DeepSpeed cannot do it under ZeRO; remove it"),
    (_zero(2) | {"gradient_predivide_factor": 2.0, "prescale_gradients": True}, "gradient_predivide_factor: "),
    (_zero(3, offload_optimizer={"device": "cpu", "ratio": 0.0}) | UNFORCED,
     "zero_optimization.offload_optimizer.ratio: DeepSpeed does so only with a CPU Adam of its own"),
    (_zero(3, offload_optimizer={"device": "cpu", "super_offload": True}) | UNFORCED,
     "zero_optimization.offload_optimizer.super_offload: DeepSpeed does so only with a CPU Adam of its own"),
    (_zero(2, reduce_bucket_size=10**13), "zero_optimization.reduce_bucket_size: expected at most 17179869184, found "),
    (_zero(2, reduce_bucket_size=10**30), "zero_optimization.reduce_bucket_size: expected at most 17179869184, found "),
    (_zero(2, allgather_bucket_size=10**13), "zero_optimization.allgather_bucket_size: expected at most 17179869184"),
    (_zero(2, allgather_bucket_size=5001), "zero_optimization.allgather_bucket_size: expected an even number, found 5"),
    (_zero(3, stage3_prefetch_bucket_size=10**13), "zero_optimization.stage3_prefetch_bucket_size: expected at most"),
    (_zero(3, stage3_max_live_parameters=10**30), "stage3_max_live_parameters: expected at most 9223372036854775807"),
    (_zero(3, offload_param={"device": "cpu", "buffer_count": 10**13}),
     "zero_optimization.offload_param.buffer_count: expected at most 1024, found 10000000000000"),
    (_zero(3, offload_param={"device": "nvme", "nvme_path": "/no/such/folder"}),
     "zero_optimization.offload_param.nvme_path: no folder '/no/such/folder' here; make it, or name another"),
    (_zero(2, offload_optimizer={"device": "nvme", "nvme_path": "/no/such/folder"}) | UNFORCED,
     "zero_optimization.offload_optimizer.nvme_path: no folder '/no/such/folder' here; make it, or name another"),
    ({"fp16": {"enabled": "auto", "initial_scale_power": 5000}}, "fp16.initial_scale_power: expected at most 127"),
    ({"aio": {"queue_depth": 10**12}}, "aio.queue_depth: Input should be less than or equal to 65536, found 1000000"),
]
OTHER_ARITHMETIC = [
    (_zero(2, zenflow={}), f"zero_optimization.zenflow: {LEARNING}null, found {{}}"),
    (_zero(2, zenflow={"topk_ratio": 0.1}), f"zero_optimization.zenflow: {LEARNING}null"),
    (_zero(3, zero_quantized_weights=True), f"zero_optimization.zero_quantized_weights: {LEARNING}false, found true"),
    (_zero(3, zero_quantized_gradients=True), f"zero_optimization.zero_quantized_gradients: {LEARNING}false"),
    (_zero(3, zero_quantized_nontrainable_weights=True),
     f"zero_optimization.zero_quantized_nontrainable_weights: {LEARNING}false"),
    (_zero(2) | {"fp16": {"enabled": "auto", "fp16_master_weights_and_grads": True}},
     f"fp16.fp16_master_weights_and_grads: {LEARNING}false"),
    (_zero(2) | {"bf16": {"enabled": "auto", "bf16_master_weights_and_grads": True}},
     f"bf16.bf16_master_weights_and_grads: {LEARNING}false"),
    (_zero(2) | {"bf16": {"enabled": "auto", "bf16_optimizer_states": True}}, "bf16.bf16_optimizer_states: it changes"),
    ({"bf16": {"enabled": "auto", "check_grad_overflow": False}}, f"bf16.check_grad_overflow: {LEARNING}true"),
    ({"data_types": {"grad_accum_dtype": "bf16"}}, f"data_types.grad_accum_dtype: {LEARNING}null or \"fp32\", found "),
    ({"communication_data_type": "bf16"}, f"communication_data_type: {LEARNING}null or \"fp32\", found \"bf16\""),
    ({"communication_data_type": "fp16"}, f"communication_data_type: {LEARNING}null or \"fp32\", found \"fp16\""),
]


@pytest.mark.parametrize(("config", "message"), [
    *UNKNOWN, *BAD_VALUES, *NOT_TOGETHER, *ELSEWHERE, *DIE_IN_THE_RANKS, *OTHER_ARITHMETIC])
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
    _zero(2, zero_quantized_weights=False, zenflow=None, legacy_stage1=False, reduce_bucket_size=2**34),
    _zero(3, offload_optimizer={"device": "cpu", "ratio": 1.0}, stage3_max_live_parameters=10**13) | UNFORCED,
    _zero(0) | {"prescale_gradients": True, "gradient_predivide_factor": 1.0},
    {"bf16": {"enabled": "auto", "bf16_optimizer_states": False}, "wandb": {"enabled": False}, "fp16": "auto"},
    {"aio": {"queue_depth": 16}, "data_types": {"grad_accum_dtype": "fp32"}, "csv_monitor": {"enabled": False}},
], ids=str)
def test_what_deepspeed_heeds_is_taken(config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(config))
    assert read_engine_config(str(path)) == config


@pytest.mark.parametrize(("section", "package"), [
    ("wandb", "wandb"), ("comet", "comet_ml"), ("tensorboard", "tensorboard")])
def test_a_monitor_without_its_package_is_refused(
    section: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # an import of it fails, as where it is not installed
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({section: {"enabled": True}}))
    with pytest.raises(InputError, match=rf"{section}\.enabled: its package cannot be used here .*{package}"):
        read_engine_config(str(path))
    assert capsys.readouterr().out == ""
    path.write_text(json.dumps({section: {"enabled": False}}))
    assert read_engine_config(str(path)) == {section: {"enabled": False}}


@pytest.mark.parametrize("name", ["offload_param", "offload_optimizer"])
def test_nvme_needs_a_folder_and_the_operator(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Imported here: `trainer.engine.engine` chooses the accelerator before DeepSpeed is first imported.
    from deepspeed import git_version_info
    from deepspeed.ops.op_builder import AsyncIOBuilder

    path = tmp_path / "mine.json"
    config = _zero(3, **{name: {"device": "nvme", "nvme_path": str(tmp_path)}}) | UNFORCED
    path.write_text(json.dumps(config))
    monkeypatch.setattr(git_version_info, "installed_ops", {"async_io": False})
    monkeypatch.setattr(AsyncIOBuilder, "is_compatible", lambda self, verbose=False: True)
    assert read_engine_config(str(path)) == config
    monkeypatch.setattr(AsyncIOBuilder, "is_compatible", lambda self, verbose=False: False)
    with pytest.raises(InputError, match=rf"{name}\.device: DeepSpeed's async_io operator, which nvme needs"):
        read_engine_config(str(path))


def test_the_sharded_configuration_of_the_tests_is_taken() -> None:
    path = Path(__file__).parent / "trainer/zero3_sharded.json"
    assert read_engine_config(str(path)) == json.loads(path.read_text())


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"zero_optimization": {"stage": 1, "stage": 2}}')
    with pytest.raises(InputError, match="the key 'stage' occurs twice"):
        read_engine_config(str(path))
