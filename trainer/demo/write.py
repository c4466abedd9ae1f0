"""Writer of the demo's data as raw benchmark files, in the layouts that `python -m data_prep build` reads.

Inputs: a folder, a seed, languages. Outputs below the folder:

    text/train-<lg>.txt, text/dev-en.txt    unlabelled documents, two sentences with a TAB between them
    mnli/multinli.{train,dev}.en.tsv        the intermediate task, easier inference: premise, hypo, label (header)
    xnli/train-en.tsv                       the target task: premise, hypothesis, label
    xnli/dev-<lg>.tsv, xnli/test-<lg>.tsv   the same rows in every language
    words.tsv                               the lexicon: a line per English word, a column per language
    neighbours.txt                          an English word and a neighbour of it per line, for RS-DA

English text is English only. Text of a grammar language is half its own, a quarter documents with one sentence in each
language, and a quarter English with some words of the language mixed in. Distance languages have no text: their words
are added to the pre-trained model (`distance.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.languages import COLUMNS, OWN_FEATURES
from trainer.demo import world
from trainer.demo.languages import ENGLISH, Language, code_mixed
from trainer.demo.neighbours import neighbour_lines
from trainer.demo.world import Pair

OWN_DOCUMENTS, TRANSLATED_DOCUMENTS = 0.5, 0.25  # the rest is code-mixed
MIXED_WORDS = 0.3
NEIGHBOUR_LIST = "neighbours.txt"
MNLI_HEADER = ("premise\thypo\tlabel",)


@dataclass(frozen=True)
class Sizes:
    """Numbers of rows."""

    documents: int = 60_000
    """Unlabelled documents, all languages together."""
    english_share: float = 0.5
    """Share of English among them; the grammar languages have equal shares of the rest."""
    text_dev: int = 500
    easier_pairs: int = 10_000
    """Labelled English pairs of the intermediate task."""
    easier_dev: int = 300
    pairs: int = 40_000
    """Labelled English pairs of the target task."""
    dev: int = 300
    """Per language, the same rows in each."""
    test: int = 900
    """Per language, the same rows in each."""


def write_world(folder: Path, seed: int, languages: Sequence[Language], sizes: Sizes = Sizes()) -> None:
    """Write all raw files below `folder` (see above); the same seed, languages and sizes give the same files.

    `languages` starts with English. Rows of the test and dev sets do not occur in training sets.
    """
    rng = np.random.default_rng([seed, 1])
    home, learnt = languages[0], [language for language in languages if language.sigma is None]
    _write_text(folder / "text", home, learnt[1:], sizes, rng)
    easier = world.draw_pairs(sizes.easier_pairs, rng, world.EASIER)
    easier_dev = world.draw_pairs(sizes.easier_dev, rng, world.EASIER, avoid=frozenset(easier))
    write_pairs(folder / "mnli" / f"multinli.train.{ENGLISH}.tsv", easier, home, MNLI_HEADER)
    write_pairs(folder / "mnli" / f"multinli.dev.{ENGLISH}.tsv", easier_dev, home, MNLI_HEADER)

    train = world.draw_pairs(sizes.pairs, rng)
    dev = world.draw_pairs(sizes.dev, rng, avoid=frozenset([*easier, *train]))
    test = world.draw_pairs(sizes.test, rng, avoid=frozenset([*easier, *train, *dev]))
    write_pairs(folder / "xnli" / f"train-{ENGLISH}.tsv", train, home)
    for language in languages:
        write_pairs(folder / "xnli" / f"dev-{language.code}.tsv", dev, language)
        write_pairs(folder / "xnli" / f"test-{language.code}.tsv", test, language)
    header = "\t".join(language.code for language in languages)
    write_lines(folder / "words.tsv", [header, *(
        "\t".join(language.lexicon[word] for language in languages) for word in world.WORDS)])
    write_lines(folder / NEIGHBOUR_LIST, neighbour_lines())


def describe_languages(folder: Path, languages: Sequence[Language]) -> None:
    """Write the features of `languages` into every folder of raw files, so that no code is taken for a real language's.
    """
    for task in sorted(path for path in folder.iterdir() if path.is_dir()):
        write_lines(task / OWN_FEATURES, map("\t".join, [COLUMNS, *(language.features for language in languages)]))


def _write_text(
    folder: Path, home: Language, others: Sequence[Language], sizes: Sizes, rng: np.random.Generator
) -> None:
    """Write unlabelled documents of English and the grammar languages, and an English dev set."""
    english = round(sizes.documents * (sizes.english_share if others else 1.0))
    write_lines(folder / f"train-{ENGLISH}.txt", documents(home, home, english, rng))
    write_lines(folder / f"dev-{ENGLISH}.txt", documents(home, home, sizes.text_dev, rng))
    for number, language in enumerate(others):
        count = (sizes.documents - english + number) // len(others)  # parts that add up to the whole
        write_lines(folder / f"train-{language.code}.txt", documents(home, language, count, rng))


def documents(home: Language, language: Language, count: int, rng: np.random.Generator) -> Iterable[str]:
    """Draw `count` lines of unlabelled text of `language`: its own, translated and code-mixed documents."""
    for _ in range(count):
        first, second = world.document(rng)
        kind = rng.random()
        if language is home or kind < OWN_DOCUMENTS:
            texts = [language.render(first), language.render(second)]
        elif kind < OWN_DOCUMENTS + TRANSLATED_DOCUMENTS:
            texts = [language.render(first), home.render(second)]
            if rng.random() < 0.5:
                texts = [home.render(first), language.render(second)]
        else:
            texts = [code_mixed(sentence, language, MIXED_WORDS, rng) for sentence in (first, second)]
        yield "\t".join(texts)


def write_pairs(path: Path, pairs: Sequence[Pair], language: Language, header: Sequence[str] = ()) -> None:
    """Write labelled pairs in `language`, three columns."""
    write_lines(path, [*header, *(
        f"{language.render(pair.premise)}\t{language.render(pair.hypothesis)}\t{pair.label}" for pair in pairs)])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
