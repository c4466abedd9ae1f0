"""Models that sentences are encoded with: a run's best checkpoint, or an encoder that no run of ours has trained."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256
from data_prep.shards.read import Cell
from trainer.data.scratch import open_near
from trainer.evaluate.inputs import DTYPES, check_precision
from trainer.evaluate.outputs import Source, checkpoint_sha256, model_name
from trainer.evaluate.shards_root import find_shards_root
from trainer.model.build import load_weights
from trainer.model.encoders import FAMILIES
from trainer.model.folder import check_not_a_pickle, locate, weight_files
from trainer.model.pretrained import check_tokenizer, read_config
from trainer.retrieval.encoder import Encoder
from trainer.runs.folder import BEST, RECORD
from trainer.runs.record import read_finished

KEY = "MODEL"


@dataclass(frozen=True)
class Origin:
    """A model on this machine, and the fields of a result row that describe it."""

    folder: Path
    """Folder of its config.json, weights and tokenizer."""
    out: Path
    """Folder whose `eval/` gets the results."""
    shards: Path
    identity: dict[str, Any]
    fingerprint: str | None
    """Of a run's tokenizer; None where the tokenizer in `folder` is to be compared."""


def find_origin(
    model: str, revision: str | None, shards: str | None, out: str | None, changed: dict[str, Any], precision: str
) -> Origin:
    """The model at `model`: a run, a model folder, or a name on the hub.

    changed: settings that differ from the defaults; they are part of the recipe, so a run's rows with any go to `out`.
    Raises InputError where there is no such model, and for a missing folder of results or shards.
    """
    check_precision(precision)
    folder = Path(model)
    if (folder / RECORD).is_file():
        record = read_finished(folder, failed=True)
        if changed and out is None:
            raise InputError(f"--{next(iter(changed)).rpartition('.')[2]} changes the result, and {folder / 'eval'} "
                             "holds those of the default settings; name another folder with --out")
        fields = Source(record, checkpoint_sha256(folder), precision).identity()
        fields |= {"step": record.selection.step, "checkpoint": checkpoint_sha256(folder),
                   "settings": {**fields["settings"], **changed}}
        return Origin(folder / BEST, Path(out) if out else folder, find_shards_root(folder, record, shards), fields,
                      record.tokenizer.fingerprint)
    if out is None or shards is None:
        raise InputError(f"{model} is no run of this trainer; name the folders of the results and of the cells with "
                         "--out and --shards")
    found = locate(model, KEY, revision)
    check_not_a_pickle(found, model, KEY, revision)
    weights = "".join(file_sha256(file) for file in weight_files(found.folder, KEY))
    name = model_name({"model.name": model})
    settings = {"model.origin": f"weights {hashlib.sha256(weights.encode()).hexdigest()[:16]}", **changed}
    fields = {"run": Path(out).name, "label": name or "encoder", "method": "none", "seed": 0, "model": name, "step": 0,
              "settings": settings, "checkpoint": hashlib.sha256(weights.encode()).hexdigest()}
    return Origin(found.folder, Path(out), Path(shards), fields, None)


def open_searched(path: Path) -> Cell:
    """Open a cell. Raises InputError for one without queries and candidates."""
    cell = open_near(path)
    if not {"first_ids", "side", "matches"} <= cell.manifest.columns.keys():
        raise InputError(f"{cell.path}: kind {cell.manifest.kind!r} has no queries and candidates; score it with "
                         "`python -m trainer evaluate`")
    return cell


def check_tokenizers(origin: Origin, cells: Sequence[Cell]) -> None:
    """Raise InputError for a cell that was built with another tokenizer than the model's."""
    for cell in cells:
        found = cell.manifest.tokenizer
        if origin.fingerprint not in (None, found.fingerprint):
            raise InputError(f"{cell.path} was built with another tokenizer ({found.name}) than the run's; build it "
                             "with the run's")
    for manifest in {cell.manifest.tokenizer.fingerprint: cell.manifest for cell in cells}.values():
        if origin.fingerprint is None:
            check_tokenizer(str(origin.folder), manifest)


def load_encoder(origin: Origin, layer: int | None, precision: str, max_length: int, batch_size: int) -> Encoder:
    """The encoder of `origin`, on a GPU where there is one.

    Raises InputError for a layer that it does not have, and for an encoder with language embeddings, as the language
    of a candidate is not recorded.
    """
    config = read_config(origin.folder, KEY)
    family = FAMILIES[config.model_type]
    family.check_precision(precision, "--precision")
    if family.languages(config) is not None:
        raise InputError(f"{KEY}: {config.model_type} with language embeddings cannot be used: cells do not record the "
                         "language of a candidate; take another encoder")
    layers = config.num_hidden_layers
    if layer is not None and not 1 <= layer <= layers:
        raise InputError(f"--layer {layer}: the encoder has layers 1 to {layers}")
    head = next(iter(family.heads))
    model = load_weights(family.auto_class(head), origin.folder, config, head)[0]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Encoder(model.eval().to(device, DTYPES[precision]), layer or layers,
                   min(max_length, family.max_length(config)), batch_size, device)
