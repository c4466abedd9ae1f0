"""Pieces of words: token ids of sentences that are given as lists of words, for tagging."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from tokenizers import Tokenizer

from data_prep.base.errors import InputError
from data_prep.kinds.segments import token_lists
from data_prep.shards.template import UNKNOWN_CHARACTER

RARE_LETTER = "\U00013000"  # an Egyptian hieroglyph: the unknown token wherever there is one


def word_pieces(tokenizer: Tokenizer, sentences: Sequence[Sequence[str]]) -> list[list[list[int]]]:
    """Token ids, without special tokens, of each word of each sentence; equal words share a list.

    A word has the pieces that it has behind a space. Where the tokenizer does not put that space there itself, as
    SentencePiece, WordPiece and byte-level BPE with `add_prefix_space` do, it is written before each word, the first
    one included. Every word has a piece: one that the tokenizer deletes, such as a lone zero-width character, has
    those of U+FFFD or, where that is deleted too, of a letter that vocabularies do not have.
    Words repeat, so each different one is tokenised once.
    """
    alone, twice = token_lists(tokenizer, ["a", "a a"])
    space = "" if twice == alone + alone else " "
    words = list(dict.fromkeys(chain.from_iterable(sentences)))
    of_word = dict(zip(words, token_lists(tokenizer, [space + word for word in words]), strict=True))
    if not all(of_word.values()):
        nothing = next(filter(None, token_lists(tokenizer, [space + UNKNOWN_CHARACTER, space + RARE_LETTER])), None)
        if nothing is None:
            raise InputError("this tokenizer has no token for unknown characters; choose another")
        of_word = {word: pieces or nothing for word, pieces in of_word.items()}
    return [[of_word[word] for word in sentence] for sentence in sentences]
