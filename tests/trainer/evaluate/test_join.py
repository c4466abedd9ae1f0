"""Rows of two languages are joined by the publisher's key, by number only where nothing speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.base.errors import InputError
from data_prep.kinds import KINDS
from data_prep.shards.manifest import Manifest
from data_prep.shards.read import Cell, open_cell
from data_prep.shards.write import write_cell
from tests.random_cells import LABELS, TOKENIZER
from trainer.evaluate.join import Join, describe_joins, join_rows, joined_by

ROWS = 40


def cell(
    root: Path, language: str, ids: Sequence[int] = range(ROWS), labels: Sequence[int] | None = None,
    keys: Sequence[str] | None = None, **fields: Any,
) -> Cell:
    """A parallel cell of short pairs; row i of the source has label i % 3 unless told otherwise."""
    draft = Manifest(
        task="xnli", kind="pair", columns=dict(KINDS["pair"].columns),
        labels=LABELS, metric="accuracy", language=language, split="test", max_length=24,
        tokenizer=TOKENIZER, source="made up", data_prep_version="test",
        **{"parallel": True, "source_rows": ROWS, "keys": "publisher" if keys else "row", **fields})
    label = [i % 3 for i in ids] if labels is None else labels
    write_cell(root / "xnli/test" / language, draft, [{
        "id": np.array(ids), **({"key": list(keys)} if keys else {}), "first_ids": [[5]] * len(ids),
        "second_ids": [[6]] * len(ids), "label": np.array(label), "length": np.full(len(ids), 6, dtype=np.int32)}])
    return open_cell(root / "xnli/test" / language)


def rows_of(join: Join, first: Cell, second: Cell) -> list[tuple[int, int]]:
    """Pairs of row numbers in the two sources."""
    return [(first.dataset[int(a)]["id"], second.dataset[int(b)]["id"])
            for a, b in zip(join.first, join.second, strict=True)]


def test_by_key_wherever_the_rows_stand(tmp_path: Path) -> None:
    """Another order, another number of rows, rows of one language only: the keys say which row is which."""
    english = cell(tmp_path, "en", range(6), keys=["a", "b", "c", "d", "e", "f"], labels=[0] * 6, label_tolerance=0.34)
    german = cell(tmp_path, "de", [0, 7, 2, 3], keys=["f", "b", "x", "c"], labels=[0, 0, 0, 1], source_rows=9,
                  label_tolerance=0.34)
    join = join_rows(english, german)
    assert rows_of(join, english, german) == [(1, 7), (2, 3), (5, 0)]
    assert (join.by, join.alone, join.labels_differ, join.labels_compared) == ("publisher", 3 + 1, 1, 3)
    back = join_rows(german, english)
    assert rows_of(back, german, english) == [(0, 5), (3, 2), (7, 1)]


def test_by_number_where_nothing_differs(tmp_path: Path) -> None:
    kept = [i for i in range(ROWS) if i not in (4, 9)]  # left out in both
    english, german = cell(tmp_path, "en", kept), cell(tmp_path, "de", kept[::-1])
    join = join_rows(english, german)
    assert rows_of(join, english, german) == [(i, i) for i in kept]
    assert (join.by, join.alone, join.labels_differ) == ("row", 0, 0)


def test_keys_of_one_language_alone_are_no_keys(tmp_path: Path) -> None:
    english = cell(tmp_path, "en", keys=[f"q{ROWS - i}" for i in range(ROWS)])
    german = cell(tmp_path, "de")
    join = join_rows(english, german)
    assert (join.by, rows_of(join, english, german)) == ("row", [(i, i) for i in range(ROWS)])


def test_labels_are_compared_only_where_both_are_given(tmp_path: Path) -> None:
    english = cell(tmp_path, "en")
    hidden = cell(tmp_path, "sw", labels=[-1] * ROWS)
    joins = join_rows(english, hidden), join_rows(hidden, hidden)
    assert [(len(join.first), join.labels_compared) for join in joins] == [(ROWS, 0), (ROWS, 0)]
    some = cell(tmp_path, "de", labels=[-1, *((i + (i == 7)) % 3 for i in range(1, ROWS))])
    with pytest.raises(InputError, match="1 of 39 labels differ"):
        join_rows(english, some)


@pytest.mark.parametrize(("other", "message"), [
    ({"source_rows": ROWS + 1}, "40 rows against 41 in their sources; .* such as a header"),
    ({"ids": [i for i in range(ROWS) if i not in (11, 17)]},
     r"rows left out only in de: 11, 17 \(2 not known why\), counted from 0; .*shifts those behind it"),
    ({"ids": range(7, ROWS), "skipped": {"both texts empty": 6}},
     r"rows left out only in de: 0, 1, 2, 3, 4 and 2 more \(1 not known why\), counted"),
    *(({"ids": range(4, ROWS), "skipped": {"no label": 3, reason: 1}},
       rf"rows left out only in de: 0, 1, 2, 3 \(1 {reason}\), counted from 0")
      for reason in ("wrong number of columns", "blank line", "a reason of another version")),
    # one header line more, and one row less at the end: the count is the same, every label is another row's
    ({"labels": [(i + 1) % 3 for i in range(ROWS)]}, "40 of 40 labels differ; .*in another order, or shifted"),
    ({"labels": [(i + (i > 37)) % 3 for i in range(ROWS)]}, "2 of 40 labels differ"),
    ({"parallel": False}, "de: its rows are not marked as parallel"),
])
def test_numbers_that_do_not_name_one_row_are_refused(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    english, german = cell(tmp_path, "en"), cell(tmp_path, "de", **other)
    for one, two in ((english, german), (german, english)):
        with pytest.raises(InputError, match=message.replace("40 rows against 41", "4[01] rows against 4[01]")) as told:
            join_rows(one, two)
        assert "\n" not in str(told.value)
        assert str(german.path) in str(told.value)


def test_rows_left_out_on_either_side_are_named(tmp_path: Path) -> None:
    english, german = cell(tmp_path, "en", range(1, ROWS)), cell(tmp_path, "de", range(ROWS - 1))
    with pytest.raises(InputError, match=r"only in de: 39 \(1 .*\); rows left out only in en: 0 \(1 .*\), count"):
        join_rows(english, german)


@pytest.mark.parametrize("reason", ["placeholder text", "no consensus", "no label", "both texts empty", "missing text"])
def test_rows_left_out_whole_are_alone(tmp_path: Path, reason: str) -> None:
    """Such rows are rows of the source, so those behind them keep their numbers; one of each language is left out."""
    english = cell(tmp_path, "en", [i for i in range(ROWS) if i != 30], skipped={"no label": 1})
    german = cell(tmp_path, "de", [i for i in range(ROWS) if i not in (3, 11)], skipped={reason: 2})
    join = join_rows(english, german)
    assert rows_of(join, english, german) == [(i, i) for i in range(ROWS) if i not in (3, 11, 30)]
    assert (join.by, join.alone, join.labels_differ) == ("row", 3, 0)


def test_split_row_left_out_in_both_is_no_reason(tmp_path: Path) -> None:
    """A row of a wrong number of columns in both, and a placeholder in one: only rows that the other has count."""
    english = cell(tmp_path, "en", range(1, ROWS), skipped={"wrong number of columns": 1})
    german = cell(tmp_path, "de", range(2, ROWS), skipped={"placeholder text": 2})
    assert join_rows(english, german).alone == 1
    with pytest.raises(InputError, match=r"only in de: 0 \(1 wrong number of columns\), counted"):
        join_rows(cell(tmp_path, "fr"), cell(tmp_path / "b", "de", range(1, ROWS),
                                             skipped={"wrong number of columns": 1}))


@pytest.mark.parametrize(("differ", "tolerance", "allowed"), [(4, 0.0, ""), (5, 0.0, "10%"), (8, 0.2, ""),
                                                              (9, 0.2, "20%"), (5, 0.05, "10%")])
def test_keys_that_name_other_rows_are_refused(tmp_path: Path, differ: int, tolerance: float, allowed: str) -> None:
    """A tenth of the labels in both languages, or what the publisher declares where that is more."""
    keys, hidden = [f"q{i}" for i in range(ROWS + 10)], [-1] * 10
    fields: dict[str, Any] = {"keys": keys, "source_rows": ROWS + 10, "label_tolerance": tolerance}
    english = cell(tmp_path, "en", range(ROWS + 10), [*(i % 3 for i in range(ROWS)), *hidden], **fields)
    german = cell(tmp_path, "de", range(ROWS + 10), [*((i + (i < differ)) % 3 for i in range(ROWS)), *hidden], **fields)
    if not allowed:
        assert join_rows(english, german).labels_differ == differ
        return
    with pytest.raises(InputError, match=f"publisher's key: {differ} of 40 labels differ, expected at most {allowed}"):
        join_rows(english, german)


def test_keys_renumbered_by_one_are_refused(tmp_path: Path) -> None:
    english = cell(tmp_path, "en", keys=[f"{i}" for i in range(ROWS)])
    german = cell(tmp_path, "de", keys=[f"{i + 1}" for i in range(ROWS)])
    with pytest.raises(InputError, match="39 of 39 labels differ"):
        join_rows(english, german)


def test_known_disagreement_of_a_publisher(tmp_path: Path) -> None:
    """Up to the declared share the labels may differ; such rows are counted. A shift makes half of them differ."""
    def pawsx(language: str, differ: int) -> Cell:
        return cell(tmp_path, language, labels=[(i * i + (i < differ)) % 2 for i in range(ROWS)], label_tolerance=0.05)

    english, german, french = pawsx("en", 0), pawsx("de", 2), pawsx("fr", 3)
    assert join_rows(english, german).labels_differ == 2
    with pytest.raises(InputError, match="3 of 40 labels differ, its publisher is known to give 5% differently"):
        join_rows(english, french)


def test_one_line_where_all_pairs_are_alike() -> None:
    def join(rows: int, by: Any = "row", alone: int = 0, differ: int = 0, compared: int = 9) -> Join:
        return Join(np.arange(rows), np.arange(rows), by, alone, differ, compared, np.ones(rows, dtype=bool))

    pairs = [f"en-{code}" for code in ("de", "fr", "sw", "tr", "ur", "zh")]
    assert describe_joins("xnli/test", [(pair, join(5010)) for pair in pairs]) == [
        "xnli/test: 5,010 rows joined by row number, in each of 6 pairs of languages"]
    mixed = [("en-de", join(1990, "publisher", 12, 33)), *((pair, join(2000)) for pair in pairs[1:])]
    assert describe_joins("pawsx/test", mixed, " (left out)") == [
        "pawsx/test en-de: 1,990 rows joined by the publisher's key, 33 of them with different labels (left out); "
        "12 rows are in one of the two languages only",
        "pawsx/test en-fr, en-sw, en-tr, en-ur, en-zh: 2,000 rows joined by row number"]
    unlabelled = [("en-de", join(7, alone=1, compared=0)), ("en-fr", join(7, "publisher", compared=0))]
    assert describe_joins("xnli/test", unlabelled) == [
        "xnli/test en-de: 7 rows joined by row number, no labels to check the order by; "
        "1 rows are in one of the two languages only",
        "xnli/test en-fr: 7 rows joined by the publisher's key"]


def scored(root: Path, language: str, scores: Sequence[float], windows: Sequence[int]) -> Cell:
    """A cell whose rows have a number and may be cut into windows; row i of the source stands in windows[i] rows."""
    ids = np.repeat(np.arange(len(scores)), windows)
    draft = Manifest(
        task="sts", kind="pair", columns={"first_ids": "token_ids", "window": "integer", "score": "number"}, labels=[],
        metric="accuracy", language=language, split="test", max_length=24, tokenizer=TOKENIZER, source="made up",
        data_prep_version="test", parallel=True, source_rows=len(scores))
    write_cell(root / "sts/test" / language, draft, [{
        "id": ids, "first_ids": [[5]] * len(ids), "window": np.concatenate([np.arange(n) for n in windows]),
        "score": np.array(scores)[ids], "length": np.full(len(ids), 3, dtype=np.int32)}])
    return open_cell(root / "sts/test" / language)


def test_windows_of_a_row_are_one_row_and_scores_are_compared(tmp_path: Path) -> None:
    english = scored(tmp_path, "en", [0.5, 1.0, np.nan, 4.0], [1, 3, 1, 1])
    german = scored(tmp_path, "de", [0.5, 1.0, np.nan, 4.0], [2, 1, 1, 2])
    join = join_rows(english, german)
    assert join.first.tolist() == [0, 1, 4, 5]
    assert join.second.tolist() == [0, 2, 3, 4]
    assert (join.alone, join.labels_compared, join.labels_differ) == (0, 3, 0)
    assert join.agree.all()
    with pytest.raises(InputError, match="1 of 3 labels differ"):
        join_rows(english, scored(tmp_path, "fr", [0.5, 1.5, np.nan, 4.0], [1, 1, 1, 1]))


def test_names_of_rows_that_reports_may_join(tmp_path: Path) -> None:
    assert joined_by(cell(tmp_path, "en")) == f"row {ROWS}"
    assert joined_by(cell(tmp_path, "de", keys=[f"q{i}" for i in range(ROWS)])) == "publisher"
    assert joined_by(cell(tmp_path, "sw", parallel=False)) == ""
    left_out = {"ids": range(1, ROWS), "source_rows": ROWS}
    assert joined_by(cell(tmp_path, "tr", **left_out, skipped={"no label": 1})) == f"row {ROWS}"
    assert joined_by(cell(tmp_path, "zh", **left_out, skipped={"blank line": 1})) == ""
