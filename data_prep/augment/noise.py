"""Character noise: misspelt letters, for perturbed evaluation cells and for training copies.

The unit is a letter with all that belongs to it: a grapheme cluster that begins with a letter (Unicode Standard Annex
29: marks, viramas with their conjuncts, Hangul syllables), and the spacing marks behind it. An edit that would join or
split units is not made. Words keep a letter at least, so that word boundaries, digits and punctuation stay.
"""

from __future__ import annotations

import random
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import regex
from rich.console import Console

from data_prep.augment.copies import Copies, check_least, check_ratio, fields_of, write_copies
from data_prep.base.errors import InputError
from data_prep.kinds.rows import TextBatch
from data_prep.planning import Settings

UNIT = regex.compile(r"\X\p{M}*")
LETTERS = regex.compile(r"(?:(?=\p{L})\X\p{M}*)+")

# name -> function of (unit before, empty at a word's first; the unit; a drawn letter): the units in place of both
EDITS: dict[str, Callable[[tuple[str, ...], str, str], tuple[str, ...]]] = {
    "typo": lambda before, letter, other: (*before, other),
    "swap": lambda before, letter, other: (letter, *before),
    "drop": lambda before, letter, other: before,
    "repeat": lambda before, letter, other: (*before, letter, letter),
    "case": lambda before, letter, other: (*before, letter.swapcase()),
}


@dataclass(frozen=True)
class Alphabet:
    """The letters of one script in a cell, lower case, with their frequencies: typos look like the language."""

    letters: Sequence[str]
    """In order."""
    ends: Sequence[int]
    """Occurrences of the letters up to and including each."""

    def other(self, letter: str, draw: float) -> str:
        """A letter other than `letter`, in its case, by a uniform `draw` in [0, 1); `letter` if there is no other."""
        at = bisect_left(self.letters, letter.lower())
        begin = self.ends[at - 1] if at else 0
        own = self.ends[at] - begin  # every letter of the cell is here
        rest = self.ends[-1] - own
        if not rest:
            return letter
        place = int(draw * rest)
        found = self.letters[bisect_right(self.ends, place + own * (place >= begin))]
        return found.upper() if letter.isupper() else found


@dataclass(frozen=True)
class Noise:
    """Rewriter of texts, see `copies.Rewrite`; counts letters, and those edited."""

    kinds: tuple[str, ...]
    ratio: float
    alphabets: dict[str, dict[str, Alphabet]] = field(default_factory=dict)
    """cell -> script -> its letters; filled by `survey`."""

    def __call__(self, texts: Sequence[str], draw: random.Random, cell: str) -> tuple[list[str], dict[str, int]]:
        counts = {"letters": 0, "letters_edited": 0}
        alphabets = self.alphabets[cell]

        def misspelt(found: regex.Match[str]) -> str:
            units = UNIT.findall(found[0])
            done: list[str] = []
            counts["letters"] += len(units)
            for at, letter in enumerate(units):
                if draw.random() >= self.ratio or not self._edit(done, units, at, draw, alphabets):
                    done.append(letter)
                else:
                    counts["letters_edited"] += 1
            return "".join(done)

        return [LETTERS.sub(misspelt, text) for text in texts], counts

    def _edit(
        self, done: list[str], units: Sequence[str], at: int, draw: random.Random, alphabets: Mapping[str, Alphabet]
    ) -> bool:
        """Edit the unit at a place, and `done`, the units before it; False if no edit is possible."""
        letter, before, after = units[at], tuple(done[-1:]), units[at + 1 : at + 2]
        other = alphabets[script(letter)].other(letter, draw.random())
        possible = []
        for kind in self.kinds:
            edited = EDITS[kind](before, letter, other)
            around = [*done[-2:-1], *edited, *after]
            if around and edited != (*before, letter) and UNIT.findall("".join(around)) == around:
                possible.append(edited)
        if possible:
            done[-1:] = possible[int(draw.random() * len(possible))]
        return bool(possible)

    def survey(self, cell: str, batches: Iterable[TextBatch], fields: Sequence[str]) -> Iterator[TextBatch]:
        """Collect the letters of a cell; raises InputError if it has none that can be edited."""
        seen = Counter[str]()
        for batch in batches:
            for values in (batch.columns[name] for name in fields if name in batch.columns):
                for value in values:
                    for text in [value] if isinstance(value, str) else value:
                        seen.update(unit for run in LETTERS.findall(text) for unit in UNIT.findall(run))
            yield batch
        has_case = any(letter.swapcase() != letter for letter in seen)
        if not seen or (self.kinds == ("case",) and not has_case):
            raise InputError(f"noise: the text of {cell} has no letter{' with a case' if seen else ''} to edit"
                             f"{'; give other --kinds' if seen else ''}")
        scripts: dict[str, Counter[str]] = defaultdict(Counter)
        for letter, n in seen.items():
            scripts[script(letter)][letter.lower()] += n
        self.alphabets[cell] = {name: alphabet(letters) for name, letters in scripts.items()}


def alphabet(letters: Mapping[str, int]) -> Alphabet:
    """The alphabet of letters with these counts."""
    names = sorted(letters)
    return Alphabet(names, list(accumulate(letters[name] for name in names)))


def script(letter: str) -> str:
    """Script of a letter, as the first word of its Unicode name (LATIN, CJK, HANGUL, DEVANAGARI)."""
    return unicodedata.name(letter[0], "UNKNOWN").split(" ")[0]


def noise(
    task: str, *, source: str, tokenizer: str, out: str, ratio: float = 0.1, kinds: str = ",".join(EDITS),
    only_perturbed: bool = False, copies: int | None = None, seed: int = 0, languages: str | None = "en",
    splits: str | None = "train", name: str = "noise", max_length: int | None = None, workers: int = 0,
    max_shard_mb: int = 256, overwrite: bool = False, drop_placeholders: bool = False,
) -> None:
    """Copies with misspelt letters: typos, swaps, omissions, repetitions and wrong case, in any script.

    ratio: probability that a letter (a whole grapheme cluster) is edited. kinds: comma list of edits, of which one that
    is possible is drawn: typo (another letter of the script, by its frequency in the cell), swap (with the letter
    before it), drop, repeat, case (in scripts that have it). only_perturbed: write each row once, perturbed, with its
    own id and key, for evaluation: it pairs with the clean cell by key. copies: else, perturbed rows beside each clean
    one (default 3). Of questions on a paragraph only the question is perturbed, of tagged sentences each word by
    itself. name: of the cells, `<task>+<name>`. Other arguments are those of `build`; by default only the English
    training split is written. languages: `*` for all that the source has.
    """
    fields = fields_of(task, lambda kind: kind.noised, "noise")
    check_ratio(ratio)
    if only_perturbed and copies is not None:
        raise InputError("--only_perturbed writes each row once; omit --copies")
    number = 0 if only_perturbed else 3 if copies is None else copies
    check_least(copies=1 if only_perturbed else number)
    chosen = tuple(part.strip() for part in kinds.split(","))
    unknown = [kind for kind in chosen if kind not in EDITS]
    if unknown or len(set(chosen)) < len(chosen):
        raise InputError(f"--kinds {kinds}: expected a comma list of {', '.join(EDITS)}, each once")
    rewriter = Noise(chosen, ratio)
    counts = write_copies(
        task, source, languages, splits,
        lambda augmentation: Settings(tokenizer, Path(out), max_length, workers, max_shard_mb, overwrite,
                                      drop_placeholders, augmentation),
        name, Copies(rewriter, number, seed, fields), f"noise ({' '.join(chosen)}), ratio {ratio:g}",
        lambda cell, batches: rewriter.survey(cell, batches, fields))
    if counts["letters"]:
        Console(highlight=False).print(f"{counts['letters_edited'] / counts['letters']:.1%} of "
                                       f"{counts['letters'] // max(number, 1):,} letters were edited")
