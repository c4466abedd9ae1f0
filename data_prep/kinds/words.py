"""Alignment of words and pieces: token ids of sentences that are given as lists of words, for tagging."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from data_prep.kinds.segments import token_lists
from data_prep.shards.template import UNKNOWN_CHARACTER


def word_pieces(
    tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], unk_id: int | None
) -> list[tuple[list[int], list[int]]]:
    """(ids, words) of each sentence: ids of its pieces without special tokens, and the index of each piece's word.

    A word has the pieces that it has behind a space. Where the tokenizer does not put that space there itself, as
    SentencePiece, WordPiece and byte-level BPE with `add_prefix_space` do, it is written before each word, the first
    one included. Every word has a piece: one that the tokenizer deletes, such as a lone zero-width character, becomes
    the unknown token or, where there is none (`unk_id` None), the pieces of U+FFFD.
    """
    alone, twice, unknown = token_lists(tokenizer, ["a", "a a", UNKNOWN_CHARACTER])
    space = "" if twice == alone + alone else " "
    nothing = unknown if unk_id is None else [unk_id]
    pieces = iter(token_lists(tokenizer, [space + word for sentence in sentences for word in sentence]))
    found = []
    for sentence in sentences:
        ids: list[int] = []
        words: list[int] = []
        for index in range(len(sentence)):
            word = next(pieces) or nothing
            ids += word
            words += [index] * len(word)
        found.append((ids, words))
    return found
