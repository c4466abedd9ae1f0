"""Code-mixing by dictionaries: words of a copy are replaced by translations (CoSDA-ML, Qin et al. 2020, arXiv
2006.06402; SALT, arXiv 2309.10891, takes an encoder's own proposals as the dictionary).

CoSDA-ML draws a language for each word, which is the default here; it is drawn among those that have the word, so that
`ratio` is the share of replaced words among those with a translation.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import regex
from rich.console import Console

from data_prep.augment.copies import Copies, check_least, check_ratio, fields_of, write_copies
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

EXPECTED = "expected LANGUAGE=FILE pairs in a comma list, such as sw=sw.json,tr=tr.txt"


@dataclass(frozen=True)
class CodeMix:
    """Rewriter of texts, see `copies.Rewrite`; counts words, those with a translation, and those replaced."""

    dictionaries: Mapping[str, OtherWords]
    ratio: float
    per_word_language: bool = True

    def __call__(self, texts: Sequence[str], draw: random.Random, cell: str) -> tuple[list[str], dict[str, int]]:
        counts = {"words": 0, "words_with_translation": 0, "words_replaced": 0}
        dictionaries = list(self.dictionaries.values())
        if not self.per_word_language:
            dictionaries = [dictionaries[int(draw.random() * len(dictionaries))]]

        def replace(found: regex.Match[str]) -> str:
            word = found[0]
            known = [others for words in dictionaries if (others := others_of(words, word))]
            counts["words"] += 1
            counts["words_with_translation"] += bool(known)
            if not known or draw.random() >= self.ratio:
                return word
            counts["words_replaced"] += 1
            others = known[int(draw.random() * len(known))]
            return in_case_of(word, others[int(draw.random() * len(others))])

        return [WORD.sub(replace, text) for text in texts], counts


def code_mix(
    task: str, *, source: str, dictionary: str, tokenizer: str, out: str, ratio: float = 0.5,
    per_word_language: bool = True, copies: int = 3, seed: int = 0, languages: str | None = "en",
    splits: str | None = "train", name: str = "code_mix", max_length: int | None = None, workers: int = 0,
    max_shard_mb: int = 256, overwrite: bool = False, drop_placeholders: bool = False,
) -> None:
    """Copies with words replaced by translations from dictionaries (CoSDA-ML).

    dictionary: sw=sw.json,tr=tr.txt: per language a JSON dictionary {word: [translation, ...]}, or lines with a word
    and a translation (MUSE). ratio: probability that a word with a translation is replaced, by a uniform draw from
    them, in the word's case. per_word_language: draw a language for each word, as CoSDA-ML does; with
    --noper_word_language, one for each copy. copies: mixed rows beside each clean one. name: of the cells,
    `<task>+<name>`. Other arguments are those of `build`; by default only the English training split is written.
    """
    fields = fields_of(task, lambda kind: kind.texts, "code_mix")
    check_least(copies=copies)
    check_ratio(ratio)
    dictionaries = load_dictionaries(dictionary)
    files = ", ".join(f"{language} {content_hash(words)}" for language, words in dictionaries.items())
    counts = write_copies(
        task, source, languages, splits,
        lambda augmentation: Settings(tokenizer, Path(out), max_length, workers, max_shard_mb, overwrite,
                                      drop_placeholders, augmentation),
        name, Copies(CodeMix(dictionaries, ratio, per_word_language), copies, seed, fields),
        f"code_mix ({files}), ratio {ratio:g}, a language per {'word' if per_word_language else 'copy'}")
    if counts["words"]:
        known = counts["words_with_translation"]
        Console(highlight=False).print(
            f"{known / counts['words']:.1%} of {counts['words'] // copies:,} words have a translation"
            f"{'' if per_word_language else ' in the language of their copy'}; "
            f"{counts['words_replaced'] / max(known, 1):.1%} of these were replaced in the copies")


def load_dictionaries(given: str) -> dict[str, dict[str, list[str]]]:
    """language -> word -> translations, of a comma list of LANGUAGE=FILE. Raises InputError for anything else."""
    found: dict[str, dict[str, list[str]]] = {}
    for part in given.split(","):
        language, equals, name = part.partition("=")
        if not (language and equals and name) or language in found:
            raise InputError(f"--dictionary {given}: {part!r}{' again' if language in found else ''}; {EXPECTED}")
        if not (file := Path(name)).is_file():
            raise InputError(f"--dictionary {part}: no such file; {EXPECTED}")
        found[language] = load_dictionary(file)
    return found


def load_dictionary(file: Path) -> dict[str, list[str]]:
    """word -> translations of a `.json` dictionary, or of lines with a word and a translation (MUSE's format)."""
    if file.suffix == ".json":
        words = words_from_json(file)
    else:
        words = {}
        for word, translation in word_pairs(file):
            if word != translation and translation not in words.setdefault(word, []):
                words[word].append(translation)
    words = {word: others for word, others in words.items() if others}
    if not words:
        raise InputError(f"{file}: no word with a translation; expected a JSON dictionary, or a word and a translation "
                         "per line")
    return words
