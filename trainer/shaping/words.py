"""Words in the token ids of cells: where they are, how frequent they are, and which tokens are words of a language.

A word is a token that follows a space, by the tokenizer's own decoder, and the tokens up to the next of these;
SentencePiece, WordPiece and byte-level BPE are treated alike. Shapes: V vocabulary.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import regex

from data_prep.base.errors import InputError
from data_prep.shards.read import Cell
from trainer.kinds import named_kind

LETTERS = regex.compile(r"\p{L}[\p{L}\p{M}\u200c\u200d]*")
PART_OF_WORD = regex.compile(r"[\p{L}\p{M}\p{N}\ufffd]")  # the last one stands for a part of a character
LEAST_COUNT = 5  # occurrences of a word, of either language
TYPICAL = 4.0  # relative frequency of a candidate in its language against English
UNSPACED = {"Burmese", "Han", "Japanese", "Khmer", "Lao", "Thai", "Tibetan"}  # scripts without spaces between words
# Closed classes of English, whose replacement changes grammar or, of negations and quantifiers, the label; without
# words of place (above, inside), which have a translation of their own.
_FUNCTION_WORDS = (
    "a about after against all although am among an and another any anybody anyone anything are as at be because been "
    "before being both but by can cannot could despite did do does doing done during each either enough every "
    "everybody everyone everything except few for from had has have having he her hers herself him himself his how i "
    "if in into is it its itself least less like many may me might mine more most much must my myself neither never "
    "no nobody none nor not nothing of on one only onto or other others our ours ourselves out own per shall she "
    "should since so some somebody someone something such than that the their theirs them themselves then there these "
    "they this those though through till to too unless until upon us very was we were what whatever when whenever "
    "where whether which while who whoever whom whose why will with within without would yet you your yours yourself "
    "yourselves")
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())

Texts = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
Ids = tuple[int, ...]


class Place(NamedTuple):
    """An occurrence of a word: tokens `begin` to `end` of one of the two texts of an input."""

    texts: Texts
    part: int
    begin: int
    end: int


class Pieces(NamedTuple):
    """Tokens of a vocabulary: their texts, and (V,) bool, true on those that start a word, and that hold any of one."""

    texts: list[str]
    starts: npt.NDArray[np.bool_]
    inside: npt.NDArray[np.bool_]


class Words(NamedTuple):
    """Words of cells by their token ids: occurrences, places of some of them; and (V,) occurrences of every token."""

    counts: Counter[Ids]
    places: dict[Ids, list[Place]]
    tokens: npt.NDArray[np.int64]


def pieces_of(tokenizer: Any, vocab_size: int) -> Pieces:
    """Pieces of a tokenizer. Its decoder tells them, behind a token of letters that stands for the word before."""
    decode = tokenizer.backend_tokenizer.decode_batch
    alone = decode([[token] for token in range(vocab_size)], skip_special_tokens=False)
    before = next(token for token, text in enumerate(alone) if LETTERS.fullmatch(text.strip()))
    behind = decode([[before, token] for token in range(vocab_size)], skip_special_tokens=False)
    texts = [text[len(alone[before]):] for text in behind]
    return Pieces([text.strip() for text in texts], np.array([text[:1].isspace() for text in texts]),
                  np.array([PART_OF_WORD.search(text) is not None for text in texts]))


def find_words(cells: Sequence[Cell], pieces: Pieces, rows: int, seed: int, most: int) -> Words:
    """Words of at most `rows` rows of each cell, drawn by `seed`, with the first `most` places of each in that order.

    Neighbours in a file often share a text; drawn rows seldom do.
    """
    counts, places, tokens = Counter[Ids](), defaultdict[Ids, list[Place]](list), np.zeros(len(pieces.texts), np.int64)
    for cell in cells:
        drawn = np.random.default_rng(seed).permutation(len(cell))[:rows]
        for texts in named_kind(cell.manifest.kind).sequences(cell.take(drawn)).texts:
            for part, ids in enumerate(texts):
                if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(tokens):
                    raise InputError(f"{cell.path}: token ids outside a vocabulary of {len(tokens)}; find the damage "
                                     "with `python -m data_prep verify`")
                np.add.at(tokens, ids, 1)
                for begin, end in _spans(ids, pieces):
                    word = tuple(ids[begin:end].tolist())
                    counts[word] += 1
                    if len(places[word]) < most:
                        places[word].append(Place(texts, part, begin, end))
    return Words(counts, dict(places), tokens)


def _spans(ids: npt.NDArray[np.int32], pieces: Pieces) -> list[tuple[int, int]]:
    """(begin, end) of the words of a text, without the punctuation behind them."""
    starts = np.flatnonzero(pieces.starts[ids])
    if not len(starts) or starts[0]:
        starts = np.insert(starts, 0, 0)
    ends = np.append(starts[1:], len(ids))
    last = np.maximum.accumulate(np.where(pieces.inside[ids], np.arange(1, len(ids) + 1), 0))
    return [(begin, end) for begin, end in zip(starts.tolist(), last[ends - 1].tolist() if len(ids) else [],
                                               strict=False) if end > begin]


def candidate_ids(english: Words, other: Words, pieces: Pieces, script: str) -> npt.NDArray[np.int64]:
    """Tokens that are words of the other language, ascending: whole ones there, and typical against English.

    In a script without spaces every token of letters counts as a word.
    """
    whole = np.zeros(len(pieces.texts), np.int64)
    if script in UNSPACED:
        whole = other.tokens
    else:
        for ids, n in other.counts.items():  # a single letter is mostly a part of an abbreviation
            if len(ids) == 1 and pieces.starts[ids[0]] and len(pieces.texts[ids[0]]) > 1:
                whole[ids[0]] = n
    typical = whole / max(other.tokens.sum(), 1) >= TYPICAL * english.tokens / max(english.tokens.sum(), 1)
    return np.array([token for token in np.flatnonzero(typical & (whole >= LEAST_COUNT))
                     if LETTERS.fullmatch(pieces.texts[token])], dtype=np.int64)


def source_words(found: Words, tokenizer: Any, most: int, occurrences: int
                 ) -> tuple[dict[str, list[Place]], dict[str, int]]:
    """(places of the `most` most frequent content words by word, lower case; numbers of words left out by reason)."""
    spelt = tokenizer.backend_tokenizer.decode_batch([list(ids) for ids in found.counts], skip_special_tokens=False)
    counts, places = Counter[str](), defaultdict[str, list[Place]](list)
    for (ids, n), text in zip(found.counts.items(), spelt, strict=True):
        word = text.strip().lower()
        if LETTERS.fullmatch(word) and len(word) > 1:
            counts[word] += n
            places[word] += found.places[ids]
    content = {word: n for word, n in counts.items() if word not in FUNCTION_WORDS}
    often = [word for word, n in content.items() if n >= LEAST_COUNT]
    frequent = sorted(often, key=lambda word: (-content[word], word))
    reasons = {"function words": len(counts) - len(content),
               f"words with fewer than {LEAST_COUNT} occurrences": len(content) - len(frequent),
               "words beyond --words": len(frequent[most:])}
    return {word: places[word][:occurrences] for word in frequent[:most]}, {why: n for why, n in reasons.items() if n}
