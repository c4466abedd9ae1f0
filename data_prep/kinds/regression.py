"""One text or two with a score: similarity, relatedness."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from data_prep.base.errors import InputError
from data_prep.kinds.kind import Encoded
from data_prep.kinds.rows import Record, Row, TextBatch
from data_prep.kinds.segments import encode_texts, show_ids
from data_prep.shards.manifest import EMPTY, NO_LABEL_GIVEN, NO_TEXT, Manifest
from data_prep.shards.template import InputTemplate
from data_prep.tasks.task import Task

METRICS = ("spearman", "pearson")
columns: Mapping[str, str] = {"first_ids": "token_ids", "second_ids": "token_ids", "score": "number"}
fields: Mapping[str, tuple[str, ...]] = {
    "first": ("premise", "text", "sentence", "sentence1", "text1"), "second": ("hypothesis", "sentence2", "text2"),
    "score": ("label", "similarity", "similarity_score", "relatedness")}
texts: tuple[str, ...] = ("first", "second")
noised: tuple[str, ...] = ("first", "second")


def read(record: Record, task: Task) -> Row | str:
    """The texts and the score, NaN for none. Left out: no text, no score among rows with scores.

    Raises InputError for a score that is not a number or outside the task's `score_range`; a decimal comma is read.
    """
    first, second = record.values["first"], record.values.get("second", "")
    spelt = record.values.get("score", "")
    if first is None or second is None:
        return NO_TEXT
    if record.labelled and not spelt:
        return NO_LABEL_GIVEN
    if spelt and not record.labelled:
        raise InputError(f"score {spelt!r}, but the first row has none; give all rows a score, or none")
    if not first.strip() and not second.strip():
        return EMPTY
    return Row(record.row, {"first": first, "second": second, "score": _number(spelt, task)}, record.key)


def _number(spelt: str, task: Task) -> float:
    if not spelt:
        return math.nan
    try:
        score = float(spelt.replace(",", "."))
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"score {spelt!r} is not a number; correct it, remove the row, or name the task of the file")
    low, high = task.score_range or (score, score)
    if not low <= score <= high:
        raise InputError(f"score {spelt} is outside {low:g} to {high:g} ({task.name}); correct it, remove the row, or "
                         "name the task of the file")
    return score


def encode(batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
    """Token ids of both texts of each row, and its score."""
    return encode_texts(batch, tokenizer, max_length, template, {"score": pa.array(batch["score"], pa.float64())})


def validate(table: pa.Table, manifest: Manifest) -> None:
    """Check that there are no labels, that the metrics are of numbers, and that scores lie in the range."""
    check_scores(table, manifest, METRICS)


def check_scores(table: pa.Table, manifest: Manifest, metrics: tuple[str, ...]) -> None:
    """Check that there are no labels and no metrics but `metrics`, and that scores are NaN or lie in the range."""
    if manifest.labels or not set(manifest.metrics) <= set(metrics):
        raise InputError(f"{manifest.task}: kind {manifest.kind} with {len(manifest.labels)} labels and metric "
                         f"{', '.join(manifest.metrics)}; expected no labels and {' or '.join(metrics)}")
    scores = table["score"].to_numpy()
    low, high = manifest.score_range or (-np.finfo(float).max, np.finfo(float).max)
    if (wrong := scores[(scores < low) | (scores > high)]).size:
        raise InputError(f"{manifest.task}: score {wrong[0]:g} is outside {low:g} to {high:g}; build the cell again")


def show(row: Mapping[str, Any], manifest: Manifest, tokenizer: Any) -> str:
    """The score, and both texts with their ids."""
    score = "none" if math.isnan(row["score"]) else f"{row['score']:g}"
    return "\n".join([f"score   {score}", *show_ids(row, manifest, tokenizer)])
