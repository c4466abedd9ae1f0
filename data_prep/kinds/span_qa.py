"""Extractive question answering: a question, and a paragraph in which the answer is a span.

A paragraph that is too long for one input is cut into overlapping windows, as in BERT's `run_squad.py`, which XTREME
uses: a window begins every `STRIDE` pieces, or half a window where that is less. Each window is a row.

Columns beside the ids of question (`first_ids`) and window (`second_ids`):
window      number of the window within its row, from 0
context_at  position of the window's first piece in the model input
start, end  first and last piece of the labelled span, positions in `second_ids`; NOT_HERE in windows without the whole
            span, and where there is none; NOWHERE if the answer given does not occur in the paragraph
offsets     first character and character behind the last, in `context`, of each piece of the window; without the white
            space around it that some tokenizers count
context     the whole paragraph
answers     gold answers, [""] for a question without one, [] where they are not known
language    of the paragraph: normalisation of answers may depend on it (MLQA)
nullable    1 where the task has questions without an answer, else 0
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from tokenizers import Encoding, Tokenizer

from data_prep.base.errors import InputError
from data_prep.kinds.kind import Encoded
from data_prep.kinds.rows import Record, Row, TextBatch
from data_prep.kinds.segments import token_lists
from data_prep.shards.columns import flat_values
from data_prep.shards.manifest import MOST_WINDOWS, NO_TEXT, WINDOW, Manifest
from data_prep.shards.template import UNKNOWN_CHARACTER, InputTemplate
from data_prep.tasks.task import MAY_HAVE_NONE, Task

LONGEST_QUESTION = 64  # pieces
STRIDE = 128  # pieces
NOT_HERE, NOWHERE = -1, -2
INSIDE = "the answer begins or ends inside a piece: labelled are all pieces that it touches"
ELSEWHERE = "the answer is not at its offset: labelled is the nearest place of its text"
NOT_FOUND = "no answer occurs in the paragraph: no span is labelled"
NO_WINDOW = "no window holds the whole answer: labelled as without one"

METRICS = ("answer_f1", "exact_match", "mlqa_f1", "mlqa_exact_match", "squad2_f1", "squad2_exact_match")
columns: Mapping[str, str] = {
    "first_ids": "token_ids", "second_ids": "token_ids", WINDOW: "integer", "context_at": "integer",
    "start": "integer", "end": "integer", "offsets": "integers", "context": "text", "answers": "texts",
    "language": "text", "nullable": "integer"}
fields: Mapping[str, tuple[str, ...]] = {
    "question": ("query",), "context": ("paragraph", "passage", "document"), "answers": ("answer",)}
texts: tuple[str, ...] = ()
noised: tuple[str, ...] = ("question",)  # as in NoiseQA (Ravichander et al. 2021); answers are places in the paragraph


def read(record: Record, task: Task) -> Row | str:
    """The texts, the gold answers, and the characters of the first answer that occurs in the paragraph.

    Left out: no question or no paragraph. Blank answers count as none, since test files hold them in place of hidden
    ones; a question without an answer is one with an empty list, in a task that has such questions.
    """
    question, context = record.values["question"], record.values["context"]
    if not (question and question.strip() and context and context.strip()):
        return NO_TEXT
    given, may_have_none = record.values.get("answers"), MAY_HAVE_NONE in record.values
    answers = [(text, start) for text, start in _answers(given) if text.strip()]
    places = (_place(context, text, start) for text, start in answers)
    begin, end, moved = next((place for place in places if place is not None), (NOT_HERE, NOT_HERE, False))
    found = [text for text, _ in answers]
    if not found and may_have_none and given not in (None, ""):
        found = [""]
    note = ELSEWHERE if moved else NOT_FOUND if answers and begin < 0 else ""
    return Row(record.row, {
        "question": question, "context": context, "answers": found, "begin": begin, "end": end, "note": note,
        "language": record.language, "nullable": int(may_have_none)}, record.key)


def _answers(given: Any) -> list[tuple[str, int | None]]:
    """(text, first character) of each answer, in SQuAD's form, in the hub's (lists by name), or as texts alone."""
    if isinstance(given, dict) and isinstance(given.get("text"), list | str):
        several, starts = given["text"], given.get("answer_start", given.get("start"))
        several = [several] if isinstance(several, str) else several
        starts = starts if isinstance(starts, list) else [starts] * len(several)
        given = [{"text": text, "start": start} for text, start in zip(several, starts, strict=False)]
    found = []
    for one in [given] if isinstance(given, str | dict) and given else given or []:
        one = {"text": one} if isinstance(one, str) else one
        start = one.get("answer_start", one.get("start")) if isinstance(one, dict) else None
        if not (isinstance(one, dict) and isinstance(one.get("text"), str) and type(start) in (int, type(None))):
            raise InputError(f"answer {str(one)[:80]!r} has no text, or its start is no number; expected "
                             '{"text": ..., "answer_start": ...}')
        found.append((one["text"], start))
    return found


def _place(context: str, text: str, start: int | None) -> tuple[int, int, bool] | None:
    """(first character, character behind the last, whether `start` was wrong) of `text`; None if it does not occur.

    Without a start, the first occurrence counts.
    """
    if start is not None and start >= 0 and context.startswith(text, start):
        return start, start + len(text), False
    places, at = [], context.find(text)
    while at >= 0:
        places.append(at)
        at = context.find(text, at + 1)
    if not places:
        return None
    best = places[0] if start is None else min(places, key=lambda place: abs(place - start))
    return best, best + len(text), start is not None


class Pieces(NamedTuple):
    """Pieces of one paragraph: ids, and (P, 2) characters, white space around a piece left out."""

    ids: np.ndarray
    spans: np.ndarray

    def covering(self, begin: int, end: int) -> tuple[int, int]:
        """First and last piece that share a character with [begin, end); (NOWHERE, NOWHERE) if none does."""
        touched = np.flatnonzero((self.spans[:, 0] < end) & (self.spans[:, 1] > begin))
        return (int(touched[0]), int(touched[-1])) if touched.size else (NOWHERE, NOWHERE)


def encode(batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
    """Windows of each row. A paragraph is tokenised once for all of its questions in the batch.

    `truncated` counts questions of more than LONGEST_QUESTION pieces, or of more than half of the input, which are cut.
    Raises InputError for a paragraph of more than MOST_WINDOWS windows.
    """
    contexts = {text: number for number, text in enumerate(dict.fromkeys(batch["context"]))}
    encodings = tokenizer.encode_batch(list(contexts), add_special_tokens=False)
    pieces = [_pieces(text, one, tokenizer) for text, one in zip(contexts, encodings, strict=True)]
    frame = template.frames[1]
    room = max_length - frame.specials
    longest = min(LONGEST_QUESTION, room // 2)
    around = len(frame.before[0]) + len(frame.between[0])
    windows = _Windows()
    truncated, kept = 0, Counter[str]()
    for row, question in enumerate(token_lists(tokenizer, batch["question"])):
        truncated += len(question) > longest
        question = question[:longest]
        note = batch["note"][row]
        context, begin, end = batch["context"][row], batch["begin"][row], batch["end"][row]
        own = pieces[contexts[context]]
        span = own.covering(begin, end) if begin >= 0 else (NOWHERE if note == NOT_FOUND else NOT_HERE,) * 2
        labelled = windows.add(row, question, own, span, room - len(question), around)
        if span[0] >= 0:
            cut = context[own.spans[span[0], 0] : own.spans[span[1], 1]] != context[begin:end].strip()
            kept[INSIDE] += cut
            kept[NO_WINDOW] += not labelled
        kept[note] += note != ""
    table = windows.table(batch, pa.array(list(contexts), pa.string()), [contexts[text] for text in batch["context"]],
                          frame.specials)
    return Encoded(table, {"rows": len(batch), "truncated": truncated}, +kept)


class _Windows:
    """Windows of a batch, as they are cut."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.numbers: list[tuple[int, int, int, int]] = []  # window, context_at, start, end
        self.firsts: list[Sequence[int]] = []
        self.seconds: list[np.ndarray] = []
        self.offsets: list[np.ndarray] = []

    def add(
        self, row: int, question: Sequence[int], own: Pieces, span: tuple[int, int], size: int, around: int
    ) -> bool:
        """Cut one row into windows of at most `size` pieces; returns whether one of them holds the whole span."""
        first, last = span
        step, total = min(STRIDE, max(1, size // 2)), len(own.ids)
        count = 1 + -(-max(0, total - size) // step)
        if count > MOST_WINDOWS:
            raise InputError(f"a paragraph of {total:,} pieces in windows of {size}: {count:,} windows, more than "
                             f"{MOST_WINDOWS:,}; set a larger --max_length")
        labelled = False
        for window in range(count):
            begin, end = window * step, min(window * step + size, total)
            here = begin <= first and last < end and first >= 0
            labelled |= here
            missing = min(first, NOT_HERE)
            self.rows.append(row)
            self.numbers.append((window, around + len(question), *((first - begin, last - begin) if here else
                                                                   (missing, missing))))
            self.firsts.append(question)
            self.seconds.append(own.ids[begin:end])
            self.offsets.append(own.spans[begin:end].reshape(-1))
        return labelled

    def table(self, batch: TextBatch, contexts: pa.Array, of_row: Sequence[int], specials: int) -> pa.Table:
        """The columns of a cell."""
        rows = np.array(self.rows)
        ids = pa.array(batch.ids, pa.int64())
        keys = pa.array(batch.keys) if batch.keys else ids.cast(pa.string())
        numbers = np.array(self.numbers, dtype=np.int64).T
        first_ids, second_ids = _lists(self.firsts), _lists(self.seconds)
        lengths = specials + np.diff(first_ids.offsets) + np.diff(second_ids.offsets)
        given = {"id": ids, "key": keys, "answers": pa.array(batch["answers"], pa.list_(pa.string())),
                 "language": pa.array(batch["language"], pa.string()),
                 "nullable": pa.array(batch["nullable"], pa.int64())}
        return pa.table({
            **{name: column.take(pa.array(rows)) for name, column in given.items()},
            "context": contexts.take(pa.array(np.array(of_row)[rows])),
            "first_ids": first_ids, "second_ids": second_ids, "offsets": _lists(self.offsets),
            **dict(zip((WINDOW, "context_at", "start", "end"), map(pa.array, numbers), strict=True)),
            "length": pa.array(lengths.astype(np.int32))})


def _lists(rows: Sequence[Sequence[int] | np.ndarray]) -> pa.ListArray:
    """Column of lists of int32."""
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(rows, dtype=np.int32, casting="unsafe")))


def _pieces(text: str, encoding: Encoding, tokenizer: Tokenizer) -> Pieces:
    """Pieces of a paragraph; one of which the tokenizer leaves nothing becomes U+FFFD."""
    ids = np.array(encoding.ids, dtype=np.int32)
    if not ids.size:
        ids = np.array(token_lists(tokenizer, [UNKNOWN_CHARACTER])[0], dtype=np.int32)
        return Pieces(ids, np.tile(np.array([0, len(text)], dtype=np.int32), (len(ids), 1)))
    begins, ends = np.array(encoding.offsets, dtype=np.int32).T
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    space = _white_space()
    at = np.arange(len(codes) + 1, dtype=np.int32)
    blank = np.append(space[np.minimum(codes, len(space) - 1)], False)
    following = np.minimum.accumulate(np.where(blank, len(codes), at)[::-1])[::-1]  # next character that is not blank
    behind = np.maximum.accumulate(np.append(0, np.where(blank[:-1], 0, at[1:])))  # end of the one before
    begins = np.minimum(following[begins], ends)
    return Pieces(ids, np.stack([begins, np.maximum(np.minimum(behind[ends], ends), begins)], axis=1, dtype=np.int32))


@cache
def _white_space() -> np.ndarray:
    """(n,) bool: whether the character of this code is white space; none is from code n - 1 on."""
    codes = [code for code in range(0x10000) if chr(code).isspace()]
    found = np.zeros(max(codes) + 2, dtype=bool)
    found[codes] = True
    return found


def validate(table: pa.Table, manifest: Manifest) -> None:
    """Check that there are no labels, that the metrics are of answers, and that spans and offsets fit the windows."""
    if manifest.labels or not set(manifest.metrics) <= set(METRICS):
        raise InputError(f"{manifest.task}: kind {manifest.kind} with {len(manifest.labels)} labels and metric "
                         f"{', '.join(manifest.metrics)}; expected no labels and {' or '.join(METRICS)}")
    pieces = np.diff(_bounds(table, "second_ids"))
    start, end = (flat_values(table, name, many=False) for name in ("start", "end"))
    if not ((start >= NOWHERE) & (start <= end) & (end < pieces) & ((start >= 0) | (start == end))).all():
        raise InputError(f"{manifest.task}: a labelled span lies outside its window")
    if (np.diff(_bounds(table, "offsets")) != 2 * pieces).any():
        raise InputError(f"{manifest.task}: not two offsets for every piece of a window")


def _bounds(table: pa.Table, name: str) -> np.ndarray:
    """(rows + 1,) positions at which the lists of a column begin and end."""
    sizes = [chunk.value_lengths().to_numpy(zero_copy_only=False) for chunk in table.column(name).chunks]
    return np.cumsum(np.concatenate([[0], *sizes]))


def show(row: Mapping[str, Any], manifest: Manifest, tokenizer: Any) -> str:
    """Question, gold answers, the labelled span, and the text of the window."""
    places = np.array(row["offsets"]).reshape(-1, 2)
    span = "none in this window"
    if row["start"] >= 0:
        begin, end = places[row["start"], 0], places[row["end"], 1]
        span = f"{row['context'][begin:end]} (pieces {row['start']} to {row['end']}, characters {begin} to {end})"
    answers = " | ".join(answer or "no answer" for answer in row["answers"]) or "not known"
    return "\n".join([
        f"question {tokenizer.decode(row['first_ids'])}", f"answers  {answers}", f"span     {span}",
        f"window {row['window']} {row['context'][places[0, 0] : places[-1, 1]]}"])
