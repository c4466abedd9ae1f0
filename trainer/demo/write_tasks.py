"""Writer of the raw files that the studies use beside the demo's (`write.py`), in their publishers' layouts.

Inputs: a folder, a seed, languages, sizes. Outputs below the folder, "+" marking files beside those of the demo:

    + text/train-gm.txt                        unlabelled documents of the morphologically rich language
    + mnli/multinli.{train,dev}.<lg>.tsv       the easier inference rows, translated into the grammar languages
    + xnli/{dev,test}-gm.tsv                   the target task's rows in the rich language
    anli/R3/{train,dev}.jsonl                  harder inference, English: reworded, generalised and shortened at once
    sst2/{train,dev}.tsv                       sentiment of one sentence, English: unrelated to inference
    stsb/stsb-<lg>-{train,dev,test}.csv        similarity 0 to 5, the same rows in English and the grammar languages
    udpos/, panx/{train,dev,test}-<lg>.tsv     word classes and entities: train in English, dev and test in all
    bitext/{train,dev}.en-<lg>.tsv             sentences and their translations into the grammar languages
    unlabelled/train-<lg>.tsv                  pairs of the target task without labels, all languages but English
    dictionaries/en-<lg>.txt                   an English word and a form of its translation per line (MUSE's layout)

Every task has a random stream of its own, so that the demo's files stay as they are and tasks do not depend on the
sizes of others.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.demo import annotate, world
from trainer.demo.languages import ENGLISH, RICH, Language
from trainer.demo.world import Pair, Sentence, Wording
from trainer.demo.write import MNLI_HEADER, Sizes, documents, write_lines, write_pairs, write_world

# [seed, stream] seeds the generator of a task; the demo's world has stream 1, the directions of `distance.py` 30, 31
STREAMS = {"text": 40, "anli": 41, "sst2": 42, "stsb": 43, "udpos": 44, "panx": 45, "bitext": 46, "unlabelled": 47}
HARDER = Wording(class_word=0.5, keeps_modifier=0.35, synonym=0.5)  # hypotheses far from their premises
REWORDED = 0.2  # share of the words with a synonym that tagged and translated sentences replace by it
PHRASES = (0, 0, 1, 2, 3, 3, 4)  # per slot, the number of its phrase
Tagger = Callable[[Sentence, Language], list[str]]


@dataclass(frozen=True)
class StudySizes(Sizes):
    """Numbers of rows of the demo's files and of the further ones."""

    rich_documents: int = 10_000
    """Unlabelled documents of the rich language."""
    harder_pairs: int = 10_000
    """Labelled English pairs of the harder inference task."""
    sentiment: int = 6_000
    """Labelled English sentences."""
    similarity: int = 6_000
    """Scored pairs, the same rows in each language."""
    tagged: int = 3_000
    """English sentences with tags, in each tagging task."""
    translations: int = 4_000
    """Sentences and translations per language."""
    unlabelled: int = 2_000
    """Unlabelled pairs per language."""
    held_out: int = 300
    """Rows in each dev and test set of the tasks above."""


def write_study_world(folder: Path, seed: int, languages: Sequence[Language], sizes: StudySizes = StudySizes()) -> None:
    """Write the demo's files, and all others (see above); the same seed, languages and sizes give the same files.

    `languages` starts with English. Rows of dev and test sets do not occur in training sets of their task.
    """
    write_world(folder, seed, [language for language in languages if language.code != RICH.code], sizes)
    home, learnt = languages[0], [language for language in languages[1:] if language.sigma is None]
    streams = {task: np.random.default_rng([seed, number]) for task, number in STREAMS.items()}

    for language in learnt:
        if language.code == RICH.code:
            _write_rich(folder, home, language, sizes, streams["text"])
        for split in ("train", "dev"):
            pairs = read_pairs(folder / "mnli" / f"multinli.{split}.{ENGLISH}.tsv", header=True)
            write_pairs(folder / "mnli" / f"multinli.{split}.{language.code}.tsv", pairs, language, MNLI_HEADER)
        write_lines(folder / "dictionaries" / f"{ENGLISH}-{language.code}.txt", (
            f"{word} {form}" for word in world.WORDS for form in language.forms_of(word)))
    held_out = frozenset(pair for split in ("dev", "test")
                         for pair in read_pairs(folder / "xnli" / f"{split}-{ENGLISH}.tsv"))
    _write_harder(folder / "anli" / "R3", home, held_out, sizes, streams["anli"])
    _write_sentiment(folder / "sst2", home, sizes, streams["sst2"])
    _write_similarity(folder / "stsb", [home, *learnt], sizes, streams["stsb"])
    _write_tags(folder / "udpos", languages, sizes, streams["udpos"], word_class_tags)
    _write_tags(folder / "panx", languages, sizes, streams["panx"], entity_tags)
    for language in learnt:
        for split, count in (("train", sizes.translations), ("dev", sizes.held_out)):
            write_lines(folder / "bitext" / f"{split}.{ENGLISH}-{language.code}.tsv", (
                f"{home.render(sentence)}\t{language.render(sentence)}"
                for sentence in _sentences(count, streams["bitext"])))
    for language in languages[1:]:
        pairs = world.draw_pairs(sizes.unlabelled, streams["unlabelled"], avoid=held_out)
        write_lines(folder / "unlabelled" / f"train-{language.code}.tsv", (
            f"{language.render(pair.premise)}\t{language.render(pair.hypothesis)}" for pair in pairs))


def read_pairs(path: Path, header: bool = False) -> list[Pair]:
    """The pairs of an English file of three columns."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[header:]]
    return [Pair(Sentence(*first.split()), Sentence(*second.split()), label) for first, second, label in rows]


def word_class_tags(sentence: Sentence, language: Language) -> list[str]:
    """Word classes in the word order of `language`."""
    classes = annotate.word_classes(sentence)
    return [classes[slot] for slot in language.order]


def entity_tags(sentence: Sentence, language: Language) -> list[str]:
    """IOB2 tags of the entities in the word order of `language`."""
    types = annotate.entities(sentence)
    return annotate.span_tags([types[slot] for slot in language.order], [PHRASES[slot] for slot in language.order])


def _write_rich(folder: Path, home: Language, rich: Language, sizes: StudySizes, rng: np.random.Generator) -> None:
    write_lines(folder / "text" / f"train-{rich.code}.txt", documents(home, rich, sizes.rich_documents, rng))
    for split in ("dev", "test"):
        pairs = read_pairs(folder / "xnli" / f"{split}-{ENGLISH}.tsv")
        write_pairs(folder / "xnli" / f"{split}-{rich.code}.tsv", pairs, rich)


def _write_harder(
    folder: Path, home: Language, avoid: frozenset[Pair], sizes: StudySizes, rng: np.random.Generator
) -> None:
    train = world.draw_pairs(sizes.harder_pairs, rng, HARDER, avoid)
    dev = world.draw_pairs(sizes.held_out, rng, HARDER, avoid | frozenset(train))
    for split, pairs in (("train", train), ("dev", dev)):
        write_lines(folder / f"{split}.jsonl", (json.dumps({
            "uid": f"{split}-{number}", "context": home.render(pair.premise),
            "hypothesis": home.render(pair.hypothesis), "label": pair.label[0]}) for number, pair in enumerate(pairs)))


def _write_sentiment(folder: Path, home: Language, sizes: StudySizes, rng: np.random.Generator) -> None:
    seen: set[Sentence] = set()
    for split, count in (("train", sizes.sentiment), ("dev", sizes.held_out)):
        labels = [(annotate.NEGATIVE, annotate.POSITIVE)[number % 2] for number in rng.permutation(count)]
        rows = [(annotate.draw_sentiment(label, rng, seen), label) for label in labels]
        seen = {sentence for sentence, _ in rows}
        write_lines(folder / f"{split}.tsv", ["sentence\tlabel", *(
            f"{home.render(sentence)}\t{int(label == annotate.POSITIVE)}" for sentence, label in rows)])


def _write_similarity(
    folder: Path, languages: Sequence[Language], sizes: StudySizes, rng: np.random.Generator
) -> None:
    seen: set[tuple[Sentence, Sentence]] = set()
    for split, count in (("train", sizes.similarity), ("dev", sizes.held_out), ("test", sizes.held_out)):
        pairs: list[tuple[Sentence, Sentence]] = []
        while len(pairs) < count:
            pair = annotate.similar_pair(rng)
            if pair not in seen:
                pairs.append(pair)
        seen |= set(pairs)
        for language in languages:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(
                (language.render(one), language.render(two), f"{annotate.similarity(one, two):.3f}")
                for one, two in pairs)
            write_lines(folder / f"stsb-{language.code}-{split}.csv", text.getvalue().splitlines())


def _write_tags(
    folder: Path, languages: Sequence[Language], sizes: StudySizes, rng: np.random.Generator, tagged: Tagger
) -> None:
    seen: set[Sentence] = set()
    for split, count in (("train", sizes.tagged), ("dev", sizes.held_out), ("test", sizes.held_out)):
        sentences = list(_sentences(count, rng, seen))
        seen |= set(sentences)
        for language in languages[:1] if split == "train" else languages:
            lines = ("\n".join(f"{word}\t{tag}" for word, tag in zip(
                language.render(sentence).split(), tagged(sentence, language), strict=True)) + "\n"
                for sentence in sentences)
            write_lines(folder / f"{split}-{language.code}.tsv", lines)


def _sentences(count: int, rng: np.random.Generator, avoid: Set[Sentence] = frozenset()) -> Iterator[Sentence]:
    for _ in range(count):
        sentence = world.reworded(world.premise(rng), rng, REWORDED)
        while sentence in avoid:
            sentence = world.reworded(world.premise(rng), rng, REWORDED)
        yield sentence
