"""DeepSpeed configurations (`ds_configs/*.json`, or a user's own JSON file): read and checked before anything starts.

DeepSpeed checks most sections with pydantic models of its own, but only after the model is built and the process group
initialised, and ignores unknown keys at the top level: a misspelt `zero_optimisation` would train without ZeRO. Here
every key has an effect in this trainer and a value that DeepSpeed accepts, or the configuration is refused in one line.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import io
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data_prep.base.errors import InputError, did_you_mean

CONFIGS = Path(__file__).parents[2] / "ds_configs"
AUTO = "auto"
RECIPE = "the recipe says it"
NOT_USED = "this trainer makes no use of it; remove it"
# Keys of DeepSpeed that have no effect here, or change what is learned: what to do instead.
NOT_HERE = {
    "optimizer": "it belongs into the recipe, not into a DeepSpeed configuration",
    "scheduler": "it belongs into the recipe, not into a DeepSpeed configuration",
    "torch_autocast": f"{RECIPE} (engine.precision)",
    "bfloat16": f'write "bf16"; {RECIPE} (engine.precision)',
    "activation_checkpointing": f"{RECIPE} (model.gradient_checkpointing)",
    "checkpoint": f"{RECIPE} (checkpoint)",
    "datastates_ckpt": f"{RECIPE} (checkpoint)",
    "data_efficiency": f"{RECIPE} (data)",
    "dataloader_drop_last": f"{RECIPE} (data)",
    "managed_gradient_accumulation": f"{RECIPE} (batch)",
    **dict.fromkeys(("autotuning", "compile", "expert_parallel", "hybrid_engine", "pipeline", "tensor_parallel",
                     "sequence_parallel_size", "seq_parallel_communication_data_type", "vocabulary_size",
                     "use_data_before_expert_parallelism", "weight_quantization"), NOT_USED),
}
DataType = Literal["fp32", "fp16", "bf16"]
CHANGES_LEARNING = "it changes what is learned, not how it runs; this trainer does not use it"
OWN_CPU_ADAM = "DeepSpeed does so only with a CPU Adam of its own, and the optimizer is the recipe's"
# Keys that DeepSpeed accepts when it reads the file, by section and name: the only values that run here and train as
# the recipe says, and why. Others fail later in the ranks, or silently change the arithmetic.
ONLY_VALUES: dict[tuple[str, ...], tuple[tuple[Any, ...], str]] = {
    ("zero_optimization", "cpu_offload"): ((), 'an old name; write "offload_optimizer": {"device": "cpu"}'),
    **dict.fromkeys((("zero_optimization", "cpu_offload_param"), ("zero_optimization", "cpu_offload_params")),
                    ((), 'an old name; write "offload_param": {"device": "cpu"}')),
    ("zero_optimization", "cpu_offload_use_pin_memory"): (
        (), 'an old name; write "pin_memory" in offload_optimizer or offload_param'),
    ("zero_optimization", "legacy_stage1"): ((False,), "DeepSpeed has dropped the old stage 1"),
    ("zero_optimization", "compute_grad_norm"): ((True,), "this trainer logs and checks the norm of every step"),
    ("zero_optimization", "offload_optimizer", "ratio"): ((1,), OWN_CPU_ADAM),
    ("zero_optimization", "offload_optimizer", "super_offload"): ((False,), OWN_CPU_ADAM),
    ("zero_optimization", "zenflow"): ((None,), CHANGES_LEARNING),
    **{("zero_optimization", f"zero_quantized_{name}"): ((False,), CHANGES_LEARNING)
       for name in ("weights", "gradients", "nontrainable_weights")},
    ("fp16", "fp16_master_weights_and_grads"): ((False,), CHANGES_LEARNING),
    ("bf16", "bf16_master_weights_and_grads"): ((False,), CHANGES_LEARNING),
    ("bf16", "bf16_optimizer_states"): ((False,), CHANGES_LEARNING),
    ("bf16", "check_grad_overflow"): ((True,), CHANGES_LEARNING),
    ("data_types", "grad_accum_dtype"): ((None, "fp32"), CHANGES_LEARNING),
    # Averaged in fp32, gradients are rounded no more than in the precision of the run.
    ("communication_data_type",): ((None, "fp32"), CHANGES_LEARNING),
    ("gradient_predivide_factor",): ((1,), "under ZeRO gradients are the plain mean, without ZeRO it only rounds"),
}
# The most elements in a bucket: more than XLM-R XXL has weights (10.7e9); DeepSpeed allocates them, 64 GiB in fp32.
MOST_IN_BUCKET = 2**34
BUCKETS = ("reduce_bucket_size", "allgather_bucket_size", "prefetch_bucket_size", "buffer_size")
MOST_BUFFERS = 1024
MOST_LOSS_SCALE_POWER = 127  # of two: beyond, the scale itself overflows in fp32


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class _FlopsProfiler(_Section):
    enabled: bool = False
    recompute_fwd_factor: float = Field(default=0.0, ge=0)
    profile_step: int = Field(default=1, ge=1)
    module_depth: int = -1
    top_modules: int = Field(default=1, ge=1)
    detailed: bool = True
    output_file: str | None = None


class _AsyncIO(_Section):
    block_size: int = Field(default=1 << 20, ge=1, le=1 << 30)
    queue_depth: int = Field(default=8, ge=1, le=1 << 16)
    intra_op_parallelism: int = Field(default=1, ge=1, le=1 << 10)
    single_submit: bool = False
    overlap_events: bool = True
    use_gds: bool = False


class _DataTypes(_Section):
    grad_accum_dtype: DataType | None = None


class _TopLevel(_Section):
    """Top-level keys that DeepSpeed has no pydantic model for."""

    steps_per_print: int | None = Field(default=None, ge=1)
    zero_allow_untested_optimizer: Literal[True] = True
    zero_force_ds_cpu_optimizer: bool = True
    communication_data_type: DataType | None = None
    prescale_gradients: bool = False
    gradient_predivide_factor: float = Field(default=1.0, gt=0)
    gradient_allreduce_op: Literal["mean"] = "mean"
    disable_allgather: bool = False
    disable_python_gc: bool = False
    dump_state: bool = False
    wall_clock_breakdown: bool = False
    memory_breakdown: bool = False
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "warning"
    flops_profiler: _FlopsProfiler = _FlopsProfiler()
    aio: _AsyncIO = _AsyncIO()
    data_types: _DataTypes = _DataTypes()


def read_engine_config(name: str) -> dict[str, Any]:
    """The DeepSpeed configuration `name`, a file in `ds_configs/` or the path of a JSON file, as written.

    Raises InputError if it is missing, is not JSON, sets what belongs in the recipe, or holds a key or value that
    DeepSpeed would refuse later or ignore.
    """
    shipped = CONFIGS / f"{name}.json"
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        names = sorted(p.stem for p in CONFIGS.glob("*.json"))
        raise InputError(f"engine.config: no {name!r}{did_you_mean(name, names)}; give the path of a JSON file, or one "
                         f"of: {', '.join(names)}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repetition)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: expected a JSON object")
    _check_recipe_keys(path, config)
    _check_only_values(path, config)
    _check_keys(path, config)
    _check_sizes(path, config)
    _check_stage(path, config)
    _check_monitors(path, config)
    _check_offload(path, config)
    _check_as_a_whole(path, config)
    return config


def auto_values(
    micro_batch_size: int, accumulation: int, max_grad_norm: float | None, precision: str
) -> dict[str, Any]:
    """The recipe's values for keys that are "auto", by key."""
    return {
        "train_micro_batch_size_per_gpu": micro_batch_size,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": max_grad_norm or 0.0,
        "fp16": {"enabled": precision == "fp16"},
        "bf16": {"enabled": precision == "bf16"},
    }


def fill_in(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with `values` of `auto_values` in it, for DeepSpeed."""
    filled = copy.deepcopy({key: value for key, value in config.items() if key != "train_batch_size"})
    for key, value in values.items():
        section = filled.get(key)
        filled[key] = {**section, **value} if isinstance(section, dict) else value
    return {**filled, "zero_allow_untested_optimizer": True}


def _check_recipe_keys(path: Path, config: Mapping[str, Any]) -> None:
    recipe_keys = ("train_batch_size", *auto_values(1, 1, None, "fp32"))
    numbers = {key: config[key] for key in recipe_keys if config.get(key, AUTO) != AUTO}
    for key in ("fp16", "bf16"):
        if isinstance(numbers.get(key), dict) and numbers[key].get("enabled", AUTO) == AUTO:
            del numbers[key]
    if numbers:
        raise InputError(f'{path}: {", ".join(numbers)} must be "auto"; the recipe sets them')


def _check_only_values(path: Path, config: Mapping[str, Any]) -> None:
    """Check the keys of ONLY_VALUES; a section that is not an object is left to `_check_keys`."""
    for keys, (values, reason) in ONLY_VALUES.items():
        section: Any = config
        for key in keys[:-1]:
            section = section.get(key) if isinstance(section, dict) else None
        if not isinstance(section, dict) or keys[-1] not in section:
            continue
        value = section[keys[-1]]
        if value not in (*values, *([AUTO] if values and len(keys) > 1 else [])):
            expected = f"; expected {' or '.join(json.dumps(each) for each in values)}" if values else "; remove it"
            raise InputError(f"{path}: {'.'.join(keys)}: {reason}{expected}, found {json.dumps(value)}")


def _check_keys(path: Path, config: Mapping[str, Any]) -> None:
    """Check every key by itself: known here, and with a value of its type."""
    from deepspeed.runtime.config import _REMOVED_TOP_LEVEL_CONFIG_KEYS, _REMOVED_ZERO_CONFIG_KEYS

    models = _deepspeed_models()
    recipe_keys = ("train_batch_size", *auto_values(1, 1, None, "fp32"))
    timer_model = models.pop("timers.throughput")
    known = [*dict.fromkeys((*_TopLevel.model_fields, *models, *recipe_keys, "timers"))]
    for key, value in config.items():
        if key in NOT_HERE or key in _REMOVED_TOP_LEVEL_CONFIG_KEYS:
            raise InputError(f"{path}: {key!r}: {NOT_HERE.get(key) or _REMOVED_TOP_LEVEL_CONFIG_KEYS[key]}")
        if key not in known:
            raise InputError(f"{path}: unknown key {key!r}{_did_you_mean(key, known)}; known: {', '.join(known)}")
        if value == AUTO and key in recipe_keys:
            continue
        if key in models:
            _check_section(path, key, value, models[key])
        elif key == "timers":
            _check_section(path, key, value, None)
            for name, timer in value.items():
                if name != "throughput":
                    raise InputError(f"{path}: unknown key 'timers.{name}'; known: throughput")
                _check_section(path, "timers.throughput", timer, timer_model)
    for key in _REMOVED_ZERO_CONFIG_KEYS.keys() & config.get("zero_optimization", {}).keys():
        raise InputError(f"{path}: {_REMOVED_ZERO_CONFIG_KEYS[key]}")
    _validated(path, "", _TopLevel, {key: value for key, value in config.items() if key in _TopLevel.model_fields})


def _deepspeed_models() -> dict[str, type[BaseModel]]:
    """DeepSpeed's own pydantic models of sections, by key."""
    # Imported here: `trainer.engine.engine` chooses the accelerator before DeepSpeed is first imported.
    from deepspeed.comm.config import CommsLoggerConfig
    from deepspeed.monitor.config import CometConfig, CSVConfig, TensorBoardConfig, WandbConfig
    from deepspeed.runtime.precision_config import DeepSpeedBF16Config, DeepSpeedFP16Config
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from deepspeed.utils.config import DeepSpeedThroughputTimerConfig

    return {"zero_optimization": DeepSpeedZeroConfig, "fp16": DeepSpeedFP16Config, "bf16": DeepSpeedBF16Config,
            "comms_logger": CommsLoggerConfig, "tensorboard": TensorBoardConfig, "wandb": WandbConfig,
            "csv_monitor": CSVConfig, "comet": CometConfig, "timers.throughput": DeepSpeedThroughputTimerConfig}


def _check_section(path: Path, key: str, value: Any, model: type[BaseModel] | None) -> None:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {key}: expected a JSON object, found {json.dumps(value)}")
    if key == "zero_optimization" and json.dumps(value.get("stage", 0)) not in ("0", "1", "2", "3"):
        raise InputError(f"{path}: {key}.stage: expected 0, 1, 2 or 3, found {json.dumps(value['stage'])}")
    if model is not None:
        _validated(path, key, model, value)


def _validated(path: Path, key: str, model: type[BaseModel], value: Mapping[str, Any]) -> None:
    """Raise InputError with the first validation error of `model` on `value`."""
    try:
        model(**value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (key, *first["loc"]) if part != "")
        if first["type"] == "extra_forbidden":
            names = _names(model, first["loc"][:-1])
            raise InputError(f"{path}: unknown key {where!r}{_did_you_mean(str(first['loc'][-1]), names)}") from None
        raise InputError(f"{path}: {where}: {first['msg']}, found {json.dumps(first['input'], default=str)}") from None
    except Exception as error:  # of validators of DeepSpeed's own
        raise InputError(f"{path}: {key}: {_reason(error)}") from None


def _names(model: type[BaseModel], where: Iterable[int | str]) -> list[str]:
    """The keys of the section `where`, a path of keys in `model`."""
    for part in where:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        kinds = (fields[str(part)].annotation, *get_args(fields[str(part)].annotation)) if str(part) in fields else ()
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def _check_sizes(path: Path, config: Mapping[str, Any]) -> None:
    """Check sizes that DeepSpeed allocates or passes to tensors unchecked."""
    from deepspeed.runtime.precision_config import DeepSpeedFP16Config
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    zero = DeepSpeedZeroConfig(**config.get("zero_optimization", {}))
    sections = {"zero_optimization": zero, "zero_optimization.offload_param": zero.offload_param,
                "zero_optimization.offload_optimizer": zero.offload_optimizer}
    for where, section in sections.items():
        for name, field in type(section).model_fields.items() if section is not None else ():
            most = MOST_IN_BUCKET if name in BUCKETS else MOST_BUFFERS if name == "buffer_count" else sys.maxsize
            value = getattr(section, name, None)
            if isinstance(value, int) and value > most:
                raise InputError(f"{path}: {where}.{field.alias or name}: expected at most {most}, found {value}")
    if zero.allgather_bucket_size % 2:
        raise InputError(f"{path}: zero_optimization.allgather_bucket_size: expected an even number, "
                         f"found {zero.allgather_bucket_size}")
    half = config.get("fp16", AUTO)
    power = DeepSpeedFP16Config(**({} if half == AUTO else half)).initial_scale_power
    if power > MOST_LOSS_SCALE_POWER:
        raise InputError(f"{path}: fp16.initial_scale_power: expected at most {MOST_LOSS_SCALE_POWER}, found {power}")


def _check_stage(path: Path, config: Mapping[str, Any]) -> None:
    """Check keys that work without ZeRO only."""
    if config.get("prescale_gradients") and int(config.get("zero_optimization", {}).get("stage", 0)):
        raise InputError(f"{path}: prescale_gradients: DeepSpeed cannot do it under ZeRO; remove it")


def _check_monitors(path: Path, config: Mapping[str, Any]) -> None:
    """Check that the packages of enabled monitors are there, by DeepSpeed's own checks."""
    from deepspeed.monitor.utils import check_comet_availability, check_tb_availability, check_wandb_availability

    models = _deepspeed_models()
    checks = {"tensorboard": check_tb_availability, "wandb": check_wandb_availability,
              "comet": check_comet_availability}
    for name, check in checks.items():
        # Pydantic takes "yes" and 1 for true as well: so does this.
        if not getattr(models[name](**config.get(name, {})), "enabled", False):
            continue
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                check()
        except ImportError as error:
            raise InputError(f"{path}: {name}.enabled: its package cannot be used here ({_reason(error)}); "
                             "install it, or set this to false") from None


def _check_offload(path: Path, config: Mapping[str, Any]) -> None:
    """Check offloading, which DeepSpeed's engine refuses only while it is built, or ignores."""
    zero = config.get("zero_optimization", {})
    stage = int(zero.get("stage", 0))
    for name, least in (("offload_optimizer", 1), ("offload_param", 3)):
        section = zero.get(name) or {}
        device = section.get("device", "none")
        if device in ("none", AUTO):
            continue
        if stage < least:
            raise InputError(f"{path}: zero_optimization.{name} needs stage {least} or more, found {stage}")
        if device == "nvme" and not section.get("nvme_path"):
            raise InputError(f"{path}: zero_optimization.{name}.nvme_path is missing; name a folder on the device")
        if device == "nvme" and not Path(section["nvme_path"]).is_dir():
            raise InputError(f"{path}: zero_optimization.{name}.nvme_path: no folder {section['nvme_path']!r} here; "
                             "make it, or name another")
        if device == "nvme" and not _reads_nvme():
            raise InputError(f"{path}: zero_optimization.{name}.device: DeepSpeed's async_io operator, which nvme "
                             "needs, cannot be built here; install libaio with its headers, or take \"cpu\"")
        if name == "offload_optimizer" and config.get("zero_force_ds_cpu_optimizer", True):
            raise InputError(f"{path}: zero_optimization.offload_optimizer needs \"zero_force_ds_cpu_optimizer\": "
                             "false, since the optimizer is the recipe's")


def _reads_nvme() -> bool:
    """True if DeepSpeed's operator for nvme is built, or can be."""
    from deepspeed.git_version_info import installed_ops
    from deepspeed.ops.op_builder import AsyncIOBuilder

    return bool(installed_ops.get("async_io") or AsyncIOBuilder().is_compatible(verbose=False))


def _check_as_a_whole(path: Path, config: Mapping[str, Any]) -> None:
    """Let DeepSpeed read the configuration, for keys that contradict each other."""
    from deepspeed.runtime.config import DeepSpeedConfig

    try:
        DeepSpeedConfig(fill_in(config, auto_values(1, 1, None, "fp32")))
    except Exception as error:  # its own, pydantic's, and asserts
        raise InputError(f"{path}: DeepSpeed does not take it: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return found


def _did_you_mean(word: str, choices: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(choices), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
