"""`python -m trainer dictionary MODEL --cells xnli/train/en --text text/train/sw --out sw.json`: dictionaries that an
encoder proposes (SALT's offline half, arXiv 2309.10891).

Inputs: a masked language model, English cells, a cell of text in another language. Output: JSON {word: [candidate,
...]}, which `python -m data_prep augment code_mix --dictionary sw=sw.json` reads, and beside it a record of what it was
made from, `sw.record.json`. A candidate is one token of the vocabulary: the head fills one <mask>, which stands for all
pieces of a word. All inputs are checked before the first prediction.
Shapes: B batch, W words, C candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from data_prep.base.errors import InputError
from data_prep.base.files import read_json, write_json
from data_prep.shards.read import Cell
from data_prep.shards.tokenizers import read_tokenizer, tokenizer_dir
from trainer.data.collate import collate
from trainer.data.loader import CELL_PATTERN, check_known
from trainer.data.scratch import open_near
from trainer.data.tasks import cell_name
from trainer.distributed.ranks import find_ranks
from trainer.evaluate.inputs import DTYPES, comma_list
from trainer.kinds.languages import language_number
from trainer.kinds.mlm import IGNORED, KIND
from trainer.kinds.tokens import Tokens, tokens_of
from trainer.model.build import load_weights
from trainer.model.encoders import FAMILIES
from trainer.model.languages import check_languages
from trainer.model.pretrained import read_config
from trainer.model.site import SiteModel
from trainer.retrieval.source import KEY, Origin, check_tokenizers, find_origin
from trainer.robust.settings import DEFAULT_SITE
from trainer.shaping.words import Pieces, Place, candidate_ids, find_words, pieces_of, source_words


def dictionary(
    model: str, *, cells: str, text: str, out: str, candidates: int = 4, words: int = 2000, occurrences: int = 16,
    rows: int = 100_000, seed: int = 0, shards: str | None = None, batch_size: int = 64, precision: str = "fp32",
) -> int:
    """Propose words of another language for English words, by the head of a masked language model (SALT).

    MODEL is a run of masked language modelling, or a folder of transformers with its head. cells: English cells in a
    comma list, in whose texts words are masked. text: a cell of text in the other language; candidates are its words of
    one token that are at least 4 times as frequent there as in the English cells. candidates: kept of each word, the
    best first. words: number of English words, the most frequent ones without function words. occurrences: masked of
    each word. rows: read of each cell, drawn by --seed. shards: folder of the cells; a run has its own.
    """
    for flag, value in (("candidates", candidates), ("words", words), ("occurrences", occurrences), ("rows", rows),
                        ("batch_size", batch_size)):
        if value < 1:
            raise InputError(f"--{flag} must be at least 1, found {value}")
    if (ranks := find_ranks()).world_size > 1:
        raise InputError(f"dictionary runs in one process, found {ranks.world_size} ranks; start it without a launcher")
    if not comma_list(cells):
        raise InputError("--cells names no cell; expected task/split/language, or several in a comma list")
    if (path := Path(out)).suffix != ".json":
        raise InputError(f"--out must be a .json file, found {out}")
    origin = find_origin(model, None, shards, str(path.parent), {}, precision)
    *english, other = [_open(origin.shards, name) for name in (*comma_list(cells), text)]
    check_tokenizers(origin, [*english, other])
    record = {"weights": origin.identity["checkpoint"], "precision": precision, "candidates": candidates,
              "words": words, "occurrences": occurrences, "rows": rows, "seed": seed,
              "cells": {cell_name(cell.path): cell.manifest.rows_sha256 for cell in english},
              "text": {cell_name(other.path): other.manifest.rows_sha256}}
    if _is_done(path, record):
        return 0
    site_model, device, longest = _load(origin, [*english, other], precision)
    tokenizer = _tokenizer(origin, other)
    pieces = pieces_of(tokenizer, other.manifest.tokenizer.vocab_size)
    ours, theirs = (find_words(group, pieces, rows, seed, occurrences) for group in (english, [other]))
    ids_C = candidate_ids(ours, theirs, pieces, other.manifest.language_info.script)
    chosen, left_out = source_words(ours, tokenizer, words, occurrences)
    for what, found, of in (("token is a word typical of it", len(ids_C), text),
                            ("content word occurs often enough", len(chosen), cells)):
        if not found:
            raise InputError(f"{of}: no {what}; name cells with more text, --text in another language than --cells")
    scores_WC, cut = score(site_model, list(chosen.values()), ids_C, tokens_of(other.manifest.tokenizer), longest,
                           english[0].manifest.language, batch_size, device)
    entries = {word: best for word, scores_C in zip(chosen, scores_WC, strict=True)
               if (best := propose(word, scores_C, ids_C, pieces, candidates))}
    left_out |= {"occurrences cut off by the longest input": cut} if cut else {}
    write_json(_record_path(path), {**record, "typical": len(ids_C), "left_out": left_out})
    write_json(path, dict(sorted(entries.items())))
    print(f"written  {path}: {len(entries):,} words; {len(ids_C):,} tokens to choose from")
    for reason, n in left_out.items():
        print(f"         {n:,} {reason}")
    return 0


@torch.no_grad()
def score(
    model: SiteModel, places: Sequence[Sequence[Place]], ids_C: np.ndarray, tokens: Tokens, max_length: int,
    language: str, batch_size: int, device: torch.device,
) -> tuple[np.ndarray, int]:
    """((W, C) logits at the mask, averaged over a word's places, less their mean over words; places cut off).

    Within a place, logits rank candidates as log-probabilities do. Less the mean over words, the most frequent
    candidates do not win everywhere. The row of a word without a place is NaN.
    """
    mask_id = int(tokens.mask_id or 0)
    todo = [(number, _masked(place, mask_id)) for number, of in enumerate(places) for place in of]
    todo.sort(key=lambda one: -sum(map(len, one[1])))  # batches of like length
    ids, languages = torch.from_numpy(ids_C).to(device), np.full((1, 2), language_number(language))
    sums_WC, counts_W = np.zeros((len(places), len(ids_C))), np.zeros(len(places))
    model.eval()
    for start in track(range(0, len(todo), batch_size), description="masked words", transient=True):
        owners, texts = zip(*todo[start : start + batch_size], strict=True)
        batch = collate(texts, np.arange(len(texts)), tokens, max_length,
                        languages=np.repeat(languages, len(texts), axis=0))
        at_BL = batch.input_ids.eq(mask_id)
        fits = at_BL.sum(dim=1) == 1  # neither cut off nor beside another mask
        at_BL &= fits[:, None]
        batch.targets["labels"] = torch.where(at_BL, 0, IGNORED)
        logits_PC = model(batch.to(device)).index_select(1, ids).double().cpu().numpy()
        kept = np.array(owners)[fits.numpy()]
        np.add.at(sums_WC, kept, logits_PC)
        np.add.at(counts_W, kept, 1)
    with np.errstate(invalid="ignore"):
        means_WC = sums_WC / counts_W[:, None]
    return means_WC - np.nanmean(means_WC, axis=0), len(todo) - int(counts_W.sum())


def propose(word: str, scores_C: np.ndarray, ids_C: np.ndarray, pieces: Pieces, most: int) -> list[str]:
    """The best candidates, without the word itself and without a second spelling of one; none for NaN."""
    found: dict[str, str] = {}
    for number in np.argsort(-scores_C, kind="stable") if not np.isnan(scores_C).any() else ():
        text = pieces.texts[ids_C[number]]
        if text.lower() != word:
            found.setdefault(text.lower(), text)
        if len(found) == most:
            break
    return list(found.values())


def _masked(place: Place, mask_id: int) -> tuple[np.ndarray, ...]:
    """The texts of a place with one mask for its word."""
    ids = place.texts[place.part]
    masked = np.concatenate([ids[:place.begin], np.array([mask_id], ids.dtype), ids[place.end:]])
    return tuple(masked if part == place.part else text for part, text in enumerate(place.texts))


def _load(origin: Origin, cells: Sequence[Cell], precision: str) -> tuple[SiteModel, torch.device, int]:
    """(model with its head of masked language modelling, device, longest input). Raises InputError without a head."""
    config = read_config(origin.folder, KEY)
    family = FAMILIES[config.model_type]
    family.check_precision(precision, "--precision")
    check_languages(config, [cell.manifest.language for cell in cells])
    headless = f"{KEY}: {origin.folder} has no head of masked language modelling"
    expected = "expected a run that was trained on text, or a folder saved with the head"
    if KIND.head not in family.heads:
        raise InputError(f"{headless}, as no {config.model_type} has; {expected}")
    tokenizer = cells[0].manifest.tokenizer
    if tokenizer.mask_id is None or config.vocab_size < tokenizer.vocab_size:
        raise InputError(f"{KEY}: {origin.folder} has {config.vocab_size} word embeddings, the cells' tokenizer "
                         f"{tokenizer.vocab_size} entries, mask token {tokenizer.mask_id}; build the cells with the "
                         "model's own tokenizer")
    model, new, _ = load_weights(family.auto_class(KIND.head), origin.folder, config, KIND.head)
    if new:
        raise InputError(f"{headless} (missing: {sorted(new)[0]}); {expected}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    longest = min(family.max_length(config), *(cell.manifest.max_length for cell in cells))
    return SiteModel(model, KIND, DEFAULT_SITE).to(device, DTYPES[precision]), device, longest


def _open(root: Path, name: str) -> Cell:
    """The finished cell of this name. Raises InputError where there is none, or it is of an unknown kind."""
    if not CELL_PATTERN.fullmatch(name) or "*" in name:
        raise InputError(f"expected a cell as task/split/language, found {name!r}")
    if not (root / name).is_dir():
        raise InputError(f"{root}: no finished cell {name}; build it with `python -m data_prep build`, or name another "
                         "folder of shards with --shards")
    cell = open_near(root / name)
    check_known(cell)
    return cell


def _tokenizer(origin: Origin, cell: Cell) -> Any:
    """The tokenizer beside the cells. Raises InputError where it is missing."""
    folder = tokenizer_dir(origin.shards, cell.manifest.tokenizer.fingerprint)
    try:
        return read_tokenizer(str(folder))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: the cells' tokenizer cannot be read ({error}); build the cells again") from None


def _record_path(path: Path) -> Path:
    return path.with_suffix(".record.json")


def _is_done(path: Path, record: Mapping[str, Any]) -> bool:
    """True, with a line, for a dictionary made with this record. Raises InputError for another file."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return False
    there = read_json(_record_path(path))
    if differing := [name for name, value in record.items() if there.get(name) != value]:
        raise InputError(f"{path} is there, made with other {', '.join(differing)}; remove it, or choose another --out")
    print(f"skipped  {path} (finished, {len(read_json(path)):,} words)")
    return True
