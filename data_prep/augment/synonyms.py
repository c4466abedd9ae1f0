"""RS-DA, randomized smoothing by data augmentation (Huang et al. 2021, arXiv 2104.08645).

Each word of a copy is a uniform draw from itself and its neighbours.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import regex
from rich.console import Console

from data_prep.augment.copies import Copies, check_least, fields_of, write_copies
from data_prep.augment.words import (
    WORD,
    OtherWords,
    content_hash,
    in_case_of,
    others_of,
    word_pairs,
    words_from_json,
)
from data_prep.base.errors import InputError
from data_prep.planning import Settings


@dataclass(frozen=True)
class Synonyms:
    """Rewriter of texts, see `copies.Rewrite`; `words` and `words_with_neighbour` are counted per copy."""

    neighbours: OtherWords

    def __call__(self, texts: Sequence[str], draw: random.Random, cell: str) -> tuple[list[str], dict[str, int]]:
        words = [word for text in texts for word in WORD.findall(text)]
        known = sum(bool(others_of(self.neighbours, word)) for word in words)
        return [self.perturb(text, draw) for text in texts], {"words": len(words), "words_with_neighbour": known}

    def perturb(self, text: str, draw: random.Random) -> str:
        """`text` with each word replaced by a uniform draw from itself and its neighbours, in the word's case."""

        def replace(found: regex.Match[str]) -> str:
            word = found[0]
            choices = others_of(self.neighbours, word)
            if not choices:
                return word
            at = int(draw.random() * (len(choices) + 1))
            return word if at == len(choices) else in_case_of(word, choices[at])

        return WORD.sub(replace, text)


def synonyms(
    task: str, source: str, neighbours: str, tokenizer: str, out: str, copies: int = 3, max_neighbours: int = 8,
    seed: int = 0, languages: str | None = "en", splits: str | None = "train", name: str = "synonyms",
    max_length: int | None = None, workers: int = 0, max_shard_mb: int = 256, overwrite: bool = False,
    drop_placeholders: bool = False,
) -> None:
    """Copies with words replaced by synonyms (RS-DA): each word drawn from itself and its neighbours.

    neighbours: a JSON dictionary {word: [neighbour, ...]} or a list with two words per line, each the other's
    neighbour. copies: perturbed rows beside each clean one. name: of the cells, `<task>+<name>`. Other arguments are
    those of `build`; by default only the English training split is written.
    """
    fields = fields_of(task, lambda kind: kind.texts, "synonyms")
    check_least(copies=copies, max_neighbours=max_neighbours)
    file = Path(neighbours)
    if not file.is_file():
        raise InputError(f"--neighbours {neighbours}: no such file; expected a JSON dictionary or two words per line")
    kept = {word: others[:max_neighbours] for word, others in load_neighbours(file).items()}
    counts = write_copies(
        task, source, languages, splits,
        lambda augmentation: Settings(tokenizer, Path(out), max_length, workers, max_shard_mb, overwrite,
                                      drop_placeholders, augmentation),
        name, Copies(Synonyms(kept), copies, seed, fields),
        f"synonyms from {file.name} ({content_hash(kept)}), {max_neighbours} neighbours")
    if counts["words"]:
        Console(highlight=False).print(f"{counts['words_with_neighbour'] / counts['words']:.1%} of "
                                       f"{counts['words'] // copies:,} words have a neighbour")


def load_neighbours(file: Path) -> dict[str, list[str]]:
    """word -> neighbours, in the order of the file, without the word itself.

    A `.json` file is a dictionary {word: [neighbour, ...]}; any other file is a list of symmetric pairs, two words per
    line. Raises InputError, naming the place, for anything else.
    """
    neighbours = words_from_json(file) if file.suffix == ".json" else _from_pairs(file)
    neighbours = {word: others for word, others in neighbours.items() if others}
    if not neighbours:
        raise InputError(f"{file}: no word with a neighbour; expected a JSON dictionary or two words per line")
    return neighbours


def _from_pairs(file: Path) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}  # dictionaries as ordered sets
    for one, other in word_pairs(file):
        if one != other:
            found.setdefault(one, {})[other] = None
            found.setdefault(other, {})[one] = None
    return {word: list(others) for word, others in found.items()}
