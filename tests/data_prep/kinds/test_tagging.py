"""Tagging: every word is owned by one window, that of most context, and keeps its tag."""

from __future__ import annotations

import random
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_prep.base.errors import InputError
from data_prep.kinds import tagging
from data_prep.kinds.rows import Record, Row, TextBatch
from data_prep.kinds.tagging import encode, read, show, validate, windows
from data_prep.kinds.words import word_pieces
from data_prep.shards.columns import cell_features
from data_prep.shards.manifest import read_manifest
from data_prep.shards.read import open_cell
from data_prep.shards.template import derive_template
from data_prep.tasks import TASKS
from data_prep.tokenizer import load_tokenizer
from tests.random_cells import TAGS, write_random_cell


def sizes_of(seed: int, room: int) -> list[int]:
    draw = random.Random(seed)
    most = draw.choice([1, 3, room])
    return [draw.randint(1, min(most, room)) for _ in range(draw.choice([1, 5, 40, 200]))]


@pytest.mark.parametrize("room", [1, 2, 7, 30])
@pytest.mark.parametrize("seed", range(30))
def test_every_word_is_owned_once_where_it_has_most_context(room: int, seed: int) -> None:
    sizes = sizes_of(seed, room)
    offsets = list(accumulate(sizes, initial=0))
    found = windows(offsets, room)
    assert [word for w in found for word in range(w.owned_from, w.owned_end)] == list(range(len(sizes)))
    assert all(w.first <= w.owned_from < w.owned_end <= w.end for w in found)
    assert all(offsets[w.end] - offsets[w.first] <= room for w in found)
    assert len(found) <= max(1, 4 * offsets[-1] / room)

    def context(window: tagging.Window, word: int) -> int:
        """Fewer of the pieces before and behind the word, -1 where the window does not hold it."""
        inside = window.first <= word < window.end
        return min(offsets[word] - offsets[window.first], offsets[window.end] - offsets[word + 1]) if inside else -1

    for window in found:
        for word in range(window.owned_from, window.owned_end):
            assert context(window, word) == max(context(other, word) for other in found)


def test_windows_of_single_pieces() -> None:
    assert windows(range(11), 10) == [(0, 10, 0, 10)]
    # half of each window is in the next; of the word in the middle of it, 7, the first is as good
    assert windows(range(25), 10) == [(0, 10, 0, 8), (5, 15, 8, 13), (10, 20, 13, 17), (14, 24, 17, 24)]


def long_sentences(seed: int) -> list[list[str]]:
    draw = random.Random(seed)
    words = ["dog", "park", "children", "läuft", "狗跑了", "x" * 30, "\u200b", "New York", "."]
    return [draw.choices(words, k=draw.choice([1, 2, 12, 90])) for _ in range(30)]


@pytest.mark.parametrize("max_length", [9, 16, 64])
def test_windows_joined_are_the_sentence(tokenizer_folder: Path, max_length: int) -> None:
    loaded = load_tokenizer(str(tokenizer_folder))
    template, room = derive_template(loaded), max_length - 2
    sentences = long_sentences(max_length)
    tags = [[(row + at) % 17 for at in range(len(words))] for row, words in enumerate(sentences)]
    batch = TextBatch(list(range(5, 35)), {"words": sentences, "tags": tags})
    encoded = encode(batch, loaded.backend_tokenizer, max_length, template)
    assert encoded.table.schema.equals(cell_features(tagging.columns).arrow_schema, check_metadata=False)
    found: dict[int, list[dict[str, Any]]] = {}
    for row in encoded.table.to_pylist():
        assert row["length"] == len(row["first_ids"]) + 2 <= max_length
        assert row["key"] == str(row["id"])
        found.setdefault(row["id"], []).append(row)
    cut = 0
    pieces_of = word_pieces(loaded.backend_tokenizer, sentences)
    for row, (words, pieces) in enumerate(zip(sentences, pieces_of, strict=True)):
        of_row = found[row + 5]
        assert [one["window"] for one in of_row] == list(range(len(of_row)))
        assert [label for one in of_row for label in one["labels"]] == tags[row]
        firsts = [one["first_ids"][start : start + room] for one in of_row for start in one["starts"]]
        for ids, word in zip(firsts, pieces, strict=True):
            assert ids[: len(word)] == word[:room], words
        cut += any(len(word) > room for word in pieces)
    assert encoded.counts == {"rows": 30, "truncated": cut}
    assert cut == 0 or max_length == 9


def test_a_sentence_without_an_end_is_refused(tokenizer_folder: Path) -> None:
    loaded = load_tokenizer(str(tokenizer_folder))
    batch = TextBatch([7], {"words": [["dog"] * 9000], "tags": [[]]})
    with pytest.raises(InputError, match="row 7: a sentence of 9,000 words, more than 1,024 windows of 9 tokens"):
        encode(batch, loaded.backend_tokenizer, 9, derive_template(loaded))


@pytest.mark.parametrize(("words", "tags", "labelled", "expected"), [
    (["The", "\ufeff"], ["DET", "PUNCT"], True, Row(3, {"words": ["The", "\ufeff"], "tags": [5, 12]}, "k")),
    ("The  dog", "DET NOUN", True, Row(3, {"words": ["The", "dog"], "tags": [5, 7]}, "k")),
    (["The"], [""], False, Row(3, {"words": ["The"], "tags": []}, "k")),
    (["The"], None, False, Row(3, {"words": ["The"], "tags": []}, "k")),
    ([], [], True, "no words"),
    (["The", "dog"], ["DET", ""], True, "a word without a tag"),
    (["The", "dog"], [], True, "a word without a tag"),
    (["The", "dog"], ["DET"], True, "another number of tags than of words"),
    (["The", 5], ["DET", "NUM"], True, InputError("a word is 5, expected text")),
    (["The", "dog"], ["DET", "noun"], True, InputError(
        "tag 'noun' of word 2 [(]dog[)] is not one of ADJ, .*, X [(]udpos")),
    (["The"], ["DET"], False, InputError("tag 'DET', but the first row has none")),
], ids=str)
def test_records(words: Any, tags: Any, labelled: bool, expected: Row | str | InputError) -> None:
    record = Record(3, {"words": words, "tags": tags}, labelled, "k")
    if isinstance(expected, InputError):
        with pytest.raises(InputError, match=str(expected)):
            read(record, TASKS["udpos"])
    else:
        assert read(record, TASKS["udpos"]) == expected


@pytest.mark.parametrize(("column", "value"), [
    ("starts", [0, 0]), ("starts", [1, 0]), ("starts", [0, 3]), ("starts", [-1, 0]), ("starts", []), ("labels", [1])])
def test_starts_and_labels_that_do_not_fit(tmp_path: Path, column: str, value: list[int]) -> None:
    cell = open_cell(write_random_cell(tmp_path, "x/train/en", 3, kind="tagging"))
    row = {"first_ids": [5, 6, 7], "starts": [0, 2], "labels": [1, 1]}
    validate(pa.Table.from_pylist([row], schema=cell.table.select(list(row)).schema), cell.manifest)
    damaged = pa.Table.from_pylist([row, row | {column: value}], schema=cell.table.select(list(row)).schema)
    with pytest.raises(InputError, match="starts of words that do not ascend"):
        validate(damaged, cell.manifest)


def test_shown_rows(tmp_path: Path) -> None:
    class Decoder:
        def decode(self, ids: list[int]) -> str:
            return "".join(chr(96 + i) for i in ids).replace("z", " ")

    manifest = read_manifest(write_random_cell(tmp_path, "x/train/en", 3, kind="tagging"))
    row = {"first_ids": [1, 2, 3], "starts": [0, 2], "labels": [0, 1]}
    assert show(row, manifest, Decoder()) == f"tags    ab/{TAGS[0]} c/{TAGS[1]}\nfirst   abc\n        1 2 3"
    assert show(row | {"labels": []}, manifest, Decoder()).startswith("tags    ab/no tag c/no tag\n")
    others = row | {"first_ids": [1, 2, 3, 4, 26, 5]}  # a word that the next window owns follows
    assert show(others, manifest, Decoder()).startswith(f"tags    ab/{TAGS[0]} cd/{TAGS[1]}\n")
