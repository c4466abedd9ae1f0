"""Token ids of many texts at once, as flat arrays: what `pair` and `mlm` are made of.

The ids go from the tokenizer into numpy buffers without a Python loop over tokens; a list column is later made
from `values` and `offsets` without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from tokenizers import Tokenizer

from data_prep.shards.template import InputTemplate


@dataclass(frozen=True)
class Segments:
    """Rows of ids as one array: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Encoded:
    """One batch, ready to be written; cheap to send between processes. `counts` holds figures for the manifest."""

    ids: np.ndarray
    first: Segments
    second: Segments
    labels: np.ndarray
    lengths: np.ndarray
    counts: dict[str, int]
    keys: Sequence[str] = ()
    """Empty where the rows have no other key than their id."""


def token_lists(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text, without special tokens and uncut (the offsets of tokens are not computed)."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def encode_rows(
    tokenizer: Tokenizer, ids: Sequence[int], first: Sequence[str], second: Sequence[str], labels: Sequence[int],
    max_length: int, template: InputTemplate,
) -> Encoded:
    """Encode a batch of rows. Segments are kept as long as a model input of `max_length` can hold of them.

    An empty second text means a single text. The cut keeps the order of the two lengths, so that truncating the
    kept segments gives the same input as truncating the whole ones (`shards.kept_tokens`).
    """
    firsts = token_lists(tokenizer, first)
    paired = [i for i, text in enumerate(second) if text]
    seconds: list[list[int]] = [[] for _ in second]
    for i, tokens in zip(paired, token_lists(tokenizer, [second[i] for i in paired]), strict=True):
        seconds[i] = tokens
    n_first, n_second = _lengths(firsts), _lengths(seconds)
    single, pair = (frame.specials for frame in template.frames)
    budget = max_length - pair
    whole = n_first + n_second + np.where(n_second > 0, pair, single)
    for i in np.flatnonzero(whole > max_length).tolist():
        if n_second[i] == 0:
            firsts[i] = firsts[i][: max_length - single]
            continue
        # where both are too long, the first stays the longer one if it was: it gets the odd token
        seconds[i] = seconds[i][: budget - 1 if n_first[i] > n_second[i] else budget]
        firsts[i] = firsts[i][:budget]
    return Encoded(
        ids=np.asarray(ids, dtype=np.int64),
        first=_flat(firsts),
        second=_flat(seconds),
        labels=np.asarray(labels, dtype=np.int64),
        lengths=np.minimum(whole, max_length).astype(np.int32),
        counts={"rows": len(firsts), "truncated": int((whole > max_length).sum())},
    )


def _lengths(rows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))


def _flat(rows: Sequence[Sequence[int]]) -> Segments:
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(_lengths(rows), out=offsets[1:])
    values = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(offsets[-1]))
    return Segments(values=values, offsets=offsets)
