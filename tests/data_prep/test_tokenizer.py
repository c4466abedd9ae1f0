"""The trained tokenizer is XLM-R's in form, and its fingerprint survives saving and settings of a call."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer, XLMRobertaTokenizer

from data_prep.__main__ import main
from data_prep.base.errors import InputError
from data_prep.shards.tokenizers import tokenizer_fingerprint
from data_prep.tokenizer import load_tokenizer, make_tokenizer, train_tokenizer
from tests.data_prep.conftest import sentences


def test_ids_are_laid_out_as_in_xlm_r(tokenizer_folder: Path) -> None:
    loaded = AutoTokenizer.from_pretrained(tokenizer_folder)
    assert isinstance(loaded, XLMRobertaTokenizer)
    assert loaded.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert loaded.mask_token_id == len(loaded) - 1
    assert loaded("the dog", "a cat")["input_ids"][0] == loaded.cls_token_id == 0
    assert loaded.decode(loaded("the dog")["input_ids"], skip_special_tokens=True) == "the dog"
    ids = loaded("a <mask> dog", add_special_tokens=False)["input_ids"]
    assert ids[-2:] == [loaded.mask_token_id, loaded.convert_tokens_to_ids("▁dog")]


def test_fingerprint_is_of_the_content(tokenizer_folder: Path, tmp_path: Path) -> None:
    loaded = load_tokenizer(str(tokenizer_folder))
    before = tokenizer_fingerprint(loaded)
    loaded("the dog", truncation=True, max_length=8, padding="max_length")
    assert tokenizer_fingerprint(loaded) == before
    loaded.save_pretrained(str(tmp_path))
    assert tokenizer_fingerprint(load_tokenizer(str(tmp_path))) == before
    assert tokenizer_fingerprint(train_tokenizer(sentences(2000), 70)) != before


def test_training_is_repeatable() -> None:
    one, two = (tokenizer_fingerprint(train_tokenizer(sentences(500), 70, seed=3)) for _ in range(2))
    assert one == two


def test_whole_words() -> None:
    words = train_tokenizer(["the dog runs", "the cat sleeps"] * 5, 30, model="word")
    assert words.tokenize("the cat runs") == ["▁the", "▁cat", "▁runs"]
    assert words.convert_tokens_to_ids(words.tokenize("zebra")) == [3]
    with pytest.raises(InputError, match="twice"):
        make_tokenizer([("▁a", -1.0), ("▁a", -2.0)])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.tsv").write_text("".join(f"{s}\t{s}\tneutral\n" for s in sentences(400)), encoding="utf-8")
    (tmp_path / "y.txt").write_text("\n".join(sentences(400, seed=1)), encoding="utf-8")
    words = ["tokenizer", "--texts", f"{tmp_path}/x.tsv,{tmp_path}/y.txt", "--vocab_size", "80", "--out",
             str(tmp_path / "tok")]
    assert main(words) == 0
    loaded = load_tokenizer(str(tmp_path / "tok"))
    assert len(loaded) == 80
    assert "▁neutral" not in loaded.get_vocab(), "the label column is not text"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tok", "x.tsv", "y.txt"]
    capsys.readouterr()
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize(("flag", "value", "message"), [
    ("--texts", "absent.txt", "no such file"), ("--vocab_size", "3", "at least"),
    ("--vocab_size", "many", "whole number"),
    ("--columns", "0", "column numbers"), ("--model", "bpe", "unigram or word"),
])
def test_bad_input_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str, message: str
) -> None:
    (tmp_path / "y.txt").write_text("\n".join(sentences(50)), encoding="utf-8")
    given = {"--texts": str(tmp_path / "y.txt"), "--vocab_size": "60", "--out": str(tmp_path / "tok"), flag: value}
    assert main(["tokenizer", *[word for pair in given.items() for word in pair]]) == 2
    assert message in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["y.txt"]


def test_facts_on_languages_are_no_text(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "x.txt").write_text("\n".join(sentences(400)), encoding="utf-8")
    words = ["tokenizer", "--texts", str(texts), "--vocab_size", "80", "--out"]
    assert main([*words, str(tmp_path / "without")]) == 0
    (texts / "languages.tsv").write_text("code\tname\nga\tinvented quixotic\n" * 50, encoding="utf-8")
    assert main([*words, str(tmp_path / "with")]) == 0
    files = [tmp_path / name / "tokenizer.json" for name in ("with", "without")]
    assert files[0].read_bytes() == files[1].read_bytes()
