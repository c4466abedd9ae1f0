"""Generator of the demo's data: a lexicon of 107 English words, and sentence pairs with known entailment relations.

A sentence fills seven fixed slots, `A1 N1 AUX V A2 N2 PLACE`: "certain dog does watch old horse indoors". An absent
adjective is "certain" and an absent place "somewhere", so every sentence has seven words; sentences of varying
length keep a tiny model near unigram level. AUX is "does" or "not".

Semantics: a sentence is the set of situations that it allows. A situation fixes the kind of the agent and of the
patient, each of their five qualities, the action and the place. A word allows what it names or, for the word of a
class, all its members; "not" allows every action but those that the verb names. One sentence *entails* another if it
allows no situation that the other excludes, *contradicts* it if no situation fits both, and is *neutral* otherwise.

Inputs: a numpy Generator. Outputs: sentences as tuples of words, labelled pairs, unlabelled documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# class word -> its members, each with its synonym
NOUNS: dict[str, tuple[tuple[str, str], ...]] = {
    "animal": (("dog", "hound"), ("cat", "kitty"), ("horse", "steed"), ("rabbit", "bunny")),
    "person": (("child", "kid"), ("doctor", "physician"), ("teacher", "tutor"), ("soldier", "trooper")),
    "vehicle": (("car", "auto"), ("boat", "vessel"), ("bike", "cycle"), ("plane", "jet")),
    "food": (("bread", "loaf"), ("soup", "broth"), ("candy", "sweet"), ("cookie", "biscuit")),
    "tool": (("hammer", "mallet"), ("knife", "blade"), ("rope", "cord"), ("bag", "sack")),
}
VERBS: dict[str, tuple[tuple[str, str], ...]] = {
    "perceive": (("watch", "observe"), ("spot", "notice"), ("study", "examine")),
    "move": (("carry", "haul"), ("pull", "drag"), ("push", "shove")),
    "get": (("buy", "purchase"), ("find", "discover"), ("steal", "pilfer")),
    "contact": (("hit", "strike"), ("kick", "boot"), ("touch", "feel")),
}
# Two opposite qualities each, a quality being a word and its synonym.
ADJECTIVES: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = (
    (("big", "large"), ("small", "little")),
    (("fast", "quick"), ("slow", "sluggish")),
    (("young", "youthful"), ("old", "aged")),
    (("happy", "glad"), ("sad", "gloomy")),
    (("clean", "tidy"), ("dirty", "messy")),
)
PLACES: tuple[tuple[str, str], ...] = (
    ("indoors", "inside"), ("outdoors", "outside"), ("upstairs", "above"), ("downstairs", "below"), ("nearby", "close"),
)
ANY_QUALITY, ANY_PLACE = "certain", "somewhere"
DOES, NOT = "does", "not"
LABELS = ("contradiction", "entailment", "neutral")

PREMISE_CLASS_WORD, PREMISE_MODIFIER, PREMISE_NEGATED = 0.2, 0.5, 0.4
# Consecutive sentences of a text mostly agree. In text as contradictory as the labelled pairs, a word and its opposite
# have the same contexts, and the model often never learns to tell them apart.
TEXT_ENTAILED = 0.75


@dataclass(frozen=True)
class Wording:
    """Wording of an entailed sentence."""

    class_word: float = 0.25
    """Probability that a noun or verb is replaced by the word of its class."""
    keeps_modifier: float = 0.6
    """Probability that an adjective or place is kept."""
    synonym: float = 0.2
    """Probability that a word is replaced by its synonym."""


HYPOTHESIS = Wording()
EASIER = Wording(class_word=0.1, keeps_modifier=0.9, synonym=0.1)  # hypotheses close to their premises
TEXT = Wording(keeps_modifier=0.85, synonym=0.3)


class Sentence(NamedTuple):
    """Seven words, in English order."""

    a1: str
    n1: str
    aux: str
    v: str
    a2: str
    n2: str
    place: str


@dataclass(frozen=True)
class Pair:
    """A premise, a hypothesis, and their relation (one of LABELS)."""

    premise: Sentence
    hypothesis: Sentence
    label: str


def _synonyms() -> dict[str, str]:
    doubles = [pair for table in (NOUNS, VERBS) for members in table.values() for pair in members]
    doubles += [pair for opposites in ADJECTIVES for pair in opposites] + list(PLACES)
    return dict(doubles) | {b: a for a, b in doubles}


def _class_words(table: Mapping[str, tuple[tuple[str, str], ...]]) -> dict[str, str]:
    return {word: top for top, members in table.items() for pair in members for word in pair}


SYNONYM: dict[str, str] = _synonyms()
"""Every word with a synonym -> that synonym."""
CLASS_WORD: dict[str, str] = _class_words(NOUNS) | _class_words(VERBS)
"""Every member of a noun or verb class -> the word of the class."""
OPPOSITES: dict[str, tuple[str, str]] = {
    word: other for one, two in ADJECTIVES for words, other in ((one, two), (two, one)) for word in words}
"""Every adjective -> the two words of the opposite quality."""
WORDS: tuple[str, ...] = tuple(sorted({*SYNONYM, *NOUNS, *VERBS, ANY_QUALITY, ANY_PLACE, DOES, NOT}))
"""The lexicon, sorted."""
NOUN_WORDS: tuple[str, ...] = tuple(sorted({*NOUNS, *_class_words(NOUNS)}))
"""All nouns, sorted."""

ADJECTIVE_WORDS: tuple[str, ...] = tuple(sorted({*OPPOSITES, ANY_QUALITY}))
VERB_WORDS: tuple[str, ...] = tuple(sorted({*VERBS, *_class_words(VERBS)}))
PLACE_WORDS: tuple[str, ...] = tuple(sorted({ANY_PLACE, *(word for pair in PLACES for word in pair)}))
SLOT_WORDS: tuple[tuple[str, ...], ...] = (
    ADJECTIVE_WORDS, NOUN_WORDS, (DOES, NOT), VERB_WORDS, ADJECTIVE_WORDS, NOUN_WORDS, PLACE_WORDS)
"""Per slot of a sentence, the words that may fill it."""

_MEMBERS = {top: tuple(word for pair in members for word in pair) for top, members in (NOUNS | VERBS).items()}
_QUALITIES = tuple(sorted(OPPOSITES))
_PLACE_WORDS = tuple(word for pair in PLACES for word in pair)


def premise(rng: np.random.Generator) -> Sentence:
    """Draw a sentence: class words with probability 0.2, each modifier with 0.5, negated with 0.4."""
    return Sentence(
        _quality(rng) if _chance(rng, PREMISE_MODIFIER) else ANY_QUALITY,
        _noun(rng),
        NOT if _chance(rng, PREMISE_NEGATED) else DOES,
        _word(rng, tuple(VERBS)),
        _quality(rng) if _chance(rng, PREMISE_MODIFIER) else ANY_QUALITY,
        _noun(rng),
        _pick(rng, _PLACE_WORDS) if _chance(rng, PREMISE_MODIFIER) else ANY_PLACE,
    )


def entailed(sentence: Sentence, rng: np.random.Generator, wording: Wording = HYPOTHESIS) -> Sentence:
    """Draw a sentence that `sentence` entails: class words for members, modifiers left out, some synonyms.

    The verb of a negated sentence is kept: "not watch" does not entail "not perceive".
    """
    def wider(word: str) -> str:
        return CLASS_WORD.get(word, word) if _chance(rng, wording.class_word) else word

    def kept(word: str, nothing: str) -> str:
        return word if _chance(rng, wording.keeps_modifier) else nothing

    result = Sentence(
        kept(sentence.a1, ANY_QUALITY),
        wider(sentence.n1),
        sentence.aux,
        wider(sentence.v) if sentence.aux == DOES else sentence.v,
        kept(sentence.a2, ANY_QUALITY),
        wider(sentence.n2),
        kept(sentence.place, ANY_PLACE),
    )
    return reworded(result, rng, wording.synonym)


def reworded(sentence: Sentence, rng: np.random.Generator, share: float) -> Sentence:
    """Replace each word that has a synonym by it with probability `share`; the meaning stays."""
    return Sentence(*(SYNONYM.get(word, word) if _chance(rng, share) else word for word in sentence))


def inference_pair(label: str, rng: np.random.Generator, wording: Wording = HYPOTHESIS) -> Pair:
    """Draw a premise and a hypothesis whose relation is `label` (one of LABELS).

    The hypothesis follows from the premise but for one thing. Neutral: it says more (a member for a class word, a
    quality of the agent, or a place). Contradiction: an opposite quality, or the other polarity.
    """
    edits = _EDITS[label]
    edit = edits[int(rng.integers(len(edits)))]
    while True:  # the premise is drawn again, not the edit: rare ways to be neutral would be too rare to learn
        first = premise(rng)
        second = edit(first, entailed(first, rng, wording), rng)
        if second is not None:
            return Pair(first, second, label)


def document(rng: np.random.Generator) -> tuple[Sentence, Sentence]:
    """Draw two consecutive sentences of unlabelled text; the first entails the second in three of four cases."""
    others = [label for label in LABELS if label != "entailment"]
    label = "entailment" if _chance(rng, TEXT_ENTAILED) else _pick(rng, others)
    pair = inference_pair(label, rng, TEXT)
    return pair.premise, pair.hypothesis


def draw_pairs(
    count: int, rng: np.random.Generator, wording: Wording = HYPOTHESIS, avoid: frozenset[Pair] = frozenset()
) -> list[Pair]:
    """Draw `count` labelled pairs, labels as balanced as `count` allows, in random order, none in `avoid`."""
    pairs = []
    for i in rng.permutation(count):
        label = LABELS[i % len(LABELS)]
        pair = inference_pair(label, rng, wording)
        while pair in avoid:
            pair = inference_pair(label, rng, wording)
        pairs.append(pair)
    return pairs


def _quality_reversed(first: Sentence, second: Sentence, rng: np.random.Generator) -> Sentence | None:
    slots = [slot for slot in ("a1", "a2") if getattr(first, slot) != ANY_QUALITY]
    if not slots:
        return None
    slot = _pick(rng, slots)
    return second._replace(**{slot: _pick(rng, OPPOSITES[getattr(first, slot)])})


def _polarity_reversed(first: Sentence, second: Sentence, rng: np.random.Generator) -> Sentence | None:
    return second._replace(aux=DOES if first.aux == NOT else NOT)


def _noun_narrowed(first: Sentence, second: Sentence, rng: np.random.Generator) -> Sentence | None:
    slots = [slot for slot in ("n1", "n2") if getattr(first, slot) in NOUNS]
    if not slots:
        return None
    slot = _pick(rng, slots)
    return second._replace(**{slot: _pick(rng, _MEMBERS[getattr(first, slot)])})


def _quality_added(first: Sentence, second: Sentence, rng: np.random.Generator) -> Sentence | None:
    return second._replace(a1=_quality(rng)) if first.a1 == ANY_QUALITY else None


def _place_added(first: Sentence, second: Sentence, rng: np.random.Generator) -> Sentence | None:
    return second._replace(place=_pick(rng, _PLACE_WORDS)) if first.place == ANY_PLACE else None


def _unchanged(first: Sentence, second: Sentence, rng: np.random.Generator) -> Sentence | None:
    return second


_Edit = Callable[[Sentence, Sentence, np.random.Generator], Sentence | None]
_EDITS: dict[str, tuple[_Edit, ...]] = {
    "entailment": (_unchanged,),
    "neutral": (_noun_narrowed, _quality_added, _place_added),
    "contradiction": (_quality_reversed, _polarity_reversed),
}


def _noun(rng: np.random.Generator) -> str:
    return _word(rng, tuple(NOUNS))


def _word(rng: np.random.Generator, tops: tuple[str, ...]) -> str:
    top = _pick(rng, tops)
    return top if _chance(rng, PREMISE_CLASS_WORD) else _pick(rng, _MEMBERS[top])


def _quality(rng: np.random.Generator) -> str:
    return _pick(rng, _QUALITIES)


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.random() * len(choices))]


def _chance(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)
