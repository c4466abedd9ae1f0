"""Mean of models with the same parameters, file by file, one tensor at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from data_prep.base.errors import InputError
from trainer.runs.folder import HEADS


def weight_files(folder: Path) -> list[str]:
    """Paths of the files of weights within a model's folder, sorted; those of a mixture's other heads included."""
    files = [*folder.glob("*.safetensors"), *folder.glob(f"{HEADS}/*/*.safetensors")]
    return sorted(path.relative_to(folder).as_posix() for path in files)


def write_mean(folders: Sequence[Path], out: Path) -> None:
    """Write the mean of the weights in `folders` to `out`, under the same names of files.

    Raises InputError for files, tensors or shapes that are not the same in all, and files that cannot be read.
    """
    names = weight_files(folders[0])
    for folder in folders:
        if not names or weight_files(folder) != names:
            raise InputError(f"{folder} holds {', '.join(weight_files(folder)) or 'no weights'}, expected "
                             f"{', '.join(names) or 'a model in safetensors'}; copy the folder again")
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        save_file(mean([folder / name for folder in folders]), out / name, metadata={"format": "pt"})


def mean(files: Sequence[Path]) -> dict[str, Tensor]:
    """Mean of each tensor: summed in float64 in the order of `files`, divided, rounded to the type it is stored in.

    Integers (positions) must be equal. Raises InputError as `write_mean`.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(_opened(file)) for file in files]
        names = list(opened[0].keys())
        for file, one in zip(files, opened, strict=True):
            if unlike := sorted(set(names) ^ set(one.keys())):
                raise InputError(f"{file} and {files[0]} do not hold the same weights: {unlike[0]} is in one only")
        return {name: _mean(name, files, opened) for name in names}


def _mean(name: str, files: Sequence[Path], opened: Sequence[Any]) -> Tensor:
    first: Tensor = opened[0].get_tensor(name)
    total = torch.zeros(first.shape, dtype=torch.float64)
    for file, one in zip(files, opened, strict=True):
        weight: Tensor = one.get_tensor(name)
        if weight.shape != first.shape:
            raise InputError(f"{file}: {name} has shape {tuple(weight.shape)}, in {files[0]} {tuple(first.shape)}; "
                             "only models of one shape have a mean")
        if not first.is_floating_point() and not torch.equal(weight, first):
            raise InputError(f"{file} and {files[0]} differ in {name}, which is no weight and has no mean")
        total += weight
    return (total / len(opened)).to(first.dtype) if first.is_floating_point() else first


def _opened(file: Path) -> Any:
    try:
        return safe_open(str(file), framework="pt")
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{file}: not readable ({error}); copy the folder again") from None
