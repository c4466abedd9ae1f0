"""Picks the backend of the perturbation kernels: by name it must be there; `auto` takes the best that is.

Input: the recipe's `kernels`. Output: a module with `perturb_init`, `perturb_ascend` and `perturb_project`.
"""

from __future__ import annotations

from types import ModuleType

from data_prep.errors import InputError
from trainer.kernels import reference

BACKENDS: dict[str, ModuleType] = {"reference": reference}


def select(name: str) -> tuple[str, ModuleType]:
    """(name of the backend that will run, its module); InputError for a name that is not there."""
    if name == "auto":
        name = "reference"
    if name not in BACKENDS:
        raise InputError(f"kernel backend {name!r} is not available here; available: {', '.join(BACKENDS)}")
    return name, BACKENDS[name]


def why_not() -> dict[str, str]:
    """Backends that cannot run here, with the reason."""
    return {"cpu": "the fused C++ backend is not part of this version",
            "triton": "the Triton backend is not part of this version"}
