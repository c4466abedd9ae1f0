"""Base class and number types of settings sections (strict, immutable pydantic models), and old names of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, le=1e6)]  # the upper bound keeps products of settings finite
Weight = Annotated[float, Field(ge=0.0, le=1e6)]

# Recipe keys of the release before. Recipes accept them for one release (`trainer.config.renamed`); rows and records of
# runs that were trained under them are read as if they held the new ones.
RENAMED: Mapping[str, str] = {
    "schedule.updates": "schedule.max_steps",
    "schedule.warmup_share": "schedule.warmup_ratio",
    "batch.micro_size": "batch.micro_batch_size",
    "optimizer.clip_norm": "optimizer.max_grad_norm",
    "data.mask_share": "data.mask_ratio",
    "logging.every": "logging.every_steps",
    "evaluation.every": "evaluation.every_steps",
    "evaluation.patience": "evaluation.patience_evaluations",
    "checkpoint.every": "checkpoint.every_steps",
    "engine.skips_allowed": "engine.max_nonfinite_steps",
    "robust.steps": "robust.ascent_steps",
    "robust.step_size": "robust.ascent_step_size",
}

# Settings that change where or how a run executes, not what it learns: they may differ between lives of a run.
Paths = tuple[tuple[str, ...], ...]
FREE_SETTINGS: Paths = (("logging",), ("checkpoint",), ("data", "workers"), ("data", "verify"), ("data", "shards"),
                        ("output",), ("name",), ("batch", "micro_batch_size"), ("engine", "timeout_seconds"),
                        ("engine", "trim_vocabulary"), ("engine", "compile"), ("engine", "max_nonfinite_steps"),
                        ("evaluation", "suite"))


class Section(BaseModel):
    """Base of all sections: no unknown keys, no non-finite numbers, immutable once built."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _no_switch_where_a_number_belongs(cls, values: Any) -> Any:
        """Refuse true and false for numbers: pydantic takes true for 1, so that `size: yes` would mean one."""
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, bool) and name in cls.model_fields and cls.model_fields[name].annotation is not bool:
                raise ValueError(f"{name} is no switch, found {str(value).lower()}")
        return values
