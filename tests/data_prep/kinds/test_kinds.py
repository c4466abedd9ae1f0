"""Kinds: encoded rows equal the tokenizer's own calls; records become rows or are left out for a reason."""

from __future__ import annotations

import random
from pathlib import Path
from typing import get_type_hints

import pytest

from data_prep.base.errors import InputError
from data_prep.kinds import KINDS, named_kind
from data_prep.kinds.kind import Kind
from data_prep.kinds.rows import NO_LABEL, Record, Row
from data_prep.shards.assemble import assemble
from data_prep.shards.columns import COLUMN_TYPES, cell_features
from data_prep.shards.manifest import read_manifest
from data_prep.shards.read import open_cell
from data_prep.shards.template import derive_template
from data_prep.tasks import TASKS
from data_prep.tokenizer import load_tokenizer
from tests.data_prep.conftest import sentences
from tests.data_prep.pairs import pair_batch
from tests.random_cells import write_random_cell


@pytest.mark.parametrize("kind", ["pair", "mlm"])
@pytest.mark.parametrize("max_length", [8, 9, 16, 17, 31, 64, 128])
def test_cut_and_assembled_rows_equal_the_tokenizers_own(tokenizer_folder: Path, max_length: int, kind: str) -> None:
    tokenizer = load_tokenizer(str(tokenizer_folder))
    draw = random.Random(max_length)
    first = [" ".join(draw.choices(sentences(50), k=draw.choice([1, 1, 3, 12]))) for _ in range(300)]
    second = [" ".join(draw.choices(sentences(50), k=draw.choice([0, 1, 1, 3, 12]))) for _ in range(300)]
    first[:3], second[:3] = [" ", "dog " * 200, "dog " * 200], ["the dog", "dog " * 200, "dog " * 199]
    template = derive_template(tokenizer)
    batch = pair_batch(range(300), first, second, [i % 3 for i in range(300)])
    encoded = KINDS[kind].encode(batch, tokenizer.backend_tokenizer, max_length, template)
    assert encoded.table.schema.equals(cell_features(KINDS[kind].columns).arrow_schema, check_metadata=False)
    truncated = 0
    rows = encoded.table.to_pylist()
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        own = tokenizer(a, b or None, truncation="longest_first", max_length=max_length)["input_ids"]
        built = assemble(rows[i]["first_ids"], rows[i]["second_ids"], max_length, template)
        assert built.tolist() == own, (i, a, b)
        assert (rows[i]["length"], rows[i]["id"], rows[i]["key"]) == (len(own), i, str(i))
        assert rows[i].get("label", i % 3) == i % 3
        truncated += len(tokenizer(a, b or None)["input_ids"]) > max_length
    assert encoded.counts == {"rows": 300, "truncated": truncated}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_the_contract(kind: str) -> None:
    module = KINDS[kind]
    assert set(module.columns.values()) <= set(COLUMN_TYPES)
    for name in ("read", "encode", "validate", "show"):
        promised, kept = (get_type_hints(getattr(where, name)) for where in (Kind, module))
        assert promised == kept, name


def test_every_task_is_of_a_kind_that_takes_it() -> None:
    for task in TASKS.values():
        assert task.kind in KINDS
    with pytest.raises(InputError, match="no kind 'parsing'; kinds: pair, mlm"):
        named_kind("parsing")


@pytest.mark.parametrize(("texts", "label", "labelled", "expected"), [
    (("a", "b"), "Neutral", True, Row(5, {"first": "a", "second": "b", "label": 2}, "k")),
    (("a", ""), "contradictory", True, Row(5, {"first": "a", "second": "", "label": 0}, "k")),
    (("a", "b"), "", False, Row(5, {"first": "a", "second": "b", "label": NO_LABEL}, "k")),
    (("a", "b"), "", True, "no label"),
    (("a", "b"), "-", True, "no consensus"),
    ((" ", ""), "neutral", True, "both texts empty"),
    (("a", None), "neutral", True, "missing text"),
    (("a", "b"), "1", True, InputError("label '1' is not one of .* [(]xnli[)], but of pawsx, mrpc, qqp and others;")),
    (("a", "b"), "neutral", False, InputError("label 'neutral', but the first row has none")),
], ids=str)
def test_records_of_pairs(
    texts: tuple[str | None, str | None], label: str, labelled: bool, expected: Row | str | InputError
) -> None:
    record = Record(5, {"first": texts[0], "second": texts[1], "label": label}, labelled, "k")
    if isinstance(expected, InputError):
        with pytest.raises(InputError, match=str(expected)):
            KINDS["pair"].read(record, TASKS["xnli"])
    else:
        assert KINDS["pair"].read(record, TASKS["xnli"]) == expected


@pytest.mark.parametrize(("texts", "expected"), [
    (["a"], Row(5, {"first": "a", "second": ""})), (["a", "b"], Row(5, {"first": "a", "second": "b"})),
    (["", "b"], Row(5, {"first": "b", "second": ""})),
    (["a", " "], Row(5, {"first": "a", "second": ""})),    ([" ", "", ""], "blank line"),
    (["a", "b", "c"], "more than two texts"), (["a", "b", ""], "more than two texts"),
], ids=str)
def test_records_of_unlabelled_text(texts: list[str], expected: Row | str) -> None:
    assert KINDS["mlm"].read(Record(5, {"texts": texts}), TASKS["text"]) == expected


@pytest.mark.parametrize(("side", "matches", "labelled", "expected"), [
    ("query", ["k"], False, ["k"]), ("query", "k l", True, ["k", "l"]), ("query", [], False, [""]),
    ("query", None, False, []), ("query", "", True, [""]), ("candidate", None, False, [""]),
    ("passage", None, False, "side 'passage'; expected query or candidate"),
], ids=str)
def test_records_of_searches(side: str, matches: list[str] | str | None, labelled: bool,
                             expected: list[str] | str) -> None:
    record = Record(5, {"text": "a", "side": side, "matches": matches}, labelled, "k")
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            KINDS["retrieval"].read(record, TASKS["tatoeba"])
    else:
        row = Row(5, {"text": "a", "side": int(side == "candidate"), "matches": expected}, "k")
        assert KINDS["retrieval"].read(record, TASKS["tatoeba"]) == row
        blank = record._replace(values={"text": " ", "side": side})
        assert KINDS["retrieval"].read(blank, TASKS["tatoeba"]) == "missing text"


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_says_which_labels_and_metric_it_takes(tmp_path: Path, kind: str) -> None:
    cell = open_cell(write_random_cell(tmp_path, "x/train/en", 3, kind=kind))
    table, manifest = cell.dataset.data.table, cell.manifest
    assert set(cell.dataset.column_names) == {"id", "key", "length", *KINDS[kind].columns}
    KINDS[kind].validate(table, manifest)
    wrong = {"labels": ["a"] if manifest.labels else ["a", "b"]}, {"metric": "bleu"}, {"further_metrics": ["bleu"]}
    for change in wrong:
        with pytest.raises(InputError, match=f"kind {kind} with .* labels and metric .*; expected"):
            KINDS[kind].validate(table, manifest.model_copy(update=change))


class Decoder:
    def decode(self, ids: list[int]) -> str:
        return "".join(chr(96 + i) for i in ids)


def test_shown_rows(tmp_path: Path) -> None:
    manifest = read_manifest(write_random_cell(tmp_path, "x/train/en", 3))
    row = {"first_ids": [1, 2], "second_ids": [], "label": 1}
    assert KINDS["pair"].show(row, manifest, Decoder()) == "label   entailment\nfirst   ab\n        1 2"
    assert KINDS["pair"].show(row | {"label": -1}, manifest, Decoder()).startswith("label   no label\n")
    assert KINDS["mlm"].show(row | {"second_ids": [3]}, manifest, Decoder()).endswith("\nsecond  c\n        3")
