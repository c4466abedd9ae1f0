"""The world's sentences against their meaning, worked out by listing every situation that a sentence allows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from trainer.demo import world
from trainer.demo.world import Pair, Sentence


def meaning(word: str) -> str:
    """One name for a word and its synonym."""
    return min(word, world.SYNONYM.get(word, word))


def members(word: str) -> set[str]:
    """The kinds, or actions, that a noun or verb names."""
    for table in (world.NOUNS, world.VERBS):
        if word in table:
            return {meaning(first) for first, _ in table[word]}
    return {meaning(word)}


def qualities(word: str) -> dict[int, int]:
    """Dimension -> which of its two qualities the adjective asks for; nothing for "certain"."""
    return {
        dimension: side
        for dimension, opposites in enumerate(world.ADJECTIVES) for side, words in enumerate(opposites) if word in words
    }


def situations(sentence: Sentence) -> dict[str, set[object]]:
    """What each aspect of a situation may be; a sentence allows the product of these sets."""
    actions = {meaning(first) for group in world.VERBS.values() for first, _ in group}
    allowed: dict[str, set[object]] = {
        "agent": set(members(sentence.n1)),
        "patient": set(members(sentence.n2)),
        "action": set(members(sentence.v) if sentence.aux == "does" else actions - members(sentence.v)),
        "place": {meaning(first) for first, _ in world.PLACES} if sentence.place == "somewhere"
        else {meaning(sentence.place)},
    }
    for who, adjective in (("agent", sentence.a1), ("patient", sentence.a2)):
        for dimension in range(len(world.ADJECTIVES)):
            side = qualities(adjective).get(dimension)
            allowed[f"{who} quality {dimension}"] = {0, 1} if side is None else {side}
    return allowed


def relation(premise: Sentence, hypothesis: Sentence) -> str:
    """The label that the definition of entailment and contradiction gives."""
    first, second = situations(premise), situations(hypothesis)
    if all(first[aspect] <= second[aspect] for aspect in first):
        return "entailment"
    if any(not first[aspect] & second[aspect] for aspect in first):
        return "contradiction"
    return "neutral"


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return world.draw_pairs(3000, np.random.default_rng(7))


def test_labels_follow_from_the_meaning(pairs: list[Pair]) -> None:
    wrong = [pair for pair in pairs if relation(pair.premise, pair.hypothesis) != pair.label]
    assert not wrong


def test_labels_are_balanced_and_shuffled(pairs: list[Pair]) -> None:
    assert set(Counter(pair.label for pair in pairs).values()) == {1000}
    assert set(Counter(pair.label for pair in pairs[:300]).values()) != {100}


def test_the_easier_task_has_right_labels_and_closer_hypotheses(pairs: list[Pair]) -> None:
    easier = world.draw_pairs(900, np.random.default_rng(3), world.EASIER)
    assert all(relation(pair.premise, pair.hypothesis) == pair.label for pair in easier)

    def changes(some: list[Pair]) -> float:
        return float(np.mean([sum(a != b for a, b in zip(*pair_of(pair), strict=True)) for pair in some]))

    assert changes(easier) < changes(pairs) - 0.5


def pair_of(pair: Pair) -> tuple[Sentence, Sentence]:
    return pair.premise, pair.hypothesis


def test_every_way_to_be_neutral_is_common(pairs: list[Pair]) -> None:
    neutral = [pair for pair in pairs if pair.label == "neutral"]
    narrowed = [pair for pair in neutral if any(
        getattr(pair.premise, slot) in world.NOUNS and getattr(pair.hypothesis, slot) not in world.NOUNS
        for slot in ("n1", "n2"))]
    assert 0.28 < len(narrowed) / len(neutral) < 0.39


def test_documents_mostly_agree() -> None:
    rng = np.random.default_rng(0)
    labels = Counter(relation(*world.document(rng)) for _ in range(2000))
    assert 0.70 < labels["entailment"] / 2000 < 0.80
    assert min(labels["neutral"], labels["contradiction"]) > 150


def test_every_slot_holds_its_own_kind_of_word(pairs: list[Pair]) -> None:
    adjectives = {*world.OPPOSITES, "certain"}
    verbs = {*world.VERBS, *(w for group in world.VERBS.values() for pair in group for w in pair)}
    places = {*(w for pair in world.PLACES for w in pair), "somewhere"}
    nouns = set(world.NOUN_WORDS)
    kinds = Sentence(adjectives, nouns, {"does", "not"}, verbs, adjectives, nouns, places)  # type: ignore[arg-type]
    seen: set[str] = set()
    for pair in pairs:
        for sentence in (pair.premise, pair.hypothesis):
            assert len(sentence) == 7
            assert all(word in kind for word, kind in zip(sentence, kinds, strict=True))
            seen.update(sentence)
    assert seen == set(world.WORDS)


def test_the_lexicon_has_no_word_twice() -> None:
    listed = [w for table in (world.NOUNS, world.VERBS) for top, group in table.items()
              for w in (top, *(w for pair in group for w in pair))]
    listed += [w for opposites in world.ADJECTIVES for pair in opposites for w in pair]
    listed += [w for pair in world.PLACES for w in pair] + ["does", "not", "certain", "somewhere"]
    assert len(listed) == len(set(listed)) == len(world.WORDS) == 107
    assert all(world.SYNONYM[world.SYNONYM[word]] == word for word in world.SYNONYM)


def test_negated_premises_are_common_enough(pairs: list[Pair]) -> None:
    """With affirmative premises only, every negation would mean contradiction."""
    assert 0.35 < np.mean([pair.premise.aux == "not" for pair in pairs]) < 0.45


def test_a_seed_fixes_the_pairs_and_avoided_ones_stay_out() -> None:
    def draw(seed: int, avoid: frozenset[Pair] = frozenset()) -> list[Pair]:
        return world.draw_pairs(60, np.random.default_rng(seed), avoid=avoid)

    assert draw(1) == draw(1) != draw(2)
    assert not set(draw(1, frozenset(draw(1)))) & set(draw(1))
