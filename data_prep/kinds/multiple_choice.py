"""A premise, perhaps a question, and two choices or more, of which one is right.

Each choice is an input of its own, with the premise and the question behind it as its first text. A row of a cell holds
all its choices: `second_ids` their ids in a row, and `ends` where each of them ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from data_prep.base.errors import InputError
from data_prep.kinds.kind import Encoded
from data_prep.kinds.rows import NO_LABEL, Record, Row, TextBatch
from data_prep.kinds.segments import list_column, token_lists
from data_prep.shards.columns import flat_values
from data_prep.shards.manifest import EMPTY, NO_LABEL_GIVEN, NO_TEXT, Manifest
from data_prep.shards.template import InputTemplate
from data_prep.tasks.task import Task

METRIC = "accuracy"
MOST_CHOICES = 1024  # an input's number among those of its row has ten bits
LISTED = tuple(f"choice{number}" for number in range(1, 10))
columns: Mapping[str, str] = {
    "first_ids": "token_ids", "second_ids": "token_ids", "ends": "integers", "label": "choice"}
fields: Mapping[str, tuple[str, ...]] = {
    "premise": ("context", "passage", "text"), "question": (), "choices": ("options", "endings"),
    **dict.fromkeys(LISTED, ()), "label": ("answer", "correct")}
texts: tuple[str, ...] = ("first",)
noised: tuple[str, ...] = ("first", "choices")


def read(record: Record, task: Task) -> Row | str:
    """Premise and question joined, the choices, and the index of the right one.

    A record has `choices` as a list, or `choice1`, `choice2`, ... A label is an index from 0 on, a letter from A on,
    the text of a choice, or the name of its column; a task whose publisher counts otherwise adapts it. Left out: no
    text, an empty choice, no label among labelled rows. Raises InputError for another label, or fewer than two choices.
    """
    values = record.values
    listed = values.get("choices") or [values[name] for name in LISTED if name in values]
    choices = list(map(_text, listed)) if isinstance(listed, list | tuple) else []
    if not 2 <= len(choices) <= MOST_CHOICES:
        raise InputError(f"{len(choices)} choices, expected a list of 2 to {MOST_CHOICES}, or choice1, choice2, ...")
    first = " ".join(part for part in (_text(values.get("premise")), _text(values.get("question"))) if part)
    if not all(choices):
        return NO_TEXT
    if not first:
        return EMPTY
    label = str(values.get("label", "")).strip()
    if record.labelled and not label:
        return NO_LABEL_GIVEN
    if label and not record.labelled:
        raise InputError(f"label {label!r}, but the first row has none; give all rows a label, or none")
    return Row(record.row, {"first": first, "choices": choices, "label": _index(label, choices) if label else NO_LABEL},
               record.key)


def _text(value: Any) -> str:
    """A text without the spaces around it, which would double where texts are joined; "" for none."""
    return value.strip() if isinstance(value, str) else ""


def _index(label: str, choices: Sequence[str]) -> int:
    if label.lower() in LISTED[: len(choices)]:
        return LISTED.index(label.lower())
    letters = [chr(ord("a") + number) for number in range(min(26, len(choices)))]
    if label.lower() in letters:
        return letters.index(label.lower())
    index = int(label) if label.isascii() and label.isdigit() else -1
    if 0 <= index < len(choices):
        return index
    if choices.count(label) == 1:
        return choices.index(label)
    raise InputError(f"label {label[:80]!r} of {len(choices)} choices; expected 0 to {len(choices) - 1}, A to "
                     f"{letters[-1].upper()}, or the text of a choice; if they count from 1, give --labels 1=0,2=1,..")


def encode(batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
    """Token ids of each row's first text and of all its choices, and the index of the right one.

    Each choice is truncated beside the first text as a pair of texts is (`segments.encode_texts`), so the first text is
    kept as far as any input can hold it. `truncated` counts rows with an input that was cut.
    """
    counts = np.fromiter(map(len, batch["choices"]), dtype=np.int64, count=len(batch))
    owners = np.repeat(np.arange(len(batch)), counts)
    firsts = token_lists(tokenizer, batch["first"])
    seconds = token_lists(tokenizer, list(itertools.chain.from_iterable(batch["choices"])))
    n_first = np.fromiter(map(len, firsts), dtype=np.int64, count=len(firsts))[owners]
    n_second = np.fromiter(map(len, seconds), dtype=np.int64, count=len(seconds))
    single, pair = (frame.specials for frame in template.frames)
    budget, specials = max_length - pair, np.where(n_second > 0, pair, single)
    whole = n_first + n_second + specials
    for at in np.flatnonzero(whole > max_length).tolist():
        # where both are too long, the first stays the longer one if it was: it gets the odd token
        seconds[at] = seconds[at][: budget - 1 if n_first[at] > n_second[at] else budget]
    firsts = [ids[:budget] for ids in firsts]
    begins = np.cumsum(counts) - counts
    lengths = np.maximum.reduceat(np.minimum(whole, budget + specials), begins)
    cut = np.maximum.reduceat(whole, begins) > max_length
    kept = np.fromiter(map(len, seconds), dtype=np.int64, count=len(seconds))
    per_row = [list(itertools.chain.from_iterable(seconds[a : a + n]))
               for a, n in zip(begins.tolist(), counts.tolist(), strict=True)]
    ends = [np.cumsum(kept[a : a + n]).tolist() for a, n in zip(begins.tolist(), counts.tolist(), strict=True)]
    ids = pa.array(batch.ids, pa.int64())
    table = pa.table({
        "id": ids, "key": pa.array(batch.keys) if batch.keys else ids.cast(pa.string()),
        "first_ids": list_column(firsts), "second_ids": list_column(per_row), "ends": list_column(ends),
        "label": pa.array(batch["label"], pa.int64()), "length": pa.array(lengths.astype(np.int32))})
    return Encoded(table, {"rows": len(firsts), "truncated": int(cut.sum())})


def validate(table: pa.Table, manifest: Manifest) -> None:
    """Check that there are no class names, that the metric is accuracy, and that ends and labels fit the choices."""
    if manifest.labels or manifest.metrics != [METRIC]:
        raise InputError(f"{manifest.task}: kind {manifest.kind} with {len(manifest.labels)} labels and metric "
                         f"{', '.join(manifest.metrics)}; expected no labels and {METRIC}")
    if not table.num_rows:
        return
    ends = table["ends"].combine_chunks()
    counts, last = ends.value_lengths().to_numpy(), ends.offsets.to_numpy()[1:] - 1
    flat, label = flat_values(table, "ends", True), table["label"].to_numpy()
    rises = np.diff(flat, prepend=0) >= 0
    rises[ends.offsets.to_numpy()[:-1].clip(max=len(flat) - 1)] = True  # another row's first end may be lower
    if counts.min() < 2 or not rises.all() or flat.min() < 0 or (
            flat[last] != table["second_ids"].combine_chunks().value_lengths().to_numpy()).any():
        raise InputError(f"{manifest.task}: column ends does not divide the ids of every row into two choices or more")
    if label.min() < NO_LABEL or (label >= counts).any():
        raise InputError(f"{manifest.task}: labels {label.min()}..{label.max()} outside the choices of their rows")


def show(row: Mapping[str, Any], manifest: Manifest, tokenizer: Any) -> str:
    """The first text and every choice with their ids; the right one is marked."""
    lines = [f"{'first':<7} {tokenizer.decode(row['first_ids'])}", f"{'':<7} {' '.join(map(str, row['first_ids']))}"]
    for number, (begin, end) in enumerate(itertools.pairwise([0, *row["ends"]])):
        ids = row["second_ids"][begin:end]
        mark = " (right)" if number == row["label"] else ""
        lines += [f"{f'choice {number}':<8} {tokenizer.decode(ids)}{mark}", f"{'':<8} {' '.join(map(str, ids))}"]
    return "\n".join(lines if row["label"] >= 0 else ["label   no label", *lines])
