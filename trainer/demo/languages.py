"""The demo's artificial languages: two ways to differ from English, each to an adjustable degree.

*Distance languages* have English grammar and a word of their own for every English word, whose embedding lies `sigma`
mean row norms from the English word's (`distance.py` puts it there): the misaligned representations of Huang et al.
2021 (arXiv 2104.08645), at a chosen distance. *Grammar languages* are learnt from text: a lexicon of invented words
with a share of English ones ("anchors": loan words, names, numbers in real languages), another word order, case
suffixes. Reports group them by `features`, which their raw data carry.

Inputs: a seed. Outputs: languages that render an English sentence of the world.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trainer.demo.world import SLOT_WORDS, WORDS, Sentence

ENGLISH = "en"
SIGMAS = (0.3, 0.5, 0.7, 0.9, 1.2)

# Word orders, as indices into the English slots A1 N1 AUX V A2 N2 PLACE.
ENGLISH_ORDER = (0, 1, 2, 3, 4, 5, 6)
NOUN_FIRST = (1, 0, 2, 3, 5, 4, 6)  # adjectives follow their nouns, verb in the middle
VERB_LAST = (0, 1, 4, 5, 6, 2, 3)  # subject, object, place, verb
NOUN_FIRST_VERB_LAST = (1, 0, 5, 4, 6, 2, 3)
AGENT_SLOT, PATIENT_SLOT = 1, 5
SYLLABLES = (3, 4)
ONSETS, VOWELS = "bdfgjklmnprstvz", "aeiou"


@dataclass(frozen=True)
class Language:
    """A way to say the world's sentences.

    lexicon: English word -> its word here, one to one. order: which English slot each place of the sentence takes.
    suffixes: English slot -> the ending that words take there. sigma: distance from English in the embedding table,
    None for languages learnt from text. anchors: English words that this language shares (but for case endings).
    """

    code: str
    lexicon: Mapping[str, str]
    order: tuple[int, ...] = ENGLISH_ORDER
    suffixes: Mapping[int, str] = field(default_factory=dict)
    sigma: float | None = None
    anchors: frozenset[str] = frozenset()

    def render(self, sentence: Sequence[str]) -> str:
        """Translate the English `sentence`."""
        return " ".join(self.word(sentence[slot], slot) for slot in self.order)

    def word(self, english: str, slot: int) -> str:
        """Word for `english` in English slot `slot`, with the ending of that slot."""
        return self.lexicon[english] + self.suffixes.get(slot, "")

    @property
    def features(self) -> tuple[str, ...]:
        """Columns of a `languages.tsv`, by construction: resource 0 without text, 1 with unlabelled text."""
        if self.code == ENGLISH:
            return ENGLISH, "English", "Germanic", "Latn", "5", "fusional"
        name = f"Toy language {self.code[-1].upper()}" if self.sigma is None else f"English at distance {self.sigma:g}"
        return (self.code, name, "Artificial", "Latn", "1" if self.sigma is None else "0",
                "agglutinative" if self.suffixes else "isolating")

    def forms(self) -> set[str]:
        """All words of the language, with the endings of the slots that they may fill."""
        return {form for word in WORDS for form in self.forms_of(word)}

    def forms_of(self, english: str) -> list[str]:
        """Forms of the word for `english`, sorted."""
        return sorted({self.word(english, slot) for slot, words in enumerate(SLOT_WORDS) if english in words})


@dataclass(frozen=True)
class Grammar:
    """Parameters of a grammar language."""

    code: str
    anchor_share: float
    order: tuple[int, ...]
    suffixes: tuple[tuple[int, str], ...] = ()


# From close to English to far from it. Endings hold letters that no invented word has: none is taken for another.
GRAMMARS: tuple[Grammar, ...] = (
    Grammar("ga", 0.30, ENGLISH_ORDER),
    Grammar("gb", 0.15, NOUN_FIRST),
    Grammar("gc", 0.05, VERB_LAST, ((AGENT_SLOT, "uh"), (PATIENT_SLOT, "ix"))),
)

# As close to English as `ga` but for its endings, which every word but AUX takes: rich morphology alone. Studies only.
RICH = Grammar("gm", 0.30, ENGLISH_ORDER, ((0, "uh"), (AGENT_SLOT, "uh"), (3, "ay"), (4, "ix"), (PATIENT_SLOT, "ix"),
                                           (6, "eq")))


def english() -> Language:
    """English itself."""
    return Language(ENGLISH, {word: word for word in WORDS}, anchors=frozenset(WORDS))


def distance_code(sigma: float) -> str:
    """Language code of a distance language, `d030` for a sigma of 0.3; sorted codes are in the order of distance."""
    return f"d{round(100 * sigma):03d}"


def distance_language(sigma: float) -> Language:
    """Language whose words lie `sigma` from the English ones; "dog30" is "dog" at a sigma of 0.3."""
    return Language(distance_code(sigma), {word: f"{word}{round(100 * sigma)}" for word in WORDS}, sigma=sigma)


def grammar_language(grammar: Grammar, seed: int) -> Language:
    """Language of the given grammar, with invented words and anchors drawn from `seed` and its code.

    Invented words differ from all English words, from each other and from those of other grammar languages, whose
    first letters differ.
    """
    rng = np.random.default_rng([seed, zlib.crc32(grammar.code.encode())])
    shared = rng.permutation(len(WORDS))[: round(grammar.anchor_share * len(WORDS))]
    anchors = frozenset(WORDS[i] for i in shared)
    lexicon: dict[str, str] = {}
    taken = set(WORDS)
    for word in WORDS:
        lexicon[word] = word if word in anchors else _invent(grammar.code, rng, taken)
        taken.add(lexicon[word])
    return Language(grammar.code, lexicon, grammar.order, dict(grammar.suffixes), anchors=anchors)


def languages(seed: int, sigmas: Sequence[float] = SIGMAS, grammars: Sequence[Grammar] = GRAMMARS) -> list[Language]:
    """English, then distance languages and grammar languages, each from near to far."""
    return [english(), *map(distance_language, sigmas), *(grammar_language(g, seed) for g in grammars)]


def study_languages(seed: int) -> list[Language]:
    """The demo's languages, and the morphologically rich one behind them."""
    return [*languages(seed), grammar_language(RICH, seed)]


def code_mixed(sentence: Sentence, other: Language, share: float, rng: np.random.Generator) -> str:
    """Code-mixed `sentence`: each English word is replaced by that of `other` with probability `share`."""
    return " ".join(other.word(word, slot) if rng.random() < share else word for slot, word in enumerate(sentence))


def _invent(code: str, rng: np.random.Generator, taken: set[str]) -> str:
    """Draw a word of three or four syllables that is not in `taken`; the first syllable is the language's own."""
    while True:
        count = int(rng.integers(SYLLABLES[0], SYLLABLES[1] + 1))
        word = f"{code[-1]}o" + "".join(
            ONSETS[rng.integers(len(ONSETS))] + VOWELS[rng.integers(len(VOWELS))] for _ in range(count - 1))
        if word not in taken:
            return word
