"""Texts on the two sides of a search, queries and candidates, scored without training.

Gold answers are the keys of relevant rows of the other side, given on either side or on both; they may be keys of other
cells, where languages are searched together. A row that is known to have none holds one empty key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Tokenizer

from data_prep.base.errors import InputError
from data_prep.kinds.kind import Encoded
from data_prep.kinds.rows import Record, Row, TextBatch
from data_prep.kinds.segments import encode_texts, show_ids
from data_prep.shards.columns import NO_MATCH, SIDES
from data_prep.shards.manifest import NO_TEXT, Manifest
from data_prep.shards.template import InputTemplate
from data_prep.tasks.task import Task

METRICS = ("accuracy", "backward_accuracy", "mean_average_precision", "mean_average_precision_20", "mined_pair_f1")
columns: Mapping[str, str] = {"first_ids": "token_ids", "side": "integer", "matches": "texts"}
fields: Mapping[str, tuple[str, ...]] = {"text": ("sentence",), "side": (), "matches": ("relevant",)}
texts: tuple[str, ...] = ()
noised: tuple[str, ...] = ()


def read(record: Record, task: Task) -> Row | str:
    """Text, side and matches: a list of keys, or keys with spaces between them. Left out: rows without text.

    Raises InputError for a side that is neither query nor candidate.
    """
    text, side = record.values["text"], record.values["side"]
    if text is None or not text.strip():
        return NO_TEXT
    if side not in SIDES:
        raise InputError(f"side {side!r}; expected {' or '.join(SIDES)}")
    given = record.values.get("matches")
    keys = given if isinstance(given, list) else (given or "").split()
    known = record.labelled or isinstance(given, list) or side == "candidate"
    return Row(record.row, {"text": text, "side": SIDES.index(side), "matches": keys or [NO_MATCH] * known}, record.key)


def encode(batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
    """Token ids of each text, its side and its matches."""
    singles = TextBatch(batch.ids, {"first": batch["text"], "second": [""] * len(batch)}, batch.keys)
    encoded = encode_texts(singles, tokenizer, max_length, template, {
        "side": pa.array(batch["side"], pa.int64()), "matches": pa.array(batch["matches"], pa.list_(pa.string()))})
    return Encoded(encoded.table.drop_columns("second_ids"), encoded.counts)


def validate(table: pa.Table, manifest: Manifest) -> None:
    """Check that there are no labels, that the metrics are of searches, and that every row has a side."""
    if manifest.labels or not set(manifest.metrics) <= set(METRICS):
        raise InputError(f"{manifest.task}: kind {manifest.kind} with {len(manifest.labels)} labels and metric "
                         f"{', '.join(manifest.metrics)}; expected no labels and {' or '.join(METRICS)}")
    sides = pc.unique(table["side"]).to_pylist()
    if not set(sides) <= set(range(len(SIDES))):
        raise InputError(f"{manifest.task}: sides {', '.join(map(str, sides))}; expected 0 ({SIDES[0]}) or 1 "
                         f"({SIDES[1]})")


def show(row: Mapping[str, Any], manifest: Manifest, tokenizer: Any) -> str:
    """The side, the keys of matches, and the text with its ids."""
    keys = " ".join(row["matches"]).strip() or ("none" if row["matches"] else "not given")
    return "\n".join([f"{SIDES[row['side']]:<9} matches {keys}", *show_ids(row, manifest, tokenizer)])
