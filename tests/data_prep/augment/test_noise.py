"""Noise: whole grapheme clusters, words and what is no letter stay, and the share of edits is the ratio."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest

from data_prep.__main__ import main
from data_prep.augment.noise import EDITS, LETTERS, Noise, alphabet
from data_prep.base.errors import InputError
from data_prep.kinds.rows import TextBatch
from data_prep.shards.read import open_cell
from data_prep.tokenizer import load_tokenizer

# clusters written by hand, words apart
CLUSTERS = {
    "Devanagari": "हि न्दी | क्ष त्रि य | भा षा | स्त्री", "Thai": "กำ ลั ง | ที่ นี่ | น้ำ", "Hangul": "한 국 어 | 각 하",
    "Arabic": "مُ حَ مَّ د | كِ تَا ب".replace("تَا", "تَ ا"), "Latin": "n a i\u0308 v e | w o r d s"}
TEXTS = {name: written.replace(" | ", "_").replace(" ", "").replace("_", " ") for name, written in CLUSTERS.items()}


def noised(text: str, kinds: tuple[str, ...], ratio: float, seed: int) -> tuple[str, dict[str, int]]:
    one = Noise(kinds, ratio)
    list(one.survey("c", [TextBatch([0], {"first": [text]})], ["first"]))
    (found,), counts = one([text], random.Random(seed), "c")
    return found, counts


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("kind", EDITS)
def test_clusters_stay_whole(name: str, kind: str) -> None:
    own = {cluster.lower() for cluster in CLUSTERS[name].replace("|", "").split()}
    text = f"{TEXTS[name]}, 12!"
    changed = 0
    if kind == "case" and name != "Latin":
        with pytest.raises(InputError, match="no letter with a case"):
            noised(text, (kind,), 0.5, 0)
        return
    for seed in range(40):
        found, counts = noised(text, (kind,), 0.5, seed)
        assert found.endswith(", 12!")
        assert found.count(" ") == text.count(" ")
        assert all(word for word in found.split(" "))
        rest = found.removesuffix(", 12!").replace(" ", "").lower()
        reach = {0}  # the output is a sequence of the clusters of the input, in any order and number
        for at in range(len(rest)):
            if at in reach:
                reach |= {at + len(one) for one in own if rest.startswith(one, at)}
        assert len(rest) in reach, found
        assert bool(counts["letters_edited"]) == (found != text)
        changed += found != text
    assert changed > 20


def test_share_of_edits_is_the_ratio() -> None:
    words = "the quick brown fox jumps over lazy dogs " * 250
    for ratio in (0.05, 0.3):
        _, counts = noised(words, tuple(EDITS), ratio, 1)
        n = counts["letters"]
        assert n == sum(letter.isalpha() for letter in words)
        assert abs(counts["letters_edited"] - ratio * n) < 4 * (n * ratio * (1 - ratio)) ** 0.5


def test_typos_are_of_the_script_and_follow_frequencies() -> None:
    letters = alphabet({"a": 60, "b": 30, "c": 10})
    drawn = [letters.other("b", (i + 0.5) / 700) for i in range(700)]
    assert (drawn.count("a"), drawn.count("b"), drawn.count("c")) == (600, 0, 100)
    assert {letters.other("B", 0.1), letters.other("B", 0.95)} == {"A", "C"}
    mixed = "привет дом hello cat"
    for seed in range(30):
        found, _ = noised(mixed, ("typo",), 0.5, seed)
        for old, new in zip(mixed, found, strict=True):
            assert unicodedata.name(old).split()[0] == unicodedata.name(new).split()[0]


def test_perturbed_cells_pair_with_clean_ones(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s").mkdir()
    rows = "".join(f"the old dog sees {i}\tthe woman runs\tneutral\n" for i in range(70))
    (tmp_path / "s/test-en.tsv").write_text(rows)
    common = ["--source", str(tmp_path / "s"), "--tokenizer", str(tokenizer_folder), "--splits", "test"]
    line = ["augment", "noise", "xnli", *common, "--only_perturbed"]
    assert main(["build", "xnli", *common, "--out", str(tmp_path / "o")]) == 0
    assert main([*line, "--out", str(tmp_path / "o")]) == 0
    monkeypatch.setattr("data_prep.workers.POOL_FROM_ROWS", 0)
    monkeypatch.setattr("data_prep.sources.batches.BATCH_ROWS", 16)
    assert main([*line, "--out", str(tmp_path / "p"), "--workers", "2"]) == 0
    clean, noisy, other = (open_cell(tmp_path / path) for path in (
        "o/xnli/test/en", "o/xnli+noise/test/en", "p/xnli+noise/test/en"))
    assert noisy.manifest.rows_sha256 == other.manifest.rows_sha256
    assert noisy.manifest.parallel
    for name in ("id", "key", "label"):
        assert noisy.dataset[name][:] == clean.dataset[name][:]
    assert noisy.manifest.rows_sha256 != clean.manifest.rows_sha256
    assert main([*line, "--out", str(tmp_path / "o"), "--ratio", "0.3", "--name", "noise30"]) == 0
    (tmp_path / "s/test-de.tsv").write_text("der Hund\tdie Frau\tneutral\n")
    assert main([*line, "--out", str(tmp_path / "o"), "--languages", "*", "--name", "every"]) == 0
    found = {name: sorted(path.name for path in (tmp_path / f"o/xnli+{name}/test").iterdir() if path.is_dir())
             for name in ("noise30", "every")}
    assert found == {"noise30": ["en"], "every": ["de", "en"]}
    assert main([*line, "--out", str(tmp_path / "o"), "--ratio", "0.3"]) == 2
    for more, message in ((["--ratio", "0"], "--ratio"), (["--kinds", "typo,tipo"], "--kinds"), (["--copies", "2"],
                          "omit --copies"), (["--name", "a/b"], "--name"), (["--neighbours", "x"], "no flag")):
        assert main([*line, "--out", str(tmp_path / "q"), *more]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "q").exists()


def test_tags_and_answers_stay(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/train-en.tsv").write_text("the\tDET\ndog\tNOUN\nruns\tVERB\n\n" * 20)
    common = ["--source", str(tmp_path / "s"), "--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / "o")]
    assert main(["augment", "noise", "udpos", *common, "--only_perturbed", "--ratio", "0.5"]) == 0
    cell = open_cell(tmp_path / "o/udpos+noise/train/en")
    names = [cell.manifest.labels[label] for row in cell.dataset["labels"] for label in row]
    assert names == ["DET", "NOUN", "VERB"] * 20
    tokenizer = load_tokenizer(str(tokenizer_folder))
    assert {len(tokenizer.decode(ids).split()) for ids in cell.dataset["first_ids"]} == {3}
    assert LETTERS.findall("a1b") == ["a", "b"]
