"""Questions and paragraphs: spans in pieces lead back to the answers; windows cover a paragraph and overlap."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, normalizers

from data_prep.base.errors import InputError
from data_prep.kinds import span_qa
from data_prep.kinds.rows import Record, Row, TextBatch
from data_prep.kinds.span_qa import ELSEWHERE, INSIDE, NO_WINDOW, NOT_FOUND
from data_prep.shards.assemble import assemble
from data_prep.shards.columns import cell_features
from data_prep.shards.read import open_cell
from data_prep.shards.template import InputTemplate, derive_template
from data_prep.tasks import TASKS
from data_prep.tasks.task import MAY_HAVE_NONE
from data_prep.tokenizer import load_tokenizer
from tests.data_prep.conftest import sentences
from tests.random_cells import PLAIN, write_random_cell


def record(context: str, answers: Any, question: str = "q", **more: Any) -> Record:
    return Record(5, {"question": question, "context": context, "answers": answers, **more}, True, "k", "sw")


def read(context: str, answers: Any, **more: Any) -> Row:
    row = span_qa.read(record(context, answers, **more), TASKS["xquad"])
    assert isinstance(row, Row)
    return row


@pytest.mark.parametrize(("answers", "texts", "place", "note"), [
    ([{"text": "cat", "answer_start": 4}], ["cat"], (4, 7), ""),
    ({"text": ["cat", "sat"], "answer_start": [4, 8]}, ["cat", "sat"], (4, 7), ""),
    ({"text": "sat", "start": 8}, ["sat"], (8, 11), ""),
    ("cat", ["cat"], (4, 7), ""), (["cat"], ["cat"], (4, 7), ""),
    ([{"text": "the", "answer_start": 14}], ["the"], (15, 18), ELSEWHERE),
    ([{"text": "dog", "answer_start": 4}, {"text": "sat", "answer_start": 8}], ["dog", "sat"], (8, 11), ""),
    ([{"text": "dog", "answer_start": 4}], ["dog"], (-1, -1), NOT_FOUND),
    ([{"text": "cat", "answer_start": -3}], ["cat"], (4, 7), ELSEWHERE),
    ([{"text": "", "answer_start": 0}], [], (-1, -1), ""), ([], [], (-1, -1), ""), (None, [], (-1, -1), ""),
], ids=str)
def test_answers_of_records(answers: Any, texts: list[str], place: tuple[int, int], note: str) -> None:
    values = read("the cat sat on the mat", answers).values
    assert (values["answers"], (values["begin"], values["end"]), values["note"]) == (texts, place, note)
    assert (values["language"], values["nullable"]) == ("sw", 0)


def test_questions_without_an_answer() -> None:
    assert read("a", [], **{MAY_HAVE_NONE: True}).values["answers"] == [""]
    assert read("a", {"text": [], "answer_start": []}, **{MAY_HAVE_NONE: True}).values["answers"] == [""]
    assert read("a", None, **{MAY_HAVE_NONE: True}).values["answers"] == []
    adapt = TASKS["squad2"].adapt
    assert adapt is not None
    assert MAY_HAVE_NONE in adapt({"question": "q", "context": "a", "answers": []})


@pytest.mark.parametrize(("context", "question"), [("a", " "), (" ", "q"), (None, "q"), ("a", None)])
def test_texts_are_needed(context: str | None, question: str | None) -> None:
    assert span_qa.read(record(context, [], question), TASKS["xquad"]) == "missing text"  # type: ignore[arg-type]


@pytest.mark.parametrize("answers", [[{"start": 1}], [3], {"text": 3}, [{"text": "a", "start": "1"}]])
def test_answers_in_another_form(answers: Any) -> None:
    with pytest.raises(InputError, match=r"expected .*answer_start"):
        span_qa.read(record("a", answers), TASKS["xquad"])


def batch_of(rows: list[Row]) -> TextBatch:
    batch = TextBatch()
    for number, row in enumerate(rows):
        batch.add(number, row.values, f"key {number}")
    return batch


def spelt(row: dict[str, Any]) -> str:
    """The labelled span of a row of a cell, decoded from its columns."""
    text: str = row["context"][row["offsets"][2 * row["start"]] : row["offsets"][2 * row["end"] + 1]]
    return text


@pytest.mark.parametrize("max_length", [8, 17, 40, 400])
def test_windows(tokenizer_folder: Path, max_length: int) -> None:
    """They cover the paragraph in order, each is what the tokenizer makes of the text, and all that can hold the span
    are labelled with it."""
    loaded = load_tokenizer(str(tokenizer_folder))
    tokenizer, template = loaded.backend_tokenizer, derive_template(loaded)
    draw, rows = random.Random(max_length), []
    for size in (1, 1, 2, 5, 12, 12, 12):
        context = "  ".join(draw.choices(sentences(50), k=size))
        words = context.split()
        answer = " ".join(words[(at := draw.randrange(len(words))) : at + draw.choice([1, 2, 9])])
        found = context.find(answer)
        answers = [{"text": answer, "answer_start": found}] if found >= 0 else []
        rows += [read(context, answers, question=" ".join(draw.choices(sentences(50), k=draw.choice([1, 9])))),
                 read(context, [], question="q")]
    encoded = span_qa.encode(batch_of(rows), tokenizer, max_length, template)
    wanted = {field.name: field.type for field in cell_features(span_qa.columns).arrow_schema}
    assert {field.name: field.type for field in encoded.table.schema} == wanted
    table = encoded.table.to_pylist()
    room = max_length - template.frames[1].specials
    truncated = no_window = 0
    for number, row in enumerate(rows):
        question = tokenizer.encode(row.values["question"], add_special_tokens=False).ids
        whole = tokenizer.encode(row.values["context"], add_special_tokens=False)
        own = [one for one in table if one["id"] == number]
        kept = question[: min(64, room // 2)]
        truncated += kept != question
        size = room - len(kept)
        step = min(128, max(1, size // 2))
        assert [one["window"] for one in own] == list(range(len(own)))
        assert len(own) == 1 or len(whole.ids) > size + (len(own) - 2) * step, "one window too many"
        covered: set[int] = set()
        for one in own:
            begin = one["window"] * step
            places = range(begin, begin + len(one["second_ids"]))
            covered |= set(places)
            assert one["second_ids"] == whole.ids[begin : begin + size]
            assert (one["first_ids"], one["key"]) == (kept, f"key {number}")
            assert one["length"] == template.frames[1].specials + len(kept) + len(one["second_ids"]) <= max_length
            built = assemble(kept, one["second_ids"], max_length, template).tolist()
            assert built[one["context_at"] :][: len(places)] == one["second_ids"]
        assert covered == set(range(len(whole.ids)))
        answer = row.values["answers"]
        touched = [at for at, (b, e) in enumerate(whole.offsets)
                   if answer and b < row.values["end"] and e > row.values["begin"]]
        for one in own:
            here = touched and one["window"] * step <= touched[0] and touched[-1] < one["window"] * step + size
            assert (one["start"] >= 0) == bool(here)
            assert not here or spelt(one) == answer[0]
        no_window += bool(touched) and all(one["start"] < 0 for one in own)
    assert encoded.counts == {"rows": len(rows), "truncated": truncated}
    assert encoded.kept == ({NO_WINDOW: no_window} if no_window else {})


def with_spaces() -> Tokenizer:
    """A tokenizer whose pieces hold the space before them, as SentencePiece's without a pre-tokenizer do; compatibility
    forms are spelt out, and one character becomes three pieces."""
    pieces = [("<unk>", 0.0), *((piece, -1.0) for piece in ("▁the", "▁cat", "▁", "s", "31.", "1", "⁄", "2", "▁(", ")"))]
    tokenizer = Tokenizer(models.Unigram(pieces, 0))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" ", "▁")])
    return tokenizer


@pytest.mark.parametrize(("context", "answer", "decoded", "notes"), [
    ("the cats", "cats", "cats", {}), (" the  cats", "cats", "cats", {}), ("the cat\u00a0", "cat", "cat", {}),
    (" the 31.", "31", "31.", {INSIDE: 1}), ("cat ½ the", "½", "½", {}), (" the cat", "the cat", "the cat", {}),
    ("the cat ", "cat ", "cat", {}), ("cat cats", "s", "s", {}),
], ids=str)
def test_pieces_and_characters(context: str, answer: str, decoded: str, notes: dict[str, int]) -> None:
    row = read(context, [{"text": answer, "answer_start": context.index(answer)}])
    encoded = span_qa.encode(batch_of([row]), with_spaces(), 40, PLAIN)
    assert spelt(encoded.table.to_pylist()[0]) == decoded
    assert encoded.kept == notes


def test_a_paragraph_that_the_tokenizer_deletes() -> None:
    tokenizer = with_spaces()
    tokenizer.normalizer = normalizers.Replace("x", "")
    encoded = span_qa.encode(batch_of([read("xx", [{"text": "x", "answer_start": 1}])]), tokenizer, 40, PLAIN)
    row = encoded.table.to_pylist()[0]
    assert row["second_ids"]
    assert spelt(row) == "xx"


def test_answers_that_occur_nowhere_and_too_many_windows() -> None:
    rows = [read("cat", [{"text": "dog", "answer_start": 0}]), read("cat", [])]
    encoded = span_qa.encode(batch_of(rows), with_spaces(), 40, PLAIN)
    assert encoded.table["start"].to_pylist() == encoded.table["end"].to_pylist() == [-2, -1]
    assert encoded.kept == {NOT_FOUND: 1}
    with pytest.raises(InputError, match="2,498 windows, more than 1,024; set a larger --max_length"):
        span_qa.encode(batch_of([read("s" * 2500, [])]), with_spaces(), 8, PLAIN)


@pytest.mark.parametrize("change", [{"start": [9]}, {"end": [-1]}, {"start": [-3], "end": [-3]}, {"offsets": [[1]]}])
def test_damaged_spans(tmp_path: Path, change: dict[str, Any]) -> None:
    cell = open_cell(write_random_cell(tmp_path, "x/train/en", 3, kind="span_qa"))
    table = cell.table.slice(1, 1).combine_chunks()
    span_qa.validate(table, cell.manifest)
    for name, value in change.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(value, table.schema.field(at).type))
    with pytest.raises(InputError, match=r"outside its window|two offsets"):
        span_qa.validate(table, cell.manifest)


def test_shown_rows() -> None:
    encoded = span_qa.encode(batch_of([read("the cats", [{"text": "cats", "answer_start": 4}], question="the")]),
                             with_spaces(), 40, InputTemplate(single="0 A 2", pair="0 A 2 B 2"))
    shown = span_qa.show(encoded.table.to_pylist()[0], None, with_spaces())  # type: ignore[arg-type]
    assert "answers  cats" in shown
    assert "span     cats (pieces" in shown
    assert shown.endswith("window 0 the cats")
