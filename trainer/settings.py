"""Base class and number types of settings sections: strict, immutable pydantic models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, le=1e6)]  # the upper bound keeps products of settings finite
Weight = Annotated[float, Field(ge=0.0, le=1e6)]


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
