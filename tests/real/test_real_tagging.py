"""Real files of UDPOS, PAN-X and Universal Dependencies: every sentence arrives, and every word keeps its tag."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from data_prep.__main__ import main
from data_prep.shards.read import Cell, find_cells, open_cell
from data_prep.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from tests.real.commands import DATA

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (DATA / "udpos").is_dir(), reason=f"real benchmark files are not at {DATA}"),
]
MAX_LENGTH = 32  # so that many sentences become windows
SENTENCES = {
    "udpos": {"train/en": 21253, "dev/hu": 441, "dev/mr": 46, "dev/ta": 80, "dev/te": 131, "dev/tr": 988, "dev/wo": 449,
              "test/hu": 449, "test/mr": 47, "test/ta": 120, "test/te": 146, "test/tr": 4785, "test/wo": 470},
    "panx": {"train/en": 20000, "dev/en": 10000, **{f"dev/{lg}": 1000 for lg in ("af", "mr", "ms", "sw", "ta", "te")},
             **{f"dev/{lg}": 100 for lg in ("jv", "my", "qu", "yo")}, "test/qu": 100, "test/sw": 1000, "test/ta": 1000,
             "test/yo": 100},
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [" ".join(words) for name in ("dev-ta", "dev-hu", "dev-tr", "dev-te")
             for words, _ in plain_reading(DATA / "udpos" / f"{name}.tsv")]
    folder = tmp_path_factory.mktemp("real") / "tokenizer"
    save_tokenizer(train_tokenizer(texts, 3000), folder)
    return folder


def build(task: str, folder: str, tokenizer: Path, out: Path) -> dict[str, Cell]:
    assert main(["build", task, "--source", str(DATA / folder), "--tokenizer", str(tokenizer), "--out", str(out),
                 "--max_length", str(MAX_LENGTH)]) == 0
    return {path.relative_to(out / task).as_posix(): open_cell(path) for path in find_cells(out, task)}


@pytest.fixture(scope="module", params=SENTENCES)
def cells(request: pytest.FixtureRequest, tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    task = request.param
    return task, build(task, task, tokenizer, tmp_path_factory.mktemp(task))


def plain_reading(file: Path) -> list[tuple[list[str], list[str]]]:
    """(words, tags) of the sentences of a file, read in another way than the product does."""
    text = file.read_bytes().decode("utf-8-sig").rstrip("\n")
    lines = [[line.split("\t") for line in block.split("\n")] for block in re.split("\n\n+", text)]
    return [([line[0] for line in one], [line[1] for line in one if len(line) > 1]) for one in lines]


def tags_by_sentence(cell: Cell) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for row in cell.table.select(["id", "labels"]).to_pylist():
        found[row["id"]] += [cell.manifest.labels[label] for label in row["labels"]]
    return found


def test_no_sentence_is_lost(cells: tuple[str, dict[str, Cell]]) -> None:
    task, there = cells
    assert {name: cell.manifest.examples for name, cell in there.items()} == SENTENCES[task]
    assert {name: cell.manifest.source_rows for name, cell in there.items()} == SENTENCES[task]
    assert all(cell.manifest.skipped == {} for cell in there.values())
    assert {name.split("/")[0] for name, cell in there.items() if not cell.manifest.has_labels} == {"test"}
    assert sum(cell.manifest.further_windows for cell in there.values()) > 1000


def test_every_word_keeps_its_tag(cells: tuple[str, dict[str, Cell]], tokenizer: Path) -> None:
    """All words of all files; in dev files also what stands at the pieces."""
    task, there = cells
    loaded = load_tokenizer(str(tokenizer))
    for name, cell in there.items():
        split, language = name.split("/")
        sentences = plain_reading(DATA / task / f"{split}-{language}.tsv")
        tags = tags_by_sentence(cell)
        assert [tags[row] for row in range(len(sentences))] == [of_sentence for _, of_sentence in sentences], name
        if split == "train":
            continue
        starts = Counter[int]()
        for row in cell.table.select(["id", "first_ids", "starts"]).to_pylist():
            words = sentences[row["id"]][0]
            for start in row["starts"]:
                own = loaded(words[starts[row["id"]]], add_special_tokens=False)["input_ids"]
                there_ids = row["first_ids"][start : start + len(own)]
                assert there_ids == own[: len(there_ids)] or len(own) > MAX_LENGTH - 2, (name, row["id"])
                starts[row["id"]] += 1
        assert [starts[row] for row in range(len(sentences))] == [len(words) for words, _ in sentences], name


def test_treebanks(tokenizer: Path, tmp_path: Path) -> None:
    """Universal Dependencies as published: syntactic words and their universal tags, by an own reading."""
    cells = build("udpos", "ud", tokenizer, tmp_path)
    found = {f"{file.stem}": file for file in sorted((DATA / "ud").glob("*.conllu"))}
    assert len(cells) == len(found) == 8
    for stem, file in found.items():
        language, split = stem.split("_")[0], stem.rsplit("-", 1)[1]
        cell, tags = cells[f"{split}/{language}"], tags_by_sentence(cells[f"{split}/{language}"])
        blocks = [block.split("\n") for block in file.read_text(encoding="utf-8").split("\n\n") if block.strip()]
        wanted = [[line.split("\t")[3] for line in block if re.match("[0-9]+\t", line)] for block in blocks]
        kept = [row for row, of_row in enumerate(wanted) if "_" not in of_row]
        assert list(tags) == kept, stem
        assert list(tags.values()) == [wanted[row] for row in kept], stem
        assert cell.manifest.skipped.get("a word without a tag", 0) == len(blocks) - len(kept)
        assert cell.manifest.keys == "publisher"
