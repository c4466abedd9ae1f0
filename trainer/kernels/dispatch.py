"""Selection of a kernel backend: one asked for by name must be available, `auto` takes the fastest available one.

Input: `kernels` of the recipe. Output: a module with `perturb_init`, `perturb_ascend` and `perturb_project`. Ranks that
start together on one machine share one build, so they get the same backend.
"""

from __future__ import annotations

import logging
from types import ModuleType

import torch

from data_prep.base.errors import InputError
from trainer.kernels import cpu, reference, triton_ops

BACKENDS: dict[str, ModuleType] = {"reference": reference, "cpu": cpu, "triton": triton_ops}
_log = logging.getLogger(__name__)


def select(name: str, *, announce: bool = True) -> tuple[str, ModuleType]:
    """(name, module) of the backend to run. Raises InputError for an unknown or unavailable name.

    `auto` is triton with CUDA, else cpu; if that cannot run, it falls back to reference with one warning on stderr
    (none if `announce` is false, as for all ranks but one).
    """
    if name == "auto":
        name = "triton" if torch.cuda.is_available() else "cpu"
        reason = BACKENDS[name].why_not()
        if reason is not None:
            if announce:
                _log.warning("kernels: the slower reference runs instead of %s: %s", name, reason)
            name = "reference"
        return name, BACKENDS[name]
    if name not in BACKENDS:
        raise InputError(f"kernels: no backend {name!r}; backends: {', '.join(BACKENDS)}")
    reason = BACKENDS[name].why_not()
    if name == "cpu" and torch.cuda.is_available():
        reason = "training runs on CUDA on this machine"
    if reason is not None:
        raise InputError(f"kernels: backend {name!r} is not available here: {reason}; set kernels to auto")
    return name, BACKENDS[name]


def available() -> list[str]:
    """Names of the backends that can run on this machine."""
    return [name for name, module in BACKENDS.items() if module.why_not() is None]


def why_not() -> dict[str, str]:
    """Backends that cannot run on this machine, with the reason."""
    return {name: reason for name, module in BACKENDS.items() if (reason := module.why_not()) is not None}
