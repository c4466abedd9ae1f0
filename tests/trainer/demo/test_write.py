"""The raw files: publishers' layouts that the ordinary preparation reads, rows parallel, nothing held out is seen."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from data_prep.augment.synonyms import Synonyms, load_neighbours
from data_prep.sources.layouts import find_sources
from data_prep.tasks import TASKS
from trainer.demo.languages import Language, languages
from trainer.demo.neighbours import NEIGHBOURS
from trainer.demo.world import WORDS
from trainer.demo.write import Sizes, write_world

SIZES = Sizes(documents=401, text_dev=20, easier_pairs=210, easier_dev=21, pairs=300, dev=30, test=60)


@pytest.fixture(scope="module")
def world_languages() -> list[Language]:
    return languages(1)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, world_languages: list[Language]) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    write_world(folder, 1, world_languages, SIZES)
    return folder


def rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n")]


def test_the_preparation_finds_every_file(raw: Path, world_languages: list[Language]) -> None:
    codes = [language.code for language in world_languages]
    found = {task: {(cell.split, cell.language) for cell in find_sources(TASKS[task], str(raw / task))}
             for task in ("xnli", "mnli", "text")}
    assert found["xnli"] == {("train", "en")} | {(split, code) for split in ("dev", "test") for code in codes}
    assert found["mnli"] == {("train", "en"), ("dev", "en")}
    assert found["text"] == {("train", code) for code in ("en", "ga", "gb", "gc")} | {("dev", "en")}


def test_row_counts(raw: Path) -> None:
    assert len(rows(raw / "xnli/train-en.tsv")) == 300
    assert len(rows(raw / "xnli/test-d090.tsv")) == 60
    counts = [len(rows(raw / f"text/train-{code}.txt")) for code in ("en", "ga", "gb", "gc")]
    assert sum(counts) == 401
    assert max(counts[1:]) - min(counts[1:]) <= 1


def test_rows_are_parallel_over_languages(raw: Path, world_languages: list[Language]) -> None:
    english = rows(raw / "xnli/test-en.tsv")
    for language in world_languages:
        expected = [[" ".join(language.word(text.split()[slot], slot) for slot in language.order)
                     for text in row[:2]] + [row[2]] for row in english]
        assert rows(raw / f"xnli/test-{language.code}.tsv") == expected


def test_labels_are_balanced(raw: Path) -> None:
    assert Counter(row[2] for row in rows(raw / "xnli/test-en.tsv")) == {
        "contradiction": 20, "entailment": 20, "neutral": 20}
    assert Counter(row[2] for row in rows(raw / "mnli/multinli.train.en.tsv")) == {
        "label": 1, "contradiction": 70, "entailment": 70, "neutral": 70}


def test_nothing_held_out_is_trained_on(raw: Path) -> None:
    def keys(name: str) -> set[tuple[str, ...]]:
        return {tuple(row) for row in rows(raw / name)}

    train, dev, test = (keys(f"xnli/{split}-en.tsv") for split in ("train", "dev", "test"))
    assert not train & dev and not train & test and not dev & test  # noqa: PT018
    header = {("premise", "hypo", "label")}
    assert keys("mnli/multinli.train.en.tsv") & keys("mnli/multinli.dev.en.tsv") == header
    assert not keys("mnli/multinli.train.en.tsv") & (dev | test)


def test_english_text_is_english_alone(raw: Path) -> None:
    texts = rows(raw / "text/train-en.txt")
    assert all(len(row) == 2 for row in texts)
    assert {word for row in texts for text in row for word in text.split()} <= set(WORDS)
    mixed = {word for row in rows(raw / "text/train-gc.txt") for text in row for word in text.split()}
    assert mixed & set(WORDS)
    assert mixed - set(WORDS)


def test_the_augmentation_reads_the_neighbours(raw: Path) -> None:
    augmenter = Synonyms(load_neighbours(raw / "neighbours.txt"))
    for word in WORDS:
        assert tuple(augmenter.neighbours[word]) == NEIGHBOURS[word]
    sentence = "old dog does watch certain boat nearby"
    drawn = [augmenter.perturb(sentence, random.Random(seed)).split() for seed in range(60)]
    for place, word in enumerate(sentence.split()):
        assert {words[place] for words in drawn} == {word, *NEIGHBOURS[word]}


def test_a_seed_fixes_every_byte(raw: Path, tmp_path: Path, world_languages: list[Language]) -> None:
    write_world(tmp_path / "same", 1, world_languages, SIZES)
    write_world(tmp_path / "other", 2, world_languages, SIZES)
    for path in sorted(raw.rglob("*.*")):
        name = path.relative_to(raw)
        assert (tmp_path / "same" / name).read_bytes() == path.read_bytes()
        if name.name not in ("words.tsv", "neighbours.txt"):
            assert (tmp_path / "other" / name).read_bytes() != path.read_bytes()
