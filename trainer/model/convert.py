"""`python -m trainer convert SOURCE OUT [--revision R] [--overwrite]`: weights in a pickle to safetensors.

Input: a folder or a name on the hub whose weights are pytorch_model.bin, or several files that its index names. Output:
OUT, a plain transformers folder with config.json (its family's settings only), weights in safetensors, and the
tokenizer's files. Nothing in the pickle is run: torch's restricted unpickler builds tensors and plain containers, and
anything but one flat dictionary of tensors is refused.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

from data_prep.base.errors import InputError
from data_prep.base.files import put_in_place, write_json
from data_prep.base.lock import working_path
from trainer.model.folder import (
    MODULES,
    PICKLE,
    PICKLE_INDEX,
    PICKLES,
    TOKENIZER_FILES,
    Found,
    locate,
    reason,
    refuse_to_replace,
    weight_files,
)
from trainer.model.pretrained import read_config

KEY = "convert"
ZIP = b"PK\x03\x04"
NAME = re.compile(r"[!-~]{1,500}")
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16,
          torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


def convert(source: str, out: str, *, revision: str | None = None, overwrite: bool = False) -> int:
    """Write the model at SOURCE, a folder or a name on the hub with weights in a pickle, to OUT in safetensors.

    Runs nothing of the pickle, and refuses one that holds anything but tensors. revision: commit, branch or tag of a
    name on the hub. Raises InputError for a model of an unknown family, weights that are damaged, of other shapes than
    its config.json says, or in safetensors already, and if OUT exists and --overwrite is not given or OUT is no model.
    """
    target = Path(out)
    refuse_to_replace(target, overwrite)
    found = locate(source, KEY, revision)
    if target.resolve() in (found.folder.resolve(), *found.folder.resolve().parents):
        raise InputError(f"{KEY}: {out} would replace {source}, all of it; choose another place")
    if weight_files(found.folder, KEY):
        raise InputError(f"{KEY}: {source} has weights in safetensors already; give {source} as model.name")
    if found.commit is not None:
        found = locate(source, KEY, found.commit, PICKLES)
    files = weight_files(found.folder, KEY, PICKLE, PICKLE_INDEX)
    if not files:
        raise InputError(f"{KEY}: {source} has no weights; expected {PICKLE} or {PICKLE_INDEX}")
    config = read_config(found.folder, KEY, check_weights=False)
    tensors = _read_pickles(files)
    if (total := _bytes(tensors)) > 2 * sum(file.stat().st_size for file in files):  # many views of one memory
        raise InputError(f"{KEY}: {files[0]}: its tensors take {total:,} bytes, more than twice the file; expected a "
                         "model's weights")
    ties = _untie(tensors, config)
    config.dtype = next(value.dtype for value in tensors.values() if value.is_floating_point())
    with working_path(target, KEY) as temporary:
        refuse_to_replace(target, overwrite)  # another process may have finished it meanwhile
        temporary.mkdir()
        try:
            save_torch_state_dict(tensors, temporary)
        except SafetensorError as error:  # of the file system
            raise InputError(f"{KEY}: {out} cannot be written ({reason(error)})") from None
        config.save_pretrained(temporary)
        for weights in temporary.glob("*.safetensors"):  # safetensors lets nobody but the owner read them
            shutil.copymode(temporary / "config.json", weights)
        tokenizer = _copy_tokenizer(found.folder, temporary)
        read_config(temporary, f"{KEY}: {source}")  # whose weights must have the shapes that config.json says
        put_in_place(temporary, target, overwrite)
    _say(source, found, files, target, tensors, ties, tokenizer)
    return 0


def _read_pickles(files: list[Path]) -> dict[str, Tensor]:
    """Tensors of all `files`, by name; mapped from the file where its format allows, not read."""
    tensors: dict[str, Tensor] = {}
    for file in files:
        found = _load(file)
        if twice := sorted(found.keys() & tensors.keys()):
            raise InputError(f"{KEY}: {file}: {twice[0]} is in another file too; expected each weight once")
        tensors |= found
    if not any(value.is_floating_point() for value in tensors.values()):
        raise InputError(f"{KEY}: {files[0]} holds no weights; expected those of a model")
    return tensors


def _load(file: Path) -> dict[str, Tensor]:
    """The dictionary of tensors in a pickle. Raises InputError for any other content; runs nothing."""
    try:
        with file.open("rb") as stream:
            is_zip = stream.read(len(ZIP)) == ZIP
        if is_zip:
            _check_archive(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on pickles that are refused all the same
            content: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # of the unpickler, the archive, the file system
        raise InputError(f"{KEY}: {file}: {_why_refused(error)}; expected a pickle of tensors only. Nothing in it was "
                         "run") from None
    if type(content) not in (dict, OrderedDict):
        raise InputError(f"{KEY}: {file} holds a {type(content).__name__}, expected a dictionary of tensors")
    if inside := [name for name in ("state_dict", "model") if isinstance(content.get(name), dict)]:
        raise InputError(f"{KEY}: {file} is a checkpoint of training, with weights under {inside[0]!r} and other "
                         "state; expected the model as transformers' save_pretrained writes it")
    for name, value in content.items():
        if why := _fault(name, value):
            raise InputError(f"{KEY}: {file}: {str(name)[:80]!r} {why}")
    return {name: value.detach() for name, value in content.items()}


def _check_archive(file: Path) -> None:
    """Refuse what torch takes for numbers when it maps a file: compressed parts, and parts that are damaged."""
    with zipfile.ZipFile(file) as archive:
        if any(part.compress_type for part in archive.infolist()):
            raise ValueError("compressed")
        if (part := archive.testzip()) is not None:
            raise ValueError(f"{part} is damaged")


def _why_refused(error: Exception) -> str:
    """torch's reason, without its advice to switch the check off."""
    if asked := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"it asks for {asked[1]}"
    return "it is another format" if "weights_only" in str(error) else f"it cannot be read ({reason(error)})"


def _fault(name: Any, value: Any) -> str:
    """Fault of an entry; empty where it has none."""
    if not (isinstance(name, str) and NAME.fullmatch(name)) or name == "__metadata__":
        return "is no name of a weight"
    if type(value) not in (Tensor, nn.Parameter):
        return f"is a {type(value).__name__}, expected a tensor"
    if value.layout != torch.strided or value.device.type != "cpu" or value.dtype not in DTYPES:
        return f"is a {value.layout} tensor of {value.dtype} on {value.device}, expected a plain one"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"of shape {tuple(value.shape)} repeats its numbers, expected a weight"
    return ""


def _untie(tensors: dict[str, Tensor], config: Any) -> dict[str, str]:
    """Give each of `tensors` memory of its own; returns those dropped for it, name -> the name that stays.

    safetensors takes no two names of one memory. Dropped is what transformers ties again when it loads the model (the
    matrix and bias of a masked language model's head); all else that is shared becomes a copy.
    """
    head: Any = MODEL_FOR_MASKED_LM_MAPPING[type(config)]
    dropped: dict[str, str] = {}
    for name, kept in (head._tied_weights_keys or {}).items() if config.tie_word_embeddings else ():
        if name in tensors and kept in tensors and _is_same(tensors[name], tensors[kept]):
            dropped[name] = kept
            del tensors[name]
    seen: set[int] = set()
    for name, value in tensors.items():
        memory = value.untyped_storage()
        if memory.data_ptr() in seen or memory.nbytes() != value.numel() * value.element_size():
            tensors[name] = value.clone(memory_format=torch.contiguous_format)
        seen.add(memory.data_ptr())
    return dropped


def _is_same(one: Tensor, other: Tensor) -> bool:
    return (one.data_ptr() == other.data_ptr() and one.dtype == other.dtype and one.shape == other.shape
            and one.stride() == other.stride())


def _bytes(tensors: dict[str, Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors.values())


def _copy_tokenizer(folder: Path, out: Path) -> list[str]:
    """Copy the tokenizer's files; returns their names. A class of its own, which its settings may name, is left out."""
    names = [name for name in TOKENIZER_FILES if (folder / name).is_file()]
    for name in names:
        shutil.copyfile(folder / name, out / name)
    if (settings := out / "tokenizer_config.json").is_file():
        try:
            content = json.loads(settings.read_text(encoding="utf-8"))
            write_json(settings, {key: value for key, value in content.items() if key != "auto_map"})
        except Exception as error:
            raise InputError(f"{KEY}: {folder / settings.name} cannot be read ({reason(error)}); copy the folder again"
                             ) from None
    return names


def _say(source: str, found: Found, files: list[Path], target: Path, tensors: dict[str, Tensor], ties: dict[str, str],
         tokenizer: list[str]) -> None:
    types = ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values()}))
    at = f" at commit {found.commit}" if found.commit is not None else ""
    print(f"{source}{at}: {len(files)} pickled file(s) with {len(tensors) + len(ties)} tensors of {types}; nothing else"
          " in them, nothing run")
    for name, kept in ties.items():
        print(f"dropped {name}: transformers ties it to {kept}")
    if (found.folder / MODULES).is_file() or (found.folder.parent / MODULES).is_file():
        print("left out what sentence-transformers puts behind the encoder (pooling, dense layers)")
    print(f"tokenizer: {', '.join(tokenizer) or 'none beside the weights'}")
    print(f"{target}: {len(tensors)} tensors, {_bytes(tensors):,} bytes in safetensors; give it as model.name")
