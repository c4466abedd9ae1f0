"""One text or two with a class: sentence pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from tokenizers import Tokenizer

from data_prep.base.errors import InputError
from data_prep.kinds.kind import Encoded
from data_prep.kinds.rows import NO_LABEL, Record, Row, TextBatch
from data_prep.kinds.segments import encode_texts, show_ids
from data_prep.shards.manifest import EMPTY, NO_CONSENSUS, NO_LABEL_GIVEN, NO_TEXT, Manifest
from data_prep.shards.template import InputTemplate
from data_prep.tasks import TASKS
from data_prep.tasks.task import Task

METRICS = ("accuracy", "f1")
columns: Mapping[str, str] = {"first_ids": "token_ids", "second_ids": "token_ids", "label": "label"}
fields: Mapping[str, tuple[str, ...]] = {
    "first": ("premise", "text", "sentence", "sentence1", "text1"), "second": ("hypothesis", "sentence2", "text2"),
    "label": ("class", "category")}
texts: tuple[str, ...] = ("first", "second")
noised: tuple[str, ...] = ("first", "second")


def read(record: Record, task: Task) -> Row | str:
    """The texts and the index of the label. Left out: no text, no label among labelled rows, no consensus."""
    first, second = record.values["first"], record.values.get("second", "")
    spelt = record.values.get("label", "")
    label = spelt.lower()
    if first is None or second is None:
        return NO_TEXT
    if label in task.no_consensus:
        return NO_CONSENSUS
    if record.labelled and not label:
        return NO_LABEL_GIVEN
    if label and not record.labelled:
        raise InputError(f"label {label!r}, but the first row has none; give all rows a label, or none")
    if label and label not in task.label_index:
        others = [other.name for other in TASKS.values() if label in other.label_index]
        hint = f", but of {', '.join(others[:3])}{' and others' * (len(others) > 3)}" if others else ""
        raise InputError(f"label {spelt!r} is not one of {', '.join(task.labels)} ({task.name}){hint}; correct "
                         "it, remove the row, or name the task of the file")
    if not first.strip() and not second.strip():
        return EMPTY
    index = task.label_index[label] if label else NO_LABEL
    return Row(record.row, {"first": first, "second": second, "label": index}, record.key)


def encode(batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
    """Token ids of both texts of each row, and its label index."""
    return encode_texts(batch, tokenizer, max_length, template, {"label": pa.array(batch["label"], pa.int64())})


def validate(table: pa.Table, manifest: Manifest) -> None:
    """Check that there are two labels or more and that the metrics are of classes."""
    if len(manifest.labels) < 2 or not set(manifest.metrics) <= set(METRICS):
        raise InputError(f"{manifest.task}: kind {manifest.kind} with {len(manifest.labels)} labels and metric "
                         f"{', '.join(manifest.metrics)}; expected two labels or more and {' or '.join(METRICS)}")


def show(row: Mapping[str, Any], manifest: Manifest, tokenizer: Any) -> str:
    """The label, and both texts with their ids."""
    label = manifest.labels[row["label"]] if row["label"] >= 0 else "no label"
    return "\n".join([f"label   {label}", *show_ids(row, manifest, tokenizer)])
