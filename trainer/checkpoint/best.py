"""Writer of the best model, `<run>/best/`: a plain transformers folder.

Output: config.json, model.safetensors and the tokenizer's files, loadable without this project through
`AutoModelForSequenceClassification.from_pretrained` (or `AutoModelForMaskedLM`). Of a mixture, `heads/<task>/` holds
config.json and the head's weights of each other task (`trainer.model.heads`).
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging

from trainer.model.heads import save_head
from trainer.runs.folder import HEADS


def write_transformers_folder(
    model: PreTrainedModel, state: dict[str, Tensor], tokenizer: Path | None, folder: Path,
    heads: Mapping[str, tuple[PreTrainedModel, dict[str, Tensor]]] | None = None,
) -> None:
    """Write `state` under the names of `model`, with its configuration and a copy of `tokenizer`'s files, to `folder`.

    heads: model and weights of the head of each other task. An existing folder of that name is replaced only once the
    new one is complete.
    """
    temporary = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    dtype = next(iter(state.values())).dtype  # before saving, which empties the dictionary
    logging.disable_progress_bar()  # it would tear the lines of training apart
    # Under the names of `model`, which its loader may have had to translate (`LayerNorm.gamma` in the first BERTs).
    model.save_pretrained(temporary, state_dict=state, save_original_format=False)
    config = copy.deepcopy(model.config)
    # transformers notes the type the model was trained in; from_pretrained would round these weights to it.
    config.dtype = dtype
    config.save_pretrained(temporary)
    for weights in temporary.glob("*.safetensors"):  # safetensors lets nobody but the owner read them
        shutil.copymode(temporary / "config.json", weights)
    if tokenizer is not None and tokenizer.is_dir():
        shutil.copytree(tokenizer, temporary, dirs_exist_ok=True)
    for task, (of_task, weights_of_head) in (heads or {}).items():
        save_head(of_task, weights_of_head, temporary / HEADS / task)
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    if folder.exists():
        os.replace(folder, old)
    os.replace(temporary, folder)
    shutil.rmtree(old, ignore_errors=True)
