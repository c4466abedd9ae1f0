"""Model folders: where the files of a model are, in a folder as transformers or sentence-transformers writes it, or on
the hub at one commit; and which names of weight files are taken.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers.utils import logging as transformers_logging

from data_prep.base.errors import InputError
from trainer.runs.folder import WEIGHTS, WEIGHTS_INDEX

PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
MODULES = "modules.json"
"""sentence-transformers' list of the parts of a model; the first is the encoder."""
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spm.model", "tokenizer.model")
SAFETENSORS = (WEIGHTS, WEIGHTS_INDEX, "model-*-of-*.safetensors")
PICKLES = (PICKLE, PICKLE_INDEX, "pytorch_model-*-of-*.bin")
SUBFOLDER = re.compile(r"0_[A-Za-z0-9_-]{1,100}")
FILE_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}"


@dataclass(frozen=True)
class Found:
    """A model on this machine."""

    folder: Path
    """Folder that holds its config.json, weights and tokenizer."""
    commit: str | None = None
    """Commit on the hub, in hex; None of a folder that was given."""


def locate(source: str, key: str, revision: str | None = None, weights: Sequence[str] = SAFETENSORS) -> Found:
    """Model at `source`, a folder or a name on the hub, at `revision` (a commit, branch or tag; None: the main branch).

    Files of a hub model are fetched into huggingface_hub's cache: settings, tokenizer, and weights whose names match
    `weights`. Without network, those in the cache are taken. key: names the source in messages.
    Raises InputError where there is no such model, and for a revision of a folder.
    """
    if Path(source).is_dir():
        if revision is not None:
            raise InputError(f"{key}: {source} is a folder on this machine, which has no revision {revision!r}; remove "
                             "the revision, or give a name on the hub")
        return Found(_encoder_in(Path(source), key))
    if source.startswith(("/", ".", "~")):  # never a name on the hub
        raise InputError(f"{key}: cannot load {source!r}: no such folder")
    names = ["config.json", *TOKENIZER_FILES, *weights]
    transformers_logging.disable_progress_bar()  # the hub's too: every rank would print them between training's lines
    try:
        folder = Path(snapshot_download(
            source, revision=revision, allow_patterns=[MODULES, *names, *(f"0_*/{name}" for name in names)]))
    except Exception as error:  # the network, the hub and the cache each raise their own
        at = "" if revision is None else f" at revision {revision!r}"
        offline = isinstance(error, LocalEntryNotFoundError)
        why = "not in the hub's cache, and no hub in reach" if offline else f"none from the hub: {reason(error)}"
        raise InputError(f"{key}: cannot load {source!r}{at}: no such folder, and {why}") from None
    return Found(_encoder_in(folder, key), folder.name)


def _encoder_in(folder: Path, key: str) -> Path:
    """`folder`, or the folder in it that sentence-transformers used to put the encoder into (`0_Transformer`)."""
    try:
        first = json.loads((folder / MODULES).read_text(encoding="utf-8"))[0]["path"]
    except FileNotFoundError:
        return folder
    except Exception as error:
        raise InputError(f"{key}: {folder / MODULES} cannot be read ({reason(error)}); copy the folder again"
                         ) from None
    if first == "":
        return folder
    if not (isinstance(first, str) and SUBFOLDER.fullmatch(first)):
        raise InputError(f"{key}: {folder / MODULES} names {str(first)[:80]!r} as the encoder's folder; expected '' or "
                         "a folder like '0_Transformer'")
    return folder / first


def weight_files(folder: Path, key: str, single: str = WEIGHTS, index: str = WEIGHTS_INDEX) -> list[Path]:
    """Weight files of a model folder: the one called `single`, or those that `index` names; empty without either.

    Raises InputError for an index that is damaged or names anything but files of that format beside it.
    """
    if (folder / single).is_file():
        return [folder / single]
    if not (folder / index).is_file():
        return []
    files = [folder / name for name in _names_in(folder / index, key, Path(single).suffix)]
    if missing := [file for file in files if not file.is_file()]:
        raise InputError(f"{key}: {missing[0]} is missing, one of {len(files)} files that {folder / index} names; "
                         "copy the folder again")
    return files


def check_not_a_pickle(found: Found, source: str, key: str, revision: str | None) -> None:
    """Refuse a model whose weights are not in safetensors, with the command that converts a pickle."""
    if weight_files(found.folder, key):
        return
    out = f"{source.rstrip('/').rpartition('/')[2]}-safetensors"
    words = ["python", "-m", "trainer", "convert", source, out, *(["--revision", revision] if revision else [])]
    command = f"`{shlex.join(words)}`"
    if found.commit is not None:
        raise InputError(f"{key}: cannot load {source!r}: no weights in safetensors at commit {found.commit[:12]}; if "
                         f"it has a pickle, convert it with {command} and give {out}")
    if any((found.folder / name).is_file() for name in (PICKLE, PICKLE_INDEX)):
        raise InputError(f"{key}: cannot load {source!r}: its weights are a pickle, which could run code; convert it "
                         f"with {command} and give {out}")
    raise InputError(f"{key}: cannot load {source!r}: no weights; expected {WEIGHTS} or {WEIGHTS_INDEX}")


def refuse_to_replace(target: Path, overwrite: bool) -> None:
    """Raise InputError unless `target` does not exist, or is a model and `overwrite` is given."""
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists; choose another place, or pass --overwrite")
    if target.exists() and not (target / "config.json").is_file():
        raise InputError(f"{target} exists and is no model; --overwrite replaces models only: choose another place")


def _names_in(index: Path, key: str, suffix: str) -> list[str]:
    """File names in an index of weights, sorted. Raises InputError unless each is a plain name with `suffix`."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except Exception as error:  # of the parser, or of one that looks for names in something else
        raise InputError(f"{key}: {index} is no index of weights ({reason(error)}); copy the folder again") from None
    # transformers would follow a path out of the folder, and unpickle what is not called safetensors.
    wrong = [name for name in names
             if not (isinstance(name, str) and re.fullmatch(FILE_NAME + re.escape(suffix), name))]
    if wrong or not names:
        what = f"names {str(wrong[0])[:80]!r}" if wrong else "names no file"
        raise InputError(f"{key}: {index} {what}; expected names of {suffix} files in its own folder")
    return names


def reason(error: Exception) -> str:
    """An error of a library on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
