"""Multiple choice and translation ranking: records, rows as the tokenizer encodes them, the draw of negatives."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_prep.base.errors import InputError
from data_prep.kinds import KINDS
from data_prep.kinds.rows import Record, Row, TextBatch
from data_prep.kinds.translation_ranking import NEGATIVES
from data_prep.shards.assemble import assemble
from data_prep.shards.columns import cell_features
from data_prep.shards.manifest import read_manifest
from data_prep.shards.read import open_cell
from data_prep.shards.template import derive_template
from data_prep.sources.batches import BATCH_ROWS, FEWEST_ROWS, read_batches
from data_prep.tasks import TASKS
from data_prep.tokenizer import load_tokenizer
from tests.data_prep.conftest import sentences
from tests.random_cells import write_random_cell


def batch_of(firsts: list[str], choices: list[list[str]]) -> TextBatch:
    return TextBatch(list(range(len(firsts))), {"first": firsts, "choices": choices, "label": [0] * len(firsts)})


@pytest.mark.parametrize("max_length", [8, 9, 16, 17, 31, 128])
def test_every_choice_is_encoded_as_the_tokenizer_does(tokenizer_folder: Path, max_length: int) -> None:
    tokenizer = load_tokenizer(str(tokenizer_folder))
    draw, some = random.Random(max_length), sentences(50)
    firsts = [" ".join(draw.choices(some, k=draw.choice([1, 3, 12]))) for _ in range(100)]
    choices = [[" ".join(draw.choices(some, k=draw.choice([1, 1, 3, 12]))) for _ in range(draw.choice([2, 3, 5]))]
               for _ in range(100)]
    firsts[:3], choices[:2] = ["dog " * 200, "dog " * 200, "the dog"], [["dog " * 199, "dog"], ["dog " * 201, "dog"]]
    template = derive_template(tokenizer)
    encoded = KINDS["multiple_choice"].encode(
        batch_of(firsts, choices), tokenizer.backend_tokenizer, max_length, template)
    features = cell_features(KINDS["multiple_choice"].columns)
    assert encoded.table.schema.equals(features.arrow_schema, check_metadata=False)
    truncated = 0
    for first, texts, row in zip(firsts, choices, encoded.table.to_pylist(), strict=True):
        own = [tokenizer(first, text, truncation="longest_first", max_length=max_length)["input_ids"] for text in texts]
        built = [assemble(row["first_ids"], row["second_ids"][a:b], max_length, template).tolist()
                 for a, b in itertools.pairwise([0, *row["ends"]])]
        assert built == own
        assert row["length"] == max(map(len, own))
        truncated += any(len(tokenizer(first, text)["input_ids"]) > max_length for text in texts)
    assert encoded.counts == {"rows": 100, "truncated": truncated}


CHOICES = {"premise": "p ", "choice1": " a", "choice2": "b"}


@pytest.mark.parametrize(("values", "labelled", "expected"), [
    (CHOICES | {"label": "1"}, True, ("p", ["a", "b"], 1)),
    (CHOICES | {"label": "B", "question": "q?"}, True, ("p q?", ["a", "b"], 1)),
    (CHOICES | {"label": "choice2"}, True, ("p", ["a", "b"], 1)),
    ({"question": "q?", "choices": ["cat", "dog", "cow"], "label": "cow"}, True, ("q?", ["cat", "dog", "cow"], 2)),
    (CHOICES | {"label": ""}, False, ("p", ["a", "b"], -1)),
    (CHOICES | {"label": ""}, True, "no label"),
    (CHOICES | {"choice2": " ", "label": "0"}, True, "missing text"),
    (CHOICES | {"choice2": None, "label": "0"}, True, "missing text"),
    ({"premise": None, "choices": ["a", "b"], "label": "0"}, True, "both texts empty"),
    (CHOICES | {"label": "2"}, True, InputError("label '2' of 2 choices; expected 0 to 1, A to B")),
    (CHOICES | {"label": "-1"}, True, InputError("label '-1' of 2 choices")),
    ({"premise": "p", "choices": ["a", "a"], "label": "aa"}, True, InputError("label 'aa' of 2 choices")),
    (CHOICES | {"label": "0"}, False, InputError("label '0', but the first row has none")),
    ({"premise": "p", "choices": ["a"], "label": "0"}, True, InputError("1 choices, expected a list of 2 to 1024")),
    ({"premise": "p", "choices": "ab", "label": "0"}, True, InputError("0 choices, expected a list")),
], ids=str)
def test_records_of_choices(values: dict[str, Any], labelled: bool, expected: Any) -> None:
    record = Record(5, values, labelled, "k")
    if isinstance(expected, InputError):
        with pytest.raises(InputError, match=str(expected)):
            KINDS["multiple_choice"].read(record, TASKS["copa"])
        return
    if isinstance(expected, tuple):
        expected = Row(5, dict(zip(("first", "choices", "label"), expected, strict=True)), "k")
    assert KINDS["multiple_choice"].read(record, TASKS["copa"]) == expected


@pytest.mark.parametrize(("texts", "expected"), [
    (["a ", "b"], Row(5, {"source": "a", "target": "b"})), (["a", " "], "missing text"),
    (["a"], "wrong number of columns"), (["a", "b", "c"], "wrong number of columns")], ids=str)
def test_records_of_translations(texts: list[str], expected: Row | str) -> None:
    kind, task = KINDS["translation_ranking"], TASKS["translation_ranking"]
    assert kind.read(Record(5, {"texts": texts}), task) == expected
    if len(texts) == 2:
        assert kind.read(Record(5, {"source": texts[0], "target": texts[1]}), task) == expected


def ranked(tokenizer_folder: Path, sources: list[str], targets: list[str], first: int = 0) -> list[dict[str, Any]]:
    tokenizer = load_tokenizer(str(tokenizer_folder))
    batch = TextBatch(list(range(first, first + len(sources))), {"source": sources, "target": targets})
    kind = KINDS["translation_ranking"]
    return kind.encode(batch, tokenizer.backend_tokenizer, 128, derive_template(tokenizer)).table.to_pylist()


def test_negatives_are_other_translations_in_a_drawn_order(tokenizer_folder: Path) -> None:
    tokenizer = load_tokenizer(str(tokenizer_folder))
    targets = sorted({text for text in sentences(200) if text.strip()})[:40]
    targets += targets[:10]  # two sources with one translation
    sources = [f"source {number % 45}" for number in range(50)]  # and two translations of one source
    rows = ranked(tokenizer_folder, sources, targets, 7)
    own = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in targets]
    for at, row in enumerate(rows):
        choices = [row["second_ids"][a:b] for a, b in itertools.pairwise([0, *row["ends"]])]
        assert len(choices) == 1 + NEGATIVES
        assert choices[row["label"]] == own[at]
        assert all(choice in own for choice in choices)
        assert choices.count(own[at]) == 1
        same_source = [own[other] for other in range(50) if sources[other] == sources[at] and other != at]
        assert not [one for one in same_source if one != own[at] and one in choices]
    assert rows == ranked(tokenizer_folder, sources, targets, 7)
    assert rows != ranked(tokenizer_folder, sources, targets, 8)
    places = Counter(row["label"] for number in range(0, 1000, 50)
                     for row in ranked(tokenizer_folder, sources, targets, number))
    assert min(places.values()) > 200  # of 1,000 rows in four places
    with pytest.raises(InputError, match="row 3: no other translation to rank 'a dog' against"):
        ranked(tokenizer_folder, ["x"], ["a dog"], 3)
    assert [len(row["ends"]) for row in ranked(tokenizer_folder, ["x", "y"], ["a dog", "the cat"])] == [2, 2]


@pytest.mark.parametrize(("rows", "sizes"), [
    (1, [1]), (BATCH_ROWS, [BATCH_ROWS]), (BATCH_ROWS + 1, [BATCH_ROWS + 1]),
    (BATCH_ROWS + FEWEST_ROWS, [BATCH_ROWS, FEWEST_ROWS]),
    (2 * BATCH_ROWS + 5, [BATCH_ROWS, BATCH_ROWS + 5]), (0, [])])
def test_no_last_batch_of_a_few_rows(rows: int, sizes: list[int]) -> None:
    records = ((row + 1, Record(row, {"texts": ["a", "b"]}, key=str(row))) for row in range(rows))
    batches = list(read_batches(records, TASKS["bitext"], Counter(), "x"))
    assert [len(batch) for batch in batches] == sizes
    assert [row for batch in batches for row in batch.ids] == list(range(rows))
    assert all(len(batch.keys) == len(batch["first"]) == len(batch) for batch in batches)


@pytest.mark.parametrize("damage", [
    {"ends": [[1], [2, 3], [1, 2, 3, 4]]}, {"label": [0, 3, 0]}, {"label": [0, -2, 0]}, "descending", "short"], ids=str)
def test_damaged_choices_are_refused(tmp_path: Path, damage: Any) -> None:
    cell = open_cell(write_random_cell(tmp_path, "x/train/en", 3, kind="multiple_choice"))
    table = cell.dataset.to_dict()
    if damage == "descending":
        table["ends"][1][0] = table["ends"][1][1] + 1
    elif damage == "short":
        table["ends"][2][-1] -= 1
    else:
        table |= damage
    wrong = pa.table(table, schema=cell.dataset.features.arrow_schema)
    with pytest.raises(InputError, match=r"x: (column ends does not divide|labels .* outside the choices)"):
        KINDS["multiple_choice"].validate(wrong, cell.manifest)


class Decoder:
    def decode(self, ids: list[int]) -> str:
        return "".join(chr(96 + i) for i in ids)


def test_shown_choices(tmp_path: Path) -> None:
    manifest = read_manifest(write_random_cell(tmp_path, "x/train/en", 3, kind="multiple_choice"))
    row = {"first_ids": [1, 2], "second_ids": [3, 4, 5], "ends": [1, 3], "label": 1}
    assert KINDS["multiple_choice"].show(row, manifest, Decoder()).split("\n") == [
        "first   ab", "        1 2", "choice 0 c", "         3", "choice 1 de (right)", "         4 5"]
    assert KINDS["multiple_choice"].show(row | {"label": -1}, manifest, Decoder()).startswith("label   no label\n")
