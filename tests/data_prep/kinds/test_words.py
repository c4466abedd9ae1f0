"""Words and their pieces equal transformers' `is_split_into_words`, with every tokenizer and for every word."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from data_prep.base.errors import InputError
from data_prep.kinds.words import word_pieces
from data_prep.tokenizer import load_tokenizer
from tests.tokenizer_folders import FOLDERS, SENTENCES

WRITES_ITS_SPACE = {name: name not in ("modernbert", "eurobert") for name in FOLDERS}
WORDS = (
    "the", "dog", "dog,", "(dog", "dog's", "New York", "läuft", "la\u0308uft", "狗跑了", "猫", "สุนัขวิ่งเร็ว", "नमस्ते",
    "الكلب", "1,234", "👩‍👩‍👧", "a\u200db", "x" * 150, "ﬁ", "ｆｕｌｌ", "②", "!", "…", "##s", "[SEP]", "</s>",
)
DELETED = ("\u200b", "\ufffd", "\ufeff", "\u200e", "\x01", "", " ")


def random_sentences(words: tuple[str, ...], seed: int) -> list[list[str]]:
    draw = random.Random(seed)
    return [draw.choices(words, k=draw.choice([0, 1, 2, 5, 12])) for _ in range(40)]


def flat(pieces: list[list[int]]) -> tuple[list[int], list[int]]:
    """Ids of a sentence's pieces, and the index of each piece's word."""
    return [token for word in pieces for token in word], [index for index, word in enumerate(pieces) for _ in word]


def own_pieces(tokenizer: Any, words: list[str]) -> tuple[list[int], list[int]]:
    encoded = tokenizer(words, is_split_into_words=True, add_special_tokens=False)
    return encoded["input_ids"], encoded.word_ids()


@pytest.mark.parametrize("family", FOLDERS)
def test_pieces_equal_the_tokenizers_own(families: dict[str, Path], family: str) -> None:
    own, loaded = AutoTokenizer.from_pretrained(families[family]), load_tokenizer(str(families[family]))
    space = "" if WRITES_ITS_SPACE[family] else " "
    sentences = random_sentences(WORDS, 1)
    found = word_pieces(loaded.backend_tokenizer, sentences)
    for words, pieces in zip(sentences, found, strict=True):
        ids, index = flat(pieces)
        assert (ids, index) == own_pieces(own, [space + word for word in words]), words
        assert list(dict.fromkeys(index)) == list(range(len(words)))


@pytest.mark.parametrize("family", FOLDERS)
def test_words_have_the_pieces_that_they_have_in_running_text(families: dict[str, Path], family: str) -> None:
    loaded = load_tokenizer(str(families[family]))
    for text in SENTENCES[:10]:
        ids, _ = flat(word_pieces(loaded.backend_tokenizer, [text.split()])[0])
        behind_a_word = loaded(f"a {text}", add_special_tokens=False)["input_ids"]
        assert behind_a_word == loaded("a", add_special_tokens=False)["input_ids"] + ids


@pytest.mark.parametrize("family", FOLDERS)
def test_no_word_is_lost(families: dict[str, Path], family: str) -> None:
    loaded = load_tokenizer(str(families[family]))
    space = "" if WRITES_ITS_SPACE[family] else " "
    deleted = 0
    unknown, _ = own_pieces(loaded, [space + "𓀀"])
    assert WRITES_ITS_SPACE[family] is (loaded.unk_token_id in unknown)  # the others spell bytes
    for words in random_sentences((*DELETED, "dog", "猫"), 2):
        pieces, = word_pieces(loaded.backend_tokenizer, [words])
        for word, ids in zip(words, pieces, strict=True):
            own, _ = own_pieces(loaded, [space + word])
            deleted += not own
            assert ids == (own or unknown)
    assert deleted or not WRITES_ITS_SPACE[family]


@pytest.mark.parametrize("writes", [True, False])
def test_byte_level_bpe_writes_the_space_or_gets_it(writes: bool) -> None:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=writes)
    backend.train_from_iterator(SENTENCES, trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    own = PreTrainedTokenizerFast(tokenizer_object=backend)
    own.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    sentences = random_sentences(WORDS, 3)
    for words, found in zip(sentences, word_pieces(backend, sentences), strict=True):
        assert flat(found) == own_pieces(own, words)


def test_deleted_words_without_an_unknown_token() -> None:
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.Replace("\u200b", "")
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.train_from_iterator(SENTENCES, trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    replaced = backend.encode("\ufffd").ids
    dog = backend.encode("dog").ids
    assert word_pieces(backend, [["dog", "\u200b", "dog"]]) == [[dog, replaced, dog]]


def test_a_tokenizer_that_drops_what_it_does_not_know_is_refused() -> None:
    backend = Tokenizer(models.BPE({"a": 0}, []))
    with pytest.raises(InputError, match="no token for unknown characters"):
        word_pieces(backend, [["a", "\u200b"]])
