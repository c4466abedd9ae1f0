"""Gold answers of a question, and the comparison of a predicted text with them.

Definition: the best score over a question's gold answers, of texts that are normalised first; the metrics are means
over questions. Units: fraction, 0 to 1. Source: the evaluation scripts, followed to the letter, of SQuAD 1.1 (Rajpurkar
et al. 2016, arXiv 1606.05250; XTREME scores XQuAD and TyDiQA by it in all languages), SQuAD 2.0 (Rajpurkar et al. 2018,
arXiv 1806.03822) and MLQA (Lewis et al. 2020, arXiv 1910.07475), whose normalisation depends on the language.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from trainer.metrics.metric import Floats, Values

_ENGLISH_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MLQA_ARTICLES = {
    "en": _ENGLISH_ARTICLES,
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "vi": re.compile(r"\b(của|là|cái|chiếc|những)\b"),
    "de": re.compile(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "ar": re.compile(r"\sال^|ال"),
}
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_HAN = re.compile("([\u4e00-\u9fa5])")


class Answers(NamedTuple):
    """Gold answers of one question, [""] if it has none, and the language of its paragraph."""

    texts: Sequence[str]
    language: str = ""


Normalise = Callable[[str, str], str]
"""(text, language) -> the text as it is compared; tokens are its words."""
Compare = Callable[[str, str], float]
"""(predicted, gold), both normalised -> score from 0 to 1."""


def squad(text: str, language: str) -> str:
    """Lower case, without ASCII punctuation, English articles and surplus white space, whatever the language."""
    return " ".join(_ENGLISH_ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split())


def mlqa(text: str, language: str) -> str:
    """Lower case, without punctuation of any script, the language's articles and surplus white space.

    Every Han character is a token in Chinese. Languages that MLQA does not have are treated as Hindi is: no articles.
    """
    code = re.split("[_-]", language, maxsplit=1)[0]
    kept = "".join(letter for letter in text.lower() if not _is_punctuation(letter))
    if code in _MLQA_ARTICLES:
        kept = _MLQA_ARTICLES[code].sub(" ", kept)
    return " ".join((_HAN.sub(r" \1 ", kept) if code == "zh" else kept).split())


@lru_cache(maxsize=1 << 16)
def _is_punctuation(letter: str) -> bool:
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")


def exact(predicted: str, gold: str) -> float:
    """1 where both are the same."""
    return float(predicted == gold)


def overlap(predicted: str, gold: str) -> float:
    """F1 of the bags of tokens; 0 where they share none."""
    ours, theirs = predicted.split(), gold.split()
    shared = sum((Counter(ours) & Counter(theirs)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(ours), shared / len(theirs)
    return (2 * precision * recall) / (precision + recall)


def overlap_or_none(predicted: str, gold: str) -> float:
    """F1 as above, but two texts without tokens agree (SQuAD 2.0: rightly no answer)."""
    return overlap(predicted, gold) if predicted and gold else exact(predicted, gold)


def best_of(compare: Compare, normalise: Normalise, blank_counts: bool = True) -> Callable[[Values, Values], Floats]:
    """Counts of a metric: the best comparison of a predicted text with the gold answers, (N, 1).

    blank_counts: whether an answer of which normalisation leaves nothing is compared beside others (in SQuAD 2.0 it is
    not). Raises ValueError where gold answers are missing.
    """

    def counts(predicted: Values, gold: Values) -> Floats:
        known = sum(bool(len(one.texts)) for one in gold)
        if not len(predicted) == len(gold) == known:
            raise ValueError(f"{len(predicted)} predictions for {known} of {len(gold)} gold answers")
        found = np.empty((len(predicted), 1))
        for row, (text, (answers, language)) in enumerate(zip(predicted, gold, strict=True)):
            wanted = [normalise(answer, language) for answer in answers]
            if not blank_counts:
                wanted = [answer for answer in wanted if answer] or [""]
            ours = normalise(text, language)
            found[row] = max(compare(ours, answer) for answer in wanted)
        return found

    return counts
