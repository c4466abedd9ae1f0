"""Code-mixing: which words are replaced, by what, and how often."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from data_prep.__main__ import main
from data_prep.augment.code_mix import CodeMix, load_dictionaries, load_dictionary
from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell

DICTIONARIES = {"sw": {"dog": ["mbwa"], "big": ["kubwa"]}, "tr": {"dog": ["köpek", "it"]}}


def test_share_of_replaced_words_is_the_ratio() -> None:
    text = "Dog big cat " * 2000
    (mixed,), counts = CodeMix(DICTIONARIES, 0.3)([text], random.Random(0), "")
    words = mixed.split()
    replaced = [word for word, old in zip(words, text.split(), strict=True) if word != old]
    assert counts == {"words": 6000, "words_with_translation": 4000, "words_replaced": len(replaced)}
    assert abs(len(replaced) - 1200) < 4 * (4000 * 0.21) ** 0.5
    assert set(replaced) == {"Mbwa", "Köpek", "It", "kubwa"}
    turkish = words.count("Köpek") + words.count("It")
    assert abs(turkish - words.count("Mbwa")) < 4 * (turkish + words.count("Mbwa")) ** 0.5


def test_one_language_per_copy() -> None:
    seen = set()
    for seed in range(20):
        mixed, _ = CodeMix(DICTIONARIES, 1.0, per_word_language=False)(["dog dog", "dog"], random.Random(seed), "")
        words = {word for text in mixed for word in text.split()}
        assert words == {"mbwa"} or words <= {"köpek", "it"}
        seen |= words
    assert seen == {"mbwa", "köpek", "it"}


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("dog mbwa\ndog\tmbwa mkubwa\ndog dog\n")
    (tmp_path / "b.json").write_text(json.dumps({"dog": ["it"]}))
    assert load_dictionary(tmp_path / "a.txt") == {"dog": ["mbwa", "mbwa mkubwa"]}
    assert load_dictionaries(f"sw={tmp_path}/a.txt,tr={tmp_path}/b.json").keys() == {"sw", "tr"}
    for bad in ("sw", f"sw={tmp_path}/none", f"sw={tmp_path}/a.txt,sw={tmp_path}/a.txt"):
        with pytest.raises(InputError, match="LANGUAGE=FILE"):
            load_dictionaries(bad)


def test_cells(tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/train-en.tsv").write_text("the dog\tthe cat\tneutral\n" * 20)
    (tmp_path / "d.json").write_text(json.dumps({"dog": ["Hund"]}))
    line = ["augment", "code_mix", "xnli", "--source", str(tmp_path / "s"), "--tokenizer", str(tokenizer_folder),
            "--dictionary", f"de={tmp_path}/d.json", "--copies", "2", "--out", str(tmp_path / "o")]
    assert main(line) == 0
    assert "25.0% of 80 words have a translation" in capsys.readouterr().out
    cell = open_cell(tmp_path / "o/xnli+code_mix/train/en")
    assert cell.dataset["key"][:3] == ["0#0", "0#1", "0#2"]
    assert "code_mix (de " in cell.manifest.source
    assert main(["verify", str(tmp_path / "o")]) == 0
