"""Words of a text, and files that list other words for a word."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import regex

from data_prep.base.errors import InputError
from data_prep.sources.lines import read_lines

# a run of letters with their marks, and digits; single apostrophes and hyphens inside: "don't", "well-known", "हिन्दी"
WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}\u200c\u200d]*(?:['’\-][\p{L}\p{N}][\p{L}\p{M}\p{N}\u200c\u200d]*)*")
SURROGATE = re.compile(r"[\ud800-\udfff]")

OtherWords = Mapping[str, Sequence[str]]


def others_of(words: OtherWords, word: str) -> Sequence[str]:
    """The words listed for `word`, or for its lower case."""
    return words.get(word) or words.get(word.lower()) or ()


def in_case_of(word: str, other: str) -> str:
    """`other` in the case of `word`: capitals, capitalised, or unchanged."""
    if len(word) > 1 and word.isupper():
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other


def word_pairs(file: Path) -> Iterator[tuple[str, str]]:
    """The words of each line, two, separated by a tab or by spaces; InputError names the line."""
    for number, line in enumerate(read_lines(file), start=1):
        words = [word.strip() for word in line.split("\t")] if "\t" in line.strip() else line.split()
        if not any(words):
            continue
        if len(words) != 2 or not all(words):
            raise InputError(f"{file}, line {number}: {len(words)} words, expected two")
        yield words[0], words[1]


def words_from_json(file: Path) -> dict[str, list[str]]:
    """The entries of a JSON dictionary {word: [other, ...]}, without the word itself among the others."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{file}: not valid JSON ({error}); expected {{word: [other, ...]}}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: a JSON {type(content).__name__}, expected a dictionary {{word: [other, ...]}}")
    for word, others in content.items():
        if not isinstance(others, list) or not all(_is_text(word) for word in (word, *others)):
            raise InputError(f"{file}: the entry of {word!r} is not a list of words")
    return {word: [other for other in dict.fromkeys(others) if other != word] for word, others in content.items()}


def content_hash(words: OtherWords) -> str:
    """Hash of the entries, 12 hex digits, whatever their order."""
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:12]


def _is_text(word: object) -> bool:
    """True for text that a tokenizer takes: JSON can encode half of a surrogate pair, which is none."""
    return isinstance(word, str) and word != "" and not SURROGATE.search(word)
