"""RS-DA copies: which words change, how they are written, and what the draws depend on."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from data_prep import workers
from data_prep.__main__ import main
from data_prep.augment.copies import Copies
from data_prep.augment.synonyms import Synonyms, load_neighbours
from data_prep.base.errors import InputError
from data_prep.shards.read import find_cells, open_cell
from data_prep.tokenizer import load_tokenizer
from tests.data_prep.pairs import pair_batch, rows_of

NEIGHBOURS = {"dog": ["hound"], "big": ["large", "huge"], "don't": ["never"], "well-known": ["famous"]}


def variants(text: str, neighbours: dict[str, list[str]] | None = None) -> set[str]:
    chosen = Synonyms(neighbours or NEIGHBOURS)
    return {chosen.perturb(text, random.Random(i)) for i in range(60)}


def test_case_and_punctuation_are_kept() -> None:
    assert variants('"Dog," he said.') == {'"Dog," he said.', '"Hound," he said.'}
    assert variants("DOG!") == {"DOG!", "HOUND!"}
    assert variants("(big)") == {"(big)", "(large)", "(huge)"}
    assert variants("a  dog\u00a0 .") == {"a  dog\u00a0 .", "a  hound\u00a0 ."}
    assert variants("I don't") == {"I don't", "I never"}
    assert variants("Well-known;") == {"Well-known;", "Famous;"}
    assert variants("hotdog dogs 狗 été") == {"hotdog dogs 狗 été"}


def test_the_draw_is_uniform_over_the_word_and_its_neighbours() -> None:
    drawn = Counter(Synonyms(NEIGHBOURS).perturb("big", random.Random(i)) for i in range(3000))
    assert set(drawn) == {"big", "large", "huge"}
    assert all(850 < n < 1150 for n in drawn.values())


def test_copies_depend_on_seed_row_and_copy_alone() -> None:
    rows = [(row, "a big dog", "the dog is big", 1) for row in range(40)]

    def copies(seed: int, order: list[tuple[int, str, str, int]]) -> dict[int, tuple[str, str, int]]:
        whole, _ = Copies(Synonyms(NEIGHBOURS), 3, seed, ("first", "second"))(
            pair_batch(*map(list, zip(*order, strict=True))))
        return {row: (first, second, label) for row, first, second, label in rows_of(whole)}

    one = copies(0, rows)
    assert one == copies(0, rows[::-1])
    assert {k: v for k, v in one.items() if k // 4 == 7} == copies(0, rows[7:8])
    assert one != copies(1, rows)
    assert sorted(one) == list(range(160))
    assert all(one[4 * row] == ("a big dog", "the dog is big", 1) for row in range(40)), "the clean copy is kept"
    assert len({one[4 * row + copy] for row in range(40) for copy in (1, 2, 3)}) > 10


def test_pair_list_goes_both_ways(tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_bytes(b"big large\r\nbig huge\nbig big\n\nlarge big\n")
    assert load_neighbours(file) == {"big": ["large", "huge"], "large": ["big"], "huge": ["big"]}


def test_json_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "words.json"
    file.write_text(json.dumps({"big": ["large", "big", "large"], "odd": []}))
    assert load_neighbours(file) == {"big": ["large"]}


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.txt", "one\n", "line 1: 1 words"), ("a.txt", "a b\na b c\n", "line 2: 3 words"), ("a.txt", "", "no word"),
    ("a.json", "[1]", "a JSON list"), ("a.json", '{"a": "b"}', "entry of 'a'"), ("a.json", "{", "not valid JSON"),
])
def test_bad_lists_are_one_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        load_neighbours(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s").mkdir()
    rows = "".join(f"The big dog {i}.\tA dog is big!\t{'neutral' if i % 2 else '-'}\n" for i in range(30))
    (tmp_path / "s" / "train-en.tsv").write_text(rows)
    (tmp_path / "s" / "dev-en.tsv").write_text(rows)
    (tmp_path / "pairs.txt").write_text("big large\ndog hound\n")
    return tmp_path


def augment(folder: Path, tokenizer: Path, out: str, *more: str) -> int:
    return main(["augment", "synonyms", "xnli", "--source", str(folder / "s"), "--neighbours",
                 str(folder / "pairs.txt"), "--tokenizer", str(tokenizer), "--out", str(folder / out), *more])


def test_augmented_cells(
    folder: Path, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert augment(folder, tokenizer_folder, "one", "--copies", "2") == 0
    # per row "The big dog 7." and "A dog is big!": 4 of 8 words are in the list
    assert "50.0% of 120 words have a neighbour" in capsys.readouterr().out
    assert [p.relative_to(folder / "one").as_posix() for p in find_cells(folder / "one")] == [
        "xnli+synonyms/train/en"]
    cell = open_cell(folder / "one/xnli+synonyms/train/en")
    assert (cell.manifest.task, cell.manifest.copies, cell.manifest.rows) == ("xnli+synonyms", 2, 45)
    assert not cell.manifest.parallel
    assert re.fullmatch(r".* \+ synonyms from pairs.txt \([0-9a-f]{12}\), 8 neighbours, 2 copies, seed 0",
                        cell.manifest.source)
    assert cell.manifest.skipped == {"no consensus": 15}
    assert cell.dataset["id"][:6] == [3, 4, 5, 9, 10, 11]
    assert cell.dataset["key"][:6] == ["1#0", "1#1", "1#2", "3#0", "3#1", "3#2"]
    assert cell.manifest.source_rows == 30
    tokenizer = load_tokenizer(str(tokenizer_folder))
    assert cell.dataset[0]["first_ids"] == tokenizer("The big dog 1.", add_special_tokens=False)["input_ids"]
    monkeypatch.setattr(workers, "POOL_FROM_ROWS", 0)
    monkeypatch.setattr("data_prep.sources.batches.BATCH_ROWS", 4)
    assert augment(folder, tokenizer_folder, "two", "--copies", "2", "--workers", "2") == 0
    other = open_cell(folder / "two/xnli+synonyms/train/en")
    assert other.dataset[:] == cell.dataset[:], "neither workers nor batches change the draws"
    assert augment(folder, tokenizer_folder, "one", "--copies", "2") == 0
    assert augment(folder, tokenizer_folder, "one", "--copies", "2", "--seed", "1") == 2


@pytest.mark.parametrize(("more", "message"), [
    (["--copies", "0"], "at least 1"), (["--max_neighbours", "0"], "at least 1"), (["--sed", "1"], "no flag --sed"),
    (["--languages", "de"], "nothing for language 'de'"),
])
def test_bad_flags_write_nothing(
    folder: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert augment(folder, tokenizer_folder, "out", *more) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_unknown_method_and_missing_list(
    folder: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pairs.txt").unlink()
    assert augment(folder, tokenizer_folder, "out") == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["augment", "antonyms", "xnli", "s", "n", "t", "o"]) == 2
    assert "no command 'antonyms'" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["udpos", "xquad", "tatoeba", "translation_ranking"])
def test_texts_that_may_not_be_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    assert main(["augment", "synonyms", task, "--source", str(tmp_path), "--neighbours", "n", "--tokenizer", "t",
                 "--out", str(tmp_path / "out")]) == 2
    assert "may not be rewritten" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_queries_of_a_ranking_stay(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("dog cat\n")
    file = tmp_path / "mine.tsv"
    file.write_text("query\tdocument\tscore\n" + "the dog\tthe dog\t1\n" * 20)
    assert main(["augment", "synonyms", "wpr", "--source", str(file), "--neighbours", str(tmp_path / "n.txt"),
                 "--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / "out")]) == 0
    (path,) = find_cells(tmp_path / "out")
    rows = open_cell(path).table.to_pylist()
    assert [len({tuple(row[name]) for row in rows}) for name in ("first_ids", "second_ids")] == [1, 2]
