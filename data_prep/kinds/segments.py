"""Columns `first_ids` and `second_ids` of rows with one text or two, as `pair` and `mlm` have them.

Ids go from the tokenizer into flat numpy buffers without a Python loop over tokens; list columns are made from values
and offsets without a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from data_prep.kinds.kind import Encoded
from data_prep.kinds.rows import TextBatch
from data_prep.shards.columns import of_type
from data_prep.shards.manifest import Manifest
from data_prep.shards.template import InputTemplate


def encode_texts(
    batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate, more: Mapping[str, pa.Array]
) -> Encoded:
    """Encode the texts of `batch`, beside the columns `more`. No more of a text is kept than an input can hold.

    An empty second text means a single text. The cut keeps the order of the two lengths, so that truncating the
    kept texts gives the same input as truncating the whole ones (`shards.assemble.kept_tokens`).
    """
    firsts = token_lists(tokenizer, batch["first"])
    paired = [i for i, text in enumerate(batch["second"]) if text]
    seconds: list[list[int]] = [[] for _ in firsts]
    for i, tokens in zip(paired, token_lists(tokenizer, [batch["second"][i] for i in paired]), strict=True):
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
    ids = pa.array(batch.ids, pa.int64())
    table = pa.table({
        "id": ids, "key": pa.array(batch.keys) if batch.keys else ids.cast(pa.string()),
        "first_ids": list_column(firsts), "second_ids": list_column(seconds), **more,
        "length": pa.array(np.minimum(whole, max_length).astype(np.int32))})
    return Encoded(table, {"rows": len(firsts), "truncated": int((whole > max_length).sum())})


def show_ids(row: Mapping[str, Any], manifest: Manifest, tokenizer: Any) -> list[str]:
    """Two lines for each column of token ids that is not empty: the decoded text, and the ids."""
    lines = []
    for name in of_type(manifest.columns, "token_ids"):
        if row[name]:
            lines.append(f"{name.removesuffix('_ids'):<7} {tokenizer.decode(row[name])}")
            lines.append(f"{'':<7} {' '.join(map(str, row[name]))}")
    return lines


def token_lists(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text, without special tokens, not truncated (the offsets of tokens are not computed)."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def _lengths(rows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))


def list_column(rows: Sequence[Sequence[int]]) -> pa.ListArray:
    """Column of lists of int32."""
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(_lengths(rows), out=offsets[1:])
    values = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(offsets[-1]))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
