"""RS-DA, randomized smoothing by data augmentation (Huang et al. 2021, arXiv 2104.08645).

Input: batches of text and a list of neighbours. Output: batches with each clean row and, after it, `copies` rows in
which every word is a uniform draw from itself and its neighbours. The draw is a function of seed, row and copy alone,
so it depends neither on workers nor on batches.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.base.errors import InputError
from data_prep.kinds.rows import TextBatch
from data_prep.sources.lines import read_lines

# a run of letters and digits, with single apostrophes and hyphens inside: "don't", "well-known"
WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")

SURROGATE = re.compile(r"[\ud800-\udfff]")

Neighbours = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Synonyms:
    """Augmenter of batches; callable in worker processes."""

    neighbours: Neighbours
    copies: int
    seed: int
    texts: tuple[str, ...] = ("first", "second")
    """Names of the plain texts of a row."""

    def __call__(self, batch: TextBatch) -> tuple[TextBatch, dict[str, int]]:
        result = TextBatch()
        counts = {"words": 0, "words_with_neighbour": 0}
        keys = batch.keys or [str(row) for row in batch.ids]
        texts = [name for name in self.texts if name in batch.columns]
        for at, (row, key) in enumerate(zip(batch.ids, keys, strict=True)):
            values = {name: column[at] for name, column in batch.columns.items()}
            for text in (values[name] for name in texts):
                words = WORD.findall(text)
                counts["words"] += len(words)
                counts["words_with_neighbour"] += sum(bool(self._choices(word)) for word in words)
            result.add(row * (self.copies + 1), values, f"{key}#0")
            for copy in range(1, self.copies + 1):
                draw = random.Random(f"{self.seed}/{row}/{copy}")
                perturbed = {name: self.perturb(values[name], draw) for name in texts}
                result.add(row * (self.copies + 1) + copy, values | perturbed, f"{key}#{copy}")
        return result, counts

    def perturb(self, text: str, draw: random.Random) -> str:
        """`text` with each word replaced by a uniform draw from itself and its neighbours, in the word's case."""

        def replace(found: re.Match[str]) -> str:
            word = found[0]
            choices = self._choices(word)
            if not choices:
                return word
            at = int(draw.random() * (len(choices) + 1))
            return word if at == len(choices) else _in_case_of(word, choices[at])

        return WORD.sub(replace, text)

    def _choices(self, word: str) -> Sequence[str]:
        return self.neighbours.get(word) or self.neighbours.get(word.lower()) or ()


def _in_case_of(word: str, other: str) -> str:
    """`other` in the case of `word`: capitals, capitalised, or unchanged."""
    if len(word) > 1 and word.isupper():
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other


def make(
    neighbours: str, copies: int, max_neighbours: int, seed: int, texts: tuple[str, ...] = ("first", "second")
) -> tuple[Synonyms, str]:
    """The augmenter of a file of neighbours, and its settings in words (for the manifest)."""
    for flag, value, least in (("copies", copies, 1), ("max_neighbours", max_neighbours, 1)):
        if value < least:
            raise InputError(f"--{flag} must be at least {least}, found {value}")
    file = Path(neighbours)
    if not file.is_file():
        raise InputError(f"--neighbours {neighbours}: no such file; expected a JSON dictionary or two words per line")
    listed = load_neighbours(file)
    kept = {word: others[:max_neighbours] for word, others in listed.items()}
    content = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]
    settings = f"synonyms from {file.name} ({content}), {copies} copies, {max_neighbours} neighbours, seed {seed}"
    return Synonyms(kept, copies, seed, texts), settings


def load_neighbours(file: Path) -> dict[str, list[str]]:
    """word -> neighbours, in the order of the file, without the word itself.

    A `.json` file is a dictionary {word: [neighbour, ...]}; any other file is a list of symmetric pairs, two words per
    line. Raises InputError, naming the place, for anything else.
    """
    neighbours = _from_json(file) if file.suffix == ".json" else _from_pairs(file)
    neighbours = {word: others for word, others in neighbours.items() if others}
    if not neighbours:
        raise InputError(f"{file}: no word with a neighbour; expected a JSON dictionary or two words per line")
    return neighbours


def _is_text(word: object) -> bool:
    """Whether `word` is text that a tokenizer takes: JSON can encode half of a surrogate pair, which is not."""
    return isinstance(word, str) and word != "" and not SURROGATE.search(word)


def _from_json(file: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{file}: not valid JSON ({error}); expected {{word: [neighbour, ...]}}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: a JSON {type(content).__name__}, expected a dictionary {{word: [neighbour, ...]}}")
    for word, others in content.items():
        if not isinstance(others, list) or not all(_is_text(word) for word in (word, *others)):
            raise InputError(f"{file}: the entry of {word!r} is not a list of words")
    return {word: [other for other in dict.fromkeys(others) if other != word] for word, others in content.items()}


def _from_pairs(file: Path) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}  # dictionaries as ordered sets
    for number, line in enumerate(read_lines(file), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise InputError(f"{file}, line {number}: {len(words)} words, expected two")
        one, other = words
        if one != other:
            found.setdefault(one, {})[other] = None
            found.setdefault(other, {})[one] = None
    return {word: list(others) for word, others in found.items()}
