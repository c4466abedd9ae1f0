"""Sentences of words with a tag each: part of speech, named entities.

A word is labelled at its first piece. A sentence that is too long for one input becomes several windows that overlap by
about half. Each word is owned by one window, that in which it has most context, so that a word is trained on and scored
once, and the predictions of windows are joined by writing them one after the other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from data_prep.base.errors import InputError
from data_prep.kinds.kind import Encoded
from data_prep.kinds.rows import Record, Row, TextBatch
from data_prep.kinds.segments import list_column, show_ids
from data_prep.kinds.words import word_pieces
from data_prep.shards.manifest import MOST_WINDOWS, NO_TAG, NO_WORDS, UNEQUAL_TAGS, WINDOW, Manifest
from data_prep.shards.template import InputTemplate
from data_prep.tasks.task import Task

METRICS = ("tag_accuracy", "span_f1", "seqeval_f1")
MOST_NAMED = 20  # labels that an error lists
columns: Mapping[str, str] = {"first_ids": "token_ids", "starts": "integers", "labels": "labels", WINDOW: "integer"}
"""`starts`: index in `first_ids` of the first piece of each word that the window owns. `labels`: one per start, or none
in a cell without tags."""
fields: Mapping[str, tuple[str, ...]] = {
    "words": ("tokens", "token", "word", "text", "sentence"),
    "tags": ("labels", "label", "ner_tags", "pos_tags", "upos")}
texts: tuple[str, ...] = ()  # an augmentation would have to keep the number of words
noised: tuple[str, ...] = ("words",)


def read(record: Record, task: Task) -> Row | str:
    """The words, and the indices of their tags; both are lists, or texts with spaces between.

    Left out: no words; among labelled rows a word without a tag; another number of tags than of words.
    """
    words, spelt = (_list(record.values.get(name)) for name in ("words", "tags"))
    if not words:
        return NO_WORDS
    if wrong := [word for word in words if not isinstance(word, str)]:
        raise InputError(f"a word is {wrong[0]!r}, expected text")
    if any(spelt) and not record.labelled:
        raise InputError(f"tag {next(filter(None, spelt))!r}, but the first row has none; give all rows tags, or none")
    if not record.labelled:
        return Row(record.row, {"words": words, "tags": []}, record.key)
    if spelt and len(spelt) != len(words):
        return UNEQUAL_TAGS
    if not spelt or not all(spelt):
        return NO_TAG
    tags = [task.tag_index.get(tag, -1) for tag in spelt]
    if -1 in tags:
        at = tags.index(-1)
        more = f" and {len(task.labels) - MOST_NAMED} more" if len(task.labels) > MOST_NAMED else ""
        raise InputError(f"tag {spelt[at]!r} of word {at + 1} ({words[at]}) is not one of "
                         f"{', '.join(task.labels[:MOST_NAMED])}{more} ({task.name}); correct it, remove the sentence, "
                         "or name the task of the file")
    return Row(record.row, {"words": words, "tags": tags}, record.key)


class Window(NamedTuple):
    """One window of a sentence, as ranges of words."""

    first: int
    end: int
    owned_from: int
    owned_end: int


def windows(offsets: Sequence[int], room: int) -> list[Window]:
    """Windows of at most `room` pieces that own every word once, those that own none left out.

    offsets: (words + 1,) pieces before each word, and all of them; no word may have more than `room`.
    """
    n, total = len(offsets) - 1, offsets[-1]
    if total <= room:
        return [Window(0, n, 0, n)]
    spans = [(0, _end(offsets, 0, room))]
    while (end := spans[-1][1]) < n:
        # half of what the last window had again, no more than leaves room for the next word, and the last one full
        first = max(bisect_left(offsets, offsets[end] - room // 2), bisect_left(offsets, offsets[end + 1] - room))
        first = min(first, max(spans[-1][0] + 1, bisect_left(offsets, total - room)))
        spans.append((first, _end(offsets, first, room)))
    # A word in two windows has equal context in both where its middle is the middle of what they share.
    borders = [offsets[first] + offsets[end] for (_, end), (first, _) in pairwise(spans)]
    owners = [bisect_left(borders, a + b) for a, b in pairwise(offsets)]
    bounds = [bisect_left(owners, number) for number in range(len(spans) + 1)]
    return [Window(*span, *owned) for span, owned in zip(spans, pairwise(bounds), strict=True) if owned[0] < owned[1]]


def encode(batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
    """Token ids, starts and labels of every window; a word with more pieces than an input is cut, its row counted."""
    specials = template.frames[0].specials
    room = max_length - specials
    rows, numbers, ids, starts, labels, truncated = [], [], [], [], [], 0
    for row, (pieces, tags) in enumerate(zip(word_pieces(tokenizer, batch["words"]), batch["tags"], strict=True)):
        if max(map(len, pieces)) > room:
            pieces, truncated = [word[:room] for word in pieces], truncated + 1
        offsets = list(accumulate(map(len, pieces), initial=0))
        parts = windows(offsets, room)
        if len(parts) > MOST_WINDOWS:
            raise InputError(f"row {batch.ids[row]}: a sentence of {len(pieces):,} words, more than {MOST_WINDOWS:,} "
                             f"windows of {max_length} tokens; end sentences with a blank line, or raise --max_length")
        for number, part in enumerate(parts):
            before = offsets[part.first]
            rows.append(row)
            numbers.append(number)
            ids.append(list(chain.from_iterable(pieces[part.first : part.end])))
            starts.append([offset - before for offset in offsets[part.owned_from : part.owned_end]])
            labels.append(tags[part.owned_from : part.owned_end])
    row_ids = pa.array([batch.ids[row] for row in rows], pa.int64())
    table = pa.table({
        "id": row_ids, "key": pa.array([batch.keys[row] for row in rows]) if batch.keys else row_ids.cast(pa.string()),
        "first_ids": list_column(ids), "starts": list_column(starts), "labels": list_column(labels),
        WINDOW: pa.array(numbers, pa.int64()), "length": pa.array([len(one) + specials for one in ids], pa.int32())})
    return Encoded(table, {"rows": len(batch), "truncated": truncated})


def validate(table: pa.Table, manifest: Manifest) -> None:
    """Check that there are two labels or more, that the metrics are of tags, and that starts and labels fit the ids."""
    if len(manifest.labels) < 2 or not set(manifest.metrics) <= set(METRICS):
        raise InputError(f"{manifest.task}: kind {manifest.kind} with {len(manifest.labels)} labels and metric "
                         f"{', '.join(manifest.metrics)}; expected two labels or more and {' or '.join(METRICS)}")
    sizes = {name: table[name].combine_chunks().value_lengths().to_numpy(zero_copy_only=False)
             for name in ("first_ids", "starts", "labels")}
    starts = table["starts"].combine_chunks().flatten().to_numpy()
    rows = np.repeat(np.arange(len(table)), sizes["starts"])
    ascending = (np.diff(starts) > 0) | (np.diff(rows) > 0)
    labelled = (sizes["labels"] == sizes["starts"]) | (sizes["labels"] == 0)
    if not ((sizes["starts"] > 0).all() and labelled.all() and ascending.all()
            and (starts >= 0).all() and (starts < sizes["first_ids"][rows]).all()):
        raise InputError(f"{manifest.task}: starts of words that do not ascend within the ids, or another number of "
                         "labels than of starts; build the cell again")


def show(row: Mapping[str, Any], manifest: Manifest, tokenizer: Any) -> str:
    """The tag of each word that the window owns, and the text with its ids."""
    words = [tokenizer.decode(row["first_ids"][start:end]) for start, end in pairwise([*row["starts"], None])]
    words[-1] = words[-1].split(" ")[0]  # words of the next window follow
    tags = [manifest.labels[label] for label in row["labels"]] or ["no tag"] * len(words)
    return "\n".join([f"tags    {' '.join(f'{word}/{tag}' for word, tag in zip(words, tags, strict=True))}",
                      *show_ids(row, manifest, tokenizer)])


def _list(value: Any) -> list[Any]:
    """Words or tags as a list."""
    return [part for part in value.split(" ") if part] if isinstance(value, str) else list(value or ())


def _end(offsets: Sequence[int], first: int, room: int) -> int:
    """End of the longest range of whole words from `first` on that has at most `room` pieces."""
    return bisect_left(offsets, offsets[first] + room + 1) - 1
