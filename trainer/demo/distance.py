"""Vocabulary extension of a pre-trained model: adds the words of distance languages, and neighbours of English words.

Every word of a distance language becomes a token of its own, whose row in the embedding table is the English row
plus `sigma` x (mean norm of the English rows) x (a unit vector). The unit vector belongs to the English word and is
the same for all distance languages, so that they lie on a ray from English and differ in distance only.
The neighbours of English words (`neighbours.py`) lie at one small distance, each in a direction of its own.
Everything else in the folder is unchanged: the result is an ordinary model with a larger vocabulary.

Inputs: a transformers folder of an XLM-R masked language model with a fast tokenizer, languages, neighbours. Outputs:
a folder of the same kind. The new tokens stand before `<mask>`, which stays last, as in XLM-R's own vocabulary.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from data_prep.base.errors import InputError
from data_prep.base.files import working_folder
from data_prep.tokenizer import load_tokenizer
from trainer.demo import RECORD
from trainer.demo.languages import Language, languages
from trainer.demo.neighbours import NEIGHBOUR_SIGMA, NEIGHBOURS
from trainer.model.encoders.xlm_roberta import EMBEDDINGS, TOKEN_BIASES, TOKEN_ROWS
from trainer.runs.folder import WEIGHTS

WORD_START = "\u2581"  # SentencePiece's mark for the beginning of a word
LANGUAGE_STREAM, NEIGHBOUR_STREAM = 30, 31  # independent streams of random directions
SURE_SCORE = 0.0  # probability 1, so that no segmentation of a word scores higher than the word itself


@dataclass(frozen=True)
class Extension:
    """Outcome of `extend`."""

    tokens: int
    """Number of tokens added."""
    mean_norm: float
    """Mean L2 norm of the rows of the English words, the unit of distances."""


def extend(
    model_dir: Path, out_dir: Path, languages: Sequence[Language], seed: int,
    neighbours: Mapping[str, Sequence[str]] | None = None, record: Mapping[str, Any] | None = None,
) -> Extension:
    """Write the model in `model_dir` to `out_dir` with the words of `languages` in its vocabulary, then `neighbours`.

    neighbours: English word -> words that lie NEIGHBOUR_SIGMA from it. seed: fixes the unit vectors. record: written to
    the new folder as RECORD, for the caller to tell how it was made. Raises InputError,
    before anything is written, where `model_dir` is no model with a fast tokenizer, an English word is not a single
    token of it, a language has no `sigma`, or `out_dir` exists.
    """
    neighbours = neighbours or {}
    for language in languages:
        if language.sigma is None:
            raise InputError(f"language {language.code} has no distance; only distance languages can be added")
    if out_dir.exists():
        raise InputError(f"{out_dir} exists already; remove it or choose another folder")
    tree, weights, config = _read_folder(model_dir)
    ids = english_ids(tree, sorted({*neighbours, *(word for language in languages for word in language.lexicon)}))
    rows, mean_norm = _rows(weights[EMBEDDINGS], ids, languages, neighbours, seed)
    words = [word for language in languages for word in language.lexicon.values()]
    words += [word for others in neighbours.values() for word in others]
    english = [word for language in languages for word in language.lexicon]
    english += [word for word, others in neighbours.items() for _ in others]
    sources = torch.tensor([ids[word] for word in english])
    _add_words(tree, words)
    weights = {name: _with_rows(name, tensor, rows, sources) for name, tensor in weights.items()}
    config["vocab_size"] = len(weights[EMBEDDINGS])

    with working_folder(out_dir, "demo") as folder:
        shutil.copytree(model_dir, folder, dirs_exist_ok=True)
        (folder / "tokenizer.json").write_text(json.dumps(tree, ensure_ascii=False), encoding="utf-8")
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file(weights, str(folder / WEIGHTS), metadata={"format": "pt"})
        if record is not None:
            (folder / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
        _check_words(folder, words, first_id=config["vocab_size"] - 1 - len(words))
        os.replace(folder, out_dir)
    return Extension(len(words), mean_norm)


def extend_by_distance(
    model_dir: Path, out_dir: Path, seed: int, record: Mapping[str, Any] | None = None
) -> Extension:
    """`extend` with the demo's distance languages and neighbours."""
    far = [language for language in languages(seed) if language.sigma is not None]
    return extend(model_dir, out_dir, far, seed, NEIGHBOURS, record)


def unit_vectors(words: Sequence[str], width: int, seed: int, stream: int) -> dict[str, Tensor]:
    """Random directions, word -> (width,) float32 of norm 1; a function of seed, stream and words."""
    generator = np.random.default_rng([seed, stream])
    vectors = generator.standard_normal((len(words), width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return {word: torch.from_numpy(vector).float() for word, vector in zip(sorted(words), vectors, strict=True)}


def english_ids(tree: Mapping[str, Any], words: Sequence[str]) -> dict[str, int]:
    """Token ids of `words` in the tokenizer `tree` (tokenizer.json); raises InputError unless each is one token."""
    places = {piece: index for index, (piece, _) in enumerate(tree["model"]["vocab"])}
    missing = [word for word in words if WORD_START + word not in places]
    if missing:
        raise InputError(f"{len(missing)} English words are not single tokens, e.g. {missing[0]!r}; train the "
                         "tokenizer on whole words (--model word) with a larger --vocab_size")
    return {word: places[WORD_START + word] for word in words}


def _read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """Read (tokenizer.json, weights, config.json) of a model folder; raises InputError unless they fit together."""
    for name in ("tokenizer.json", WEIGHTS, "config.json"):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing; expected a transformers folder with a fast tokenizer")
    tree = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights = load_file(str(folder / WEIGHTS))
    if tree.get("model", {}).get("type") != "Unigram":
        raise InputError(f"{folder}: expected a Unigram tokenizer like XLM-R's")
    if EMBEDDINGS not in weights:
        raise InputError(f"{folder}: no {EMBEDDINGS} in its weights; expected an XLM-R masked language model")
    pieces = len(tree["model"]["vocab"])
    if not len(weights[EMBEDDINGS]) == config["vocab_size"] == pieces:
        raise InputError(f"{folder}: {len(weights[EMBEDDINGS])} embedding rows and vocab_size {config['vocab_size']}, "
                         f"but {pieces} tokens in its tokenizer; expected one row per token")
    return tree, weights, config


def _rows(
    table: Tensor, ids: Mapping[str, int], languages: Sequence[Language], neighbours: Mapping[str, Sequence[str]],
    seed: int,
) -> tuple[Tensor, float]:
    """(new rows, mean norm of the English rows); rows of languages first, in the order of their lexicons."""
    mean_norm = float(torch.stack([table[index].double().norm() for index in ids.values()]).mean())
    directions = unit_vectors(list(ids), table.shape[1], seed, LANGUAGE_STREAM)
    rows = [
        table[ids[english]] + language.sigma * mean_norm * directions[english]
        for language in languages if language.sigma is not None for english in language.lexicon
    ]
    near = [word for others in neighbours.values() for word in others]
    directions = unit_vectors(near, table.shape[1], seed, NEIGHBOUR_STREAM)
    rows += [
        table[ids[english]] + NEIGHBOUR_SIGMA * mean_norm * directions[word]
        for english, others in neighbours.items() for word in others
    ]
    return torch.stack(rows).to(table.dtype), mean_norm


def _with_rows(name: str, tensor: Tensor, rows: Tensor, sources: Tensor) -> Tensor:
    """Insert an entry for each new token before the last one, `<mask>`, of tensors with an entry per token."""
    if name in TOKEN_ROWS:
        new = rows
    elif name in TOKEN_BIASES:
        new = tensor[sources]  # a new word is as likely as its English counterpart
    else:
        return tensor
    return torch.cat([tensor[:-1], new.to(tensor.dtype), tensor[-1:]])


def _add_words(tree: dict[str, Any], words: Sequence[str]) -> None:
    """Insert `words` into the tokenizer `tree` as pieces before the last one, whose id moves up."""
    vocabulary = tree["model"]["vocab"]
    last_piece, last_id = vocabulary[-1][0], len(vocabulary) - 1
    pieces = Counter([piece for piece, _ in vocabulary] + [WORD_START + word for word in words])
    clash = [word for word in words if pieces[WORD_START + word] > 1]
    if clash:
        raise InputError(f"{clash[0]!r} is a token already; distance languages and neighbours need words of "
                         "their own")
    vocabulary[last_id:last_id] = [[WORD_START + word, SURE_SCORE] for word in words]
    for token in tree.get("added_tokens", []):
        if token["content"] == last_piece and token["id"] == last_id:
            token["id"] = len(vocabulary) - 1


def _check_words(folder: Path, words: Sequence[str], first_id: int) -> None:
    """Raise InputError unless the folder's tokenizer, loaded as usual, maps each word to its token."""
    encoded = load_tokenizer(str(folder))(list(words), add_special_tokens=False)["input_ids"]
    wrong = [word for index, (word, ids) in enumerate(zip(words, encoded, strict=True)) if ids != [first_id + index]]
    if wrong:
        raise InputError(f"{len(wrong)} new words are not single tokens, e.g. {wrong[0]!r}; "
                         "this tokenizer cannot be extended")
