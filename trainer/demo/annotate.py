"""Gold annotations of the world's sentences beside inference labels: similarity, sentiment, word classes, entities.

Inputs: sentences (`world.py`), a numpy Generator. Outputs: scores, labels, a tag per slot, and draws of sentences that
have them.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from trainer.demo import world
from trainer.demo.world import ADJECTIVES, ANY_PLACE, ANY_QUALITY, CLASS_WORD, NOT, OPPOSITES, SYNONYM, Sentence

BEST_SCORE = 5.0
ASPECTS = ("a1", "n1", "v", "a2", "n2", "place")  # equal parts of the score; a verb counts if the polarity agrees
SIMILAR_CLASS_WORD, SIMILAR_SYNONYM = 0.25, 0.2
PLEASANT = frozenset(word for pairs in ADJECTIVES[3:] for word in pairs[0])
UNPLEASANT = frozenset(word for pairs in ADJECTIVES[3:] for word in pairs[1])
NEGATIVE, POSITIVE = "negative", "positive"
PERSON, PLACE = "PER", "LOC"


def similarity(first: Sentence, second: Sentence) -> float:
    """Similarity from 0 to 5: the mean over six aspects of 1 (same meaning), 1/2 (one is more general) or 0."""
    agreements = [_agreement(getattr(first, aspect), getattr(second, aspect)) for aspect in ASPECTS]
    if first.aux != second.aux:
        agreements[ASPECTS.index("v")] = 0.0
    return BEST_SCORE * sum(agreements) / len(ASPECTS)


def similar_pair(rng: np.random.Generator) -> tuple[Sentence, Sentence]:
    """Draw two sentences that share a part of their content, any part equally likely, worded differently."""
    first, other, shared = world.premise(rng), world.premise(rng), rng.random()
    slots = [one if rng.random() < shared else another for one, another in zip(first, other, strict=True)]
    slots = [CLASS_WORD.get(word, word) if rng.random() < SIMILAR_CLASS_WORD else word for word in slots]
    return first, world.reworded(Sentence(*slots), rng, SIMILAR_SYNONYM)


def sentiment(sentence: Sentence) -> str | None:
    """Label of a sentence whose qualities are pleasant or unpleasant; None if there are none of them, or both."""
    pleasant, unpleasant = not PLEASANT.isdisjoint(sentence), not UNPLEASANT.isdisjoint(sentence)
    return None if pleasant == unpleasant else POSITIVE if pleasant else NEGATIVE


def draw_sentiment(label: str, rng: np.random.Generator, avoid: Set[Sentence] = frozenset()) -> Sentence:
    """Draw a sentence of sentiment `label` that is not in `avoid`."""
    while True:
        sentence = world.premise(rng)
        if sentiment(sentence) == label and sentence not in avoid:
            return sentence


def word_classes(sentence: Sentence) -> list[str]:
    """Universal part-of-speech tags, one per slot."""
    return [_quality_tag(sentence.a1), "NOUN", "PART" if sentence.aux == NOT else "AUX", "VERB",
            _quality_tag(sentence.a2), "NOUN", "ADV"]


def entities(sentence: Sentence) -> list[str]:
    """Type of the entity that each slot is a part of, "" outside: phrases of persons, and named places.

    A phrase is an adjective and its noun, which are neighbours in every word order.
    """
    types = [""] * len(sentence)
    for slots, noun in (((0, 1), sentence.n1), ((4, 5), sentence.n2)):
        for slot in slots:
            types[slot] = PERSON * (noun == "person" or CLASS_WORD.get(noun) == "person")
    types[6] = PLACE * (sentence.place != ANY_PLACE)
    return types


def span_tags(types: list[str], phrases: list[int]) -> list[str]:
    """IOB2 tags of words in their order, from the type of each ("" outside) and the number of its phrase."""
    starts = [index == 0 or phrases[index] != phrases[index - 1] for index in range(len(types))]
    return [f"{'B' if start else 'I'}-{kind}" if kind else "O" for kind, start in zip(types, starts, strict=True)]


def _agreement(one: str, other: str) -> float:
    if one == other or SYNONYM.get(one) == other:
        return 1.0
    return 0.5 if one in _more_general(other) or other in _more_general(one) else 0.0


def _more_general(word: str) -> tuple[str, ...]:
    """The word that says less in the same place, if there is one."""
    if word in CLASS_WORD:
        return (CLASS_WORD[word],)
    if word in OPPOSITES:
        return (ANY_QUALITY,)
    return (ANY_PLACE,) if word in world.PLACE_WORDS and word != ANY_PLACE else ()


def _quality_tag(word: str) -> str:
    return "DET" if word == ANY_QUALITY else "ADJ"
