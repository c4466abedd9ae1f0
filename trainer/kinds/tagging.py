"""Tagging of words: softmax over tags at the first piece of each word, cross-entropy.

Shapes: B batch, L length, H width, M most words of a row, P words of all rows, C tags, N examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from data_prep.base.errors import InputError
from data_prep.shards.columns import number_values
from data_prep.shards.manifest import WINDOW, Manifest
from trainer.kinds.batch import Batch
from trainer.kinds.divergence import at_least_fp32, kl_sum
from trainer.kinds.kind import Array, Classes, Kind, Rows
from trainer.kinds.sequences import lists
from trainer.results.predictions import line_per_row, replace_file

MISSING = -1  # label of a word without one
NO_WORD = -1  # position of what is no word: rows have different numbers of them


def targets(rows: pa.Table, batch: Batch) -> dict[str, Tensor]:
    """words: (B, M) int64 position of each word's first piece in the input, or NO_WORD; labels: (B, M) int64 tag index,
    or MISSING.

    Raises InputError for starts and labels that do not fit the inputs, which opening a cell does not look for.
    """
    starts, labels = lists(rows, "starts"), lists(rows, "labels")
    sizes = np.array([len(one) for one in starts])
    is_word = np.arange(sizes.max(initial=0)) < sizes[:, None]
    words, tags = np.full(is_word.shape, NO_WORD, dtype=np.int64), np.full(is_word.shape, MISSING, dtype=np.int64)
    words[is_word] = np.concatenate(starts)
    ends = np.array([len(ids) for ids in lists(rows, "first_ids")])
    labelled = np.array([len(one) for one in labels]) > 0
    if (words >= ends[:, None]).any() or (words[is_word] < 0).any() or any(
            len(one) not in (0, size) for one, size in zip(labels, sizes, strict=True)):
        raise InputError("starts of words outside the ids of their row, or another number of labels than of words; "
                         "find the damage with `python -m data_prep verify`")
    tags[is_word & labelled[:, None]] = np.concatenate(labels)
    if batch.first_at is None:
        raise ValueError("a batch without the position of its texts")
    positions = np.where(is_word, words + batch.first_at.numpy()[:, None], NO_WORD)
    return {"words": torch.from_numpy(positions), "labels": torch.from_numpy(tags)}


def logits(head: Callable[[Tensor], Tensor], hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(P, C) logits of the words, row by row: every family's token classifier works position by position."""
    words_BM = batch.targets["words"]
    row_P, _ = (words_BM != NO_WORD).nonzero(as_tuple=True)
    return head(hidden_BLH[row_P, words_BM[words_BM != NO_WORD]])


def losses(logits_PC: Tensor, batch: Batch) -> Tensor:
    """(B,) cross-entropy in nats summed over the words of each row; 0 for words without a label."""
    words_BM, labels_BM = batch.targets["words"], batch.targets["labels"]
    is_word = words_BM != NO_WORD
    nats_P = functional.cross_entropy(at_least_fp32(logits_PC), labels_BM[is_word], reduction="none",
                                      ignore_index=MISSING)
    return nats_P.new_zeros(len(words_BM)).index_add(0, is_word.nonzero()[:, 0], nats_P)


def loss_count(batch: Batch) -> Tensor:
    """Number of labelled words."""
    return (batch.targets["labels"] != MISSING).sum()


def decode(logits_PC: Tensor, batch: Batch) -> Array:
    """(B,) arrays: the most probable tag of each word of a row."""
    sizes = (batch.targets["words"] != NO_WORD).sum(dim=1).cpu()
    return _ragged(np.split(logits_PC.argmax(dim=-1).cpu().numpy(), np.cumsum(sizes)[:-1]))


def gold(batch: Batch) -> Array:
    """(B,) arrays: the tag of each word of a row, or MISSING."""
    is_word = (batch.targets["words"] != NO_WORD).numpy()
    return _ragged([labels[words] for labels, words in zip(batch.targets["labels"].numpy(), is_word, strict=True)])


def classes(logits_PC: Tensor, batch: Batch) -> Classes:
    """One prediction per word."""
    is_word = batch.targets["words"] != NO_WORD
    return Classes(logits_PC, batch.targets["labels"][is_word], is_word.nonzero()[:, 0])


def join(predicted_N: Array, gold_N: Array, rows: pa.Table) -> tuple[Array, Array]:
    """Both, with the words of a sentence's windows one after the other."""
    of_sentence: dict[int, list[int]] = {}
    ids = number_values(rows["id"])
    for row in np.argsort(number_values(rows[WINDOW]), kind="stable"):
        of_sentence.setdefault(int(ids[row]), []).append(int(row))
    return tuple(_ragged([np.concatenate(column[parts]) for parts in of_sentence.values()])  # type: ignore[return-value]
                 for column in (predicted_N, gold_N))


def spell(tags_N: Array, labels: Sequence[str]) -> Array:
    """(N,) lists: the names of the tags, which tell where spans begin; "" for a missing one."""
    names = [*labels, ""]
    return _ragged([[names[tag] for tag in tags] for tags in tags_N])


def serialise(predicted_N: Array, rows: Rows, manifest: Manifest, path: Path) -> None:
    """Write XTREME's format: a tag per line, a blank line between sentences; one line for a sentence left out."""
    sentences = ["\n".join(tags) for tags in predicted_N]
    lines = line_per_row(rows.ids, sentences, manifest.source_rows * (manifest.copies + 1))
    replace_file(path, ("\n\n".join(lines) + "\n").encode())


def _ragged(values: Sequence[object]) -> Array:
    """(N,) array of objects, also where they have equal lengths."""
    found = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        found[place] = value
    return found


KIND = Kind(
    "AutoModelForTokenClassification", targets, logits, losses, loss_count, kl_sum, decode, gold, serialise,
    join=join, spell=spell, classes=classes, metrics=("tag_accuracy", "span_f1", "seqeval_f1"),
    columns=("first_ids", "starts", "labels", WINDOW))
