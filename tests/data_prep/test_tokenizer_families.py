"""Tokenizers of every encoder family: built cells equal transformers' own inputs, and what a tokenizer must have."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from data_prep.__main__ import main
from data_prep.base.errors import InputError
from data_prep.kinds import KINDS
from data_prep.shards.assemble import assemble, token_types
from data_prep.shards.manifest import TokenizerInfo, read_manifest
from data_prep.shards.read import find_cells, open_cell
from data_prep.shards.template import InputTemplate
from data_prep.shards.tokenizers import tokenizer_dir
from data_prep.tokenizer import describe_tokenizer, load_tokenizer
from tests.data_prep.pairs import pair_batch
from tests.tokenizer_folders import FOLDERS, SENTENCES, eurobert
from tests.tokenizer_folders import bert as write_bert

XLMR = ("<s>", "</s>", "<pad>", "<mask>", "<unk>"), "{0} A {1}", "{0} A {1} {1} B {1}"
BERT = ("[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]"), "{0} A {1}", "{0} A {1} B:1 {1}:1"
EXPECTED = {  # (cls, sep, pad, mask, unk), templates of their ids
    "xlm_roberta": XLMR, "minilm": XLMR, "gte": XLMR, "bert": BERT, "deberta_v2": BERT,
    "modernbert": (("<bos>", "<eos>", "<pad>", "<mask>", "<unk>"), "{0} A {1}", "{0} A {1} B {1}"),
    "eurobert": (("<|begin_of_text|>", "<|end_of_text|>", "<|pad|>", "<|mask|>", None), "{0} A {1}",
                 "{0} A {1} B {1}"),
}
PARTS = (
    *" \t\n\u00a0\u3000", "dog", "The dog's house.", "Hund läuft", "Hund la\u0308uft", "狗跑了，猫睡", "สุนัขวิ่งเร็ว",
    "नमस्ते", "الكلب", "бежит", "👩‍👩‍👧 😀", "🇩🇪", "\u200b", "a\u200db", "\u200e", "\ufeff", "\ufffd", "\x01", "\x7f",
    "\x85", "ﬁ ①½ ｆｕｌｌ", "İI", "x" * 150, "狗" * 120, "▁", "##s", "Ġ", "<0x0A>", "1234567.89", "e-mail: a@b.c",
    "<s>", "</s>", "<pad>", "<mask>", "a<mask>b", "<unk>", "[CLS]", "[SEP]", "[MASK]", " [UNK] ", "<bos>", "<eos>",
    "<|begin_of_text|>", "<|end_of_text|>", "<|mask|>",
)


def own_ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def random_texts(n: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [draw.choice(["", " "]).join(draw.choices(PARTS, k=draw.choice([0, 1, 2, 4, 9]))) for _ in range(n)]


@pytest.mark.parametrize("family", FOLDERS)
def test_special_tokens_and_template_are_the_tokenizers_own(families: dict[str, Path], family: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(families[family])
    described = describe_tokenizer(load_tokenizer(str(families[family])), family)
    names, single, pair = EXPECTED[family]
    ids = [None if name is None else tokenizer.get_vocab()[name] for name in names]
    assert [described.cls_id, described.sep_id, described.pad_id, described.mask_id, described.unk_id] == ids
    assert described.template == InputTemplate(single=single.format(*ids), pair=pair.format(*ids))
    assert described.vocab_size == len(tokenizer)


@pytest.mark.parametrize("family", FOLDERS)
def test_inputs_equal_the_tokenizers_own(families: dict[str, Path], family: str) -> None:
    own, tokenizer = AutoTokenizer.from_pretrained(families[family]), load_tokenizer(str(families[family]))
    template = describe_tokenizer(tokenizer, family).template
    for max_length in (8, 9, 33):
        first, second = random_texts(60, max_length), random_texts(60, -max_length)
        batch = pair_batch(range(60), first, second, [0] * 60)
        rows = KINDS["pair"].encode(batch, tokenizer.backend_tokenizer, max_length, template).table.to_pylist()
        for row, a, b in zip(rows, first, second, strict=True):
            texts = [a, b] if own_ids(own, b) else [a]  # a second text without a single token is no text
            expected = own(*texts, truncation="longest_first", max_length=max_length)
            built = assemble(row["first_ids"], row["second_ids"], max_length, template).tolist()
            assert built == expected["input_ids"], (a, b)
            types = token_types(len(row["first_ids"]), len(row["second_ids"]), max_length, template).tolist()
            assert types == expected.get("token_type_ids", [0] * len(built))
            assert row["length"] == len(built)


@pytest.mark.parametrize("family", FOLDERS)
def test_texts_that_spell_special_tokens_get_their_ids(families: dict[str, Path], family: str) -> None:
    """As transformers does it: a raw text can hold a separator, which is then no content."""
    tokenizer = load_tokenizer(str(families[family]))
    template = describe_tokenizer(tokenizer, family).template
    for name in filter(None, EXPECTED[family][0]):
        batch = pair_batch([0], [f"the{name}dog"], [""], [0])
        row = KINDS["pair"].encode(batch, tokenizer.backend_tokenizer, 64, template).table.to_pylist()[0]
        assert row["first_ids"].count(tokenizer.get_vocab()[name]) == 1, name


@pytest.mark.parametrize("family", FOLDERS)
def test_build_verify_and_peek(
    families: dict[str, Path], family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    draw = random.Random(1)
    lines = [f"{draw.choice(SENTENCES)}\t{draw.choice([*SENTENCES, ''])}\tneutral" for _ in range(40)]
    (source / "train-en.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (source / "train-en.txt").write_text("\n".join(line.rpartition("\t")[0] for line in lines), encoding="utf-8")
    own = AutoTokenizer.from_pretrained(families[family])
    for task in ("xnli", "text"):
        assert main(["build", task, "--source", str(source), "--tokenizer", str(families[family]), "--out", str(out),
                     "--max_length", "24", "--workers", "1"]) == 0
        cell = open_cell(out / task / "train" / "en", verify="sha256")
        manifest = cell.manifest
        kept = load_tokenizer(str(tokenizer_dir(out, manifest.tokenizer.fingerprint)))
        assert describe_tokenizer(kept, str(families[family])) == manifest.tokenizer, "saved and loaded, it is the same"
        for row in cell.dataset:
            first, second, _ = lines[row["id"]].split("\t")
            built = assemble(row["first_ids"], row["second_ids"], 24, manifest.tokenizer.template).tolist()
            assert built == own(first, second or None, truncation="longest_first", max_length=24)["input_ids"]
            assert built == kept(first, second or None, truncation="longest_first", max_length=24)["input_ids"]
    assert main(["verify", str(out)]) == 0
    assert main(["peek", str(out / "text" / "train" / "en"), "--rows", "2"]) == 0
    shown = capsys.readouterr().out
    assert "2 of 2 cells are whole" in shown
    assert lines[0].split()[0] in shown
    assert len(find_cells(out)) == 2


def saved(tokenizer: Any, folder: Path) -> str:
    tokenizer.save_pretrained(folder)
    return str(folder)


def without(write: Any, folder: Path, *names: str) -> str:
    """The folder that `write` makes, without these special tokens in its configuration."""
    folder.mkdir()
    write(folder)
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({key: value for key, value in settings.items() if key not in names}), encoding="utf-8")
    return str(folder)


def test_masked_language_modelling_needs_a_mask_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = without(eurobert, tmp_path / "tokenizer", "mask_token")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train-en.tsv").write_text("a\tb\tneutral\n", encoding="utf-8")
    (tmp_path / "source" / "train-en.txt").write_text("a\n", encoding="utf-8")
    words = ["--source", str(tmp_path / "source"), "--tokenizer", folder, "--out", str(tmp_path / "out")]
    assert main(["build", "text", *words]) == 2
    assert "has no mask token, which kind mlm needs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["build", "xnli", *words]) == 0
    manifest = read_manifest(tmp_path / "out/xnli/train/en")
    assert manifest.tokenizer.mask_id is None
    assert TokenizerInfo.model_validate_json(manifest.tokenizer.model_dump_json()) == manifest.tokenizer


def test_types_that_the_tokenizer_does_not_pass_are_not_in_the_template(tmp_path: Path) -> None:
    write_bert(tmp_path)
    assert describe_tokenizer(load_tokenizer(str(tmp_path)), "").template.pair == "2 A 3 B:1 3:1"
    bert = AutoTokenizer.from_pretrained(tmp_path, model_input_names=["input_ids", "attention_mask"])
    assert describe_tokenizer(load_tokenizer(saved(bert, tmp_path / "two")), "").template.pair == "2 A 3 B 3"


def test_vocabulary_with_unused_ids(tmp_path: Path) -> None:
    backend = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "dog": 9}, "[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = saved(PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]"), tmp_path)
    described = describe_tokenizer(load_tokenizer(folder), "")
    assert (described.vocab_size, described.cls_id, described.sep_id) == (10, None, None)


def test_tokenizers_that_are_refused(tmp_path: Path) -> None:
    def refusal(folder: str) -> str:
        with pytest.raises(InputError) as caught:
            load_tokenizer(folder)
        return str(caught.value)

    assert "no padding token" in refusal(without(eurobert, tmp_path / "pad", "pad_token"))
    write_bert(tmp_path)
    left = AutoTokenizer.from_pretrained(tmp_path, truncation_side="left")
    assert "truncates on the left" in refusal(saved(left, tmp_path / "left"))
    (tmp_path / "vocab.txt").unlink()
    assert "5 special tokens and no word" in refusal(str(tmp_path))
    letters = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0, "[PAD]": 1}, [])),
                                      pad_token="[PAD]")
    assert "drop characters" in refusal(saved(letters, tmp_path / "letters"))
    python = tmp_path / "python"
    python.mkdir()
    for name, content in (("config.json", '{"model_type": "xlm"}'), ("vocab.json", '{"a": 0}'), ("merges.txt", "")):
        (python / name).write_text(content, encoding="utf-8")
    message = refusal(str(python))
    assert "XLMTokenizer" in message
    assert "a fast tokenizer" in message or "a fast one" in message
