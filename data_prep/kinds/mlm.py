"""Unlabelled text for masked language modelling: one text, or two that are read together; never a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from tokenizers import Tokenizer

from data_prep.base.errors import InputError
from data_prep.kinds.kind import Encoded
from data_prep.kinds.rows import Record, Row, TextBatch
from data_prep.kinds.segments import encode_texts, show_ids
from data_prep.shards.manifest import BLANK, MORE_TEXTS, Manifest
from data_prep.shards.template import InputTemplate
from data_prep.tasks.task import Task

METRIC = "perplexity"
columns: Mapping[str, str] = {"first_ids": "token_ids", "second_ids": "token_ids"}
fields: Mapping[str, tuple[str, ...]] = {"texts": ("text",)}
texts: tuple[str, ...] = ("first", "second")
noised: tuple[str, ...] = ("first", "second")


def read(record: Record, task: Task) -> Row | str:
    """One text or two; of two, a blank one is dropped. Left out: blank lines, and more than two texts."""
    given = record.values["texts"]
    texts = [text or "" for text in ([given] if isinstance(given, str) else given)]
    if not any(text.strip() for text in texts):
        return BLANK
    if len(texts) > 2:
        return MORE_TEXTS
    first, *more = [text for text in texts if text.strip()]
    return Row(record.row, {"first": first, "second": more[0] if more else ""}, record.key)


def encode(batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
    """Token ids of each text. Masking is done in training, anew in every epoch."""
    return encode_texts(batch, tokenizer, max_length, template, {})


def validate(table: pa.Table, manifest: Manifest) -> None:
    """Check that there are no labels, that the metric is perplexity, and that the tokenizer has a mask token."""
    if manifest.labels or manifest.metrics != [METRIC]:
        raise InputError(f"{manifest.task}: kind {manifest.kind} with {len(manifest.labels)} labels and metric "
                         f"{', '.join(manifest.metrics)}; expected no labels and {METRIC}")
    if manifest.tokenizer.mask_id is None:
        raise InputError(f"{manifest.task}: tokenizer {manifest.tokenizer.name} has no mask token, which kind "
                         f"{manifest.kind} needs; choose one that has")


def show(row: Mapping[str, Any], manifest: Manifest, tokenizer: Any) -> str:
    """Each text with its ids."""
    return "\n".join(show_ids(row, manifest, tokenizer))
