"""Picks the backend of the perturbation kernels: by name it must be there; `auto` takes the best that is.

Input: the recipe's `kernels`. Output: a module with `perturb_init`, `perturb_ascend`, `perturb_project` and
`perturbed_embedding`. Ranks that start together on one machine get the same answer: they share one build.
"""

from __future__ import annotations

import sys
from types import ModuleType

import torch

from data_prep.base.errors import InputError
from trainer.kernels import cpu, reference, triton_ops

BACKENDS: dict[str, ModuleType] = {"reference": reference, "cpu": cpu, "triton": triton_ops}


def select(name: str, *, announce: bool = True) -> tuple[str, ModuleType]:
    """(name of the backend that will run, its module); InputError for a name that is not there.

    `auto` is triton where there is CUDA, else cpu. Where that cannot run, it is reference, and one line on stderr says
    so unless `announce` is false (for all ranks but one).
    """
    if name == "auto":
        name = "triton" if torch.cuda.is_available() else "cpu"
        reason = BACKENDS[name].why_not()
        if reason is not None:
            if announce:
                print(f"warning: kernels: the slower reference runs instead of {name}: {reason}", file=sys.stderr)
            name = "reference"
        return name, BACKENDS[name]
    if name not in BACKENDS:
        raise InputError(f"kernels: no backend {name!r}; there are: {', '.join(BACKENDS)}")
    reason = BACKENDS[name].why_not()
    if name == "cpu" and torch.cuda.is_available():
        reason = "training runs on CUDA on this machine"
    if reason is not None:
        raise InputError(f"kernels: backend {name!r} is not available here: {reason}; set kernels to auto")
    return name, BACKENDS[name]


def available() -> list[str]:
    """Backends that can run here."""
    return [name for name, module in BACKENDS.items() if module.why_not() is None]


def why_not() -> dict[str, str]:
    """Backends that cannot run here, with the reason."""
    return {name: reason for name, module in BACKENDS.items() if (reason := module.why_not()) is not None}
