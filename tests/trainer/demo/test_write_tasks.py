"""Raw files of the studies: layouts that the preparation reads, labels by meaning, the demo's bytes."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest
import seqeval.metrics.sequence_labeling as seqeval

from data_prep.sources.layouts import find_sources
from data_prep.tasks import TASKS
from tests.trainer.demo.test_world import members, qualities, relation
from trainer.demo import world
from trainer.demo.languages import Language, languages, study_languages
from trainer.demo.world import Sentence
from trainer.demo.write_tasks import StudySizes, write_study_world

SIZES = StudySizes(documents=401, text_dev=20, easier_pairs=210, easier_dev=21, pairs=300, dev=30, test=60,
                   rich_documents=50, harder_pairs=150, sentiment=80, similarity=120, tagged=60, translations=20,
                   unlabelled=24, held_out=21)
GRAMMAR = ("ga", "gb", "gc", "gm")
ALL = ("d030", "d050", "d070", "d090", "d120", "en", *GRAMMAR)
# SHA-256 over names and bytes of what `write_world` wrote with seed 1 and these sizes before there were other tasks
DEMO = "4127f2a78980328b09c9f6507fdfc213b10f05cad65d2c2e9e95e23877dd4475"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    write_study_world(folder, 1, study_languages(1), SIZES)
    return folder


@pytest.fixture(scope="module")
def by_code() -> dict[str, Language]:
    return {language.code: language for language in study_languages(1)}


def rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n")]


def translated(text: str, language: Language) -> str:
    words = text.split()
    return " ".join(language.lexicon[words[slot]] + language.suffixes.get(slot, "") for slot in language.order)


def test_the_demos_files_are_the_same_bytes(raw: Path) -> None:
    new = {"gm", "anli", "sst2", "stsb", "udpos", "panx", "bitext", "unlabelled", "dictionaries"}
    digest = hashlib.sha256()
    demos = {language.code for language in languages(1)}
    for path in sorted(raw.rglob("*.*")):
        name = path.relative_to(raw)
        code = path.stem.split("-")[-1].split(".")[-1]
        if name.parts[0] in new or code == "gm" or (name.parts[0] == "mnli" and code in demos - {"en"}):
            continue
        digest.update(name.as_posix().encode())
        digest.update(path.read_bytes())
    assert digest.hexdigest() == DEMO


def test_the_preparation_finds_every_file(raw: Path) -> None:
    def found(task: str, folder: str = "") -> set[tuple[str, str]]:
        return {(cell.split, cell.language) for cell in find_sources(TASKS[task], str(raw / (folder or task)))}

    both = {(split, code) for split in ("dev", "test") for code in ALL}
    assert found("xnli") == found("udpos") == found("panx") == both | {("train", "en")}
    assert found("mnli") == {(split, code) for split in ("train", "dev") for code in ("en", *GRAMMAR)}
    assert found("stsb") == {(split, code) for split in ("train", "dev", "test") for code in ("en", *GRAMMAR)}
    assert found("anli") == found("sst2") == {("train", "en"), ("dev", "en")}
    assert found("bitext") == {(split, f"en_{code}") for split in ("train", "dev") for code in GRAMMAR}
    assert found("text") == {("train", code) for code in ("en", *GRAMMAR)} | {("dev", "en")}
    assert found("xnli", "unlabelled") == {("train", code) for code in ALL if code != "en"}


def test_translations_are_parallel(raw: Path, by_code: dict[str, Language]) -> None:
    for code in GRAMMAR:
        for split in ("train", "dev"):
            english = rows(raw / f"mnli/multinli.{split}.en.tsv")[1:]
            assert rows(raw / f"mnli/multinli.{split}.{code}.tsv")[1:] == [
                [*(translated(text, by_code[code]) for text in row[:2]), row[2]] for row in english]
            assert all(translated(one, by_code[code]) == two
                       for one, two in rows(raw / f"bitext/{split}.en-{code}.tsv"))


def test_harder_labels_follow_from_the_meaning_and_dev_is_unseen(raw: Path) -> None:
    seen = set()
    for split in ("train", "dev"):
        for line in (raw / f"anli/R3/{split}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            pair = Sentence(*row["context"].split()), Sentence(*row["hypothesis"].split())
            assert relation(*pair)[0] == row["label"]
            assert pair not in seen or split == "train"
            seen.add(pair)


def test_scores_follow_from_the_kinds_of_things_named(raw: Path) -> None:
    """Oracle: sets of kinds, actions, qualities and places per aspect; equal 1, one within the other 1/2, else 0."""
    def aspects(sentence: Sentence) -> list[object]:
        every = {"somewhere"} | {word for pair in world.PLACES for word in pair}
        place = every if sentence.place == "somewhere" else {sentence.place, world.SYNONYM[sentence.place]}
        wanted = [{(d, s) for d in range(5) for s in (0, 1) if qualities(a).get(d, s) == s}
                  for a in (sentence.a1, sentence.a2)]
        return [wanted[0], members(sentence.n1), members(sentence.v), wanted[1], members(sentence.n2), place]

    scored = list(csv.reader((raw / "stsb/stsb-en-train.csv").open(encoding="utf-8")))
    assert len({row[2] for row in scored}) > 6
    for first, second, score in scored:
        one, two = Sentence(*first.split()), Sentence(*second.split())
        parts = [1.0 if a == b else 0.5 if a < b or b < a else 0.0  # type: ignore[operator]
                 for a, b in zip(aspects(one), aspects(two), strict=True)]
        if one.aux != two.aux:
            parts[2] = 0.0
        assert float(score) == pytest.approx(5 * sum(parts) / 6, abs=6e-4)


def test_sentiment_goes_by_the_qualities(raw: Path) -> None:
    good, bad = {"happy", "glad", "clean", "tidy"}, {"sad", "gloomy", "dirty", "messy"}
    labelled = rows(raw / "sst2/train.tsv")[1:]
    assert sum(label == "1" for _, label in labelled) == 40
    for text, label in labelled:
        assert (bool(good & {*text.split()}), bool(bad & {*text.split()})) == (label == "1", label == "0")


def test_tags_follow_the_words_in_every_order(raw: Path, by_code: dict[str, Language]) -> None:
    people = {"person", *(word for pair in world.NOUNS["person"] for word in pair)}
    adjectives, nouns = {word for one, two in world.ADJECTIVES for word in (*one, *two)}, set(world.NOUN_WORDS)
    for task in ("udpos", "panx"):
        english = (raw / f"{task}/test-en.tsv").read_text(encoding="utf-8").strip().split("\n\n")
        for code in ("en", "gb", "gc", "gm"):
            blocks = (raw / f"{task}/test-{code}.tsv").read_text(encoding="utf-8").strip().split("\n\n")
            for source, block in zip(english, blocks, strict=True):
                sentence = Sentence(*(line.split("\t")[0] for line in source.split("\n")))
                words, tags = zip(*(line.split("\t") for line in block.split("\n")), strict=True)
                assert " ".join(words) == translated(" ".join(sentence), by_code[code])
                for slot, tag in zip(by_code[code].order, tags, strict=True):
                    if task == "udpos":
                        assert (tag == "NOUN", tag == "ADJ") == (sentence[slot] in nouns, sentence[slot] in adjectives)
                if task == "panx":
                    kinds = sorted(kind for kind, *_ in seqeval.get_entities(list(tags)))
                    assert kinds == ["LOC"] * (sentence.place != "somewhere") + ["PER"] * (
                        (sentence.n1 in people) + (sentence.n2 in people))


def test_dictionaries_hold_every_form(raw: Path, by_code: dict[str, Language]) -> None:
    listed = [line.split(" ") for line in (raw / "dictionaries/en-gm.txt").read_text(encoding="utf-8").splitlines()]
    assert {form for _, form in listed} == by_code["gm"].forms()
    assert {word for word, _ in listed} == set(world.WORDS)
