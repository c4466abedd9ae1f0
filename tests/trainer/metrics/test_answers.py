"""Scores of answers equal those of the official evaluation scripts, written again here, to the last digit."""

from __future__ import annotations

import random
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable

import pytest

from trainer.metrics import METRICS
from trainer.metrics.answers import Answers

ARTICLES = {
    "en": "a|an|the", "es": "un|una|unos|unas|el|la|los|las", "vi": "của|là|cái|chiếc|những",
    "de": "ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des"}
Tokens = Callable[[str, str], str]


def squad_text(text: str, language: str) -> str:
    """SQuAD's normalize_answer: lower case, drop string.punctuation, English articles, white space."""
    text = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def mlqa_text(text: str, language: str) -> str:
    """MLQA's: punctuation of Unicode, articles by language, Chinese cut into characters of the basic block."""
    marks = set(string.punctuation)
    text = "".join(x for x in text.lower() if x not in marks and unicodedata.category(x)[0] != "P")
    if language in ARTICLES:
        text = re.sub(rf"\b({ARTICLES[language]})\b", " ", text)
    if language == "ar":
        text = re.sub("\\sال^|ال", " ", text)
    if language != "zh":
        return " ".join(text.split())
    parts, waiting = [], ""
    for letter in text:
        if "\u4e00" <= letter <= "\u9fa5":
            parts += [*waiting.split(), letter]
            waiting = ""
        else:
            waiting += letter
    return " ".join([*parts, *waiting.split()])


def f1(ours: str, theirs: str) -> float:
    a, b = ours.split(), theirs.split()
    same = sum((Counter(a) & Counter(b)).values())
    if same == 0:
        return 0
    precision, recall = 1.0 * same / len(a), 1.0 * same / len(b)
    return (2 * precision * recall) / (precision + recall)


def squad2_f1(ours: str, theirs: str) -> float:
    if not ours.split() or not theirs.split():
        return int(ours.split() == theirs.split())
    return f1(ours, theirs)


def official(name: str, predicted: list[str], gold: list[Answers]) -> float:
    """Mean over questions of the best score, as in `evaluate` of each script."""
    normalise: Tokens = mlqa_text if name.startswith("mlqa") else squad_text
    score = {"answer_f1": f1, "mlqa_f1": f1, "squad2_f1": squad2_f1}.get(name, lambda a, b: int(a == b))
    total: float = 0
    for text, (answers, language) in zip(predicted, gold, strict=True):
        if name.startswith("squad2"):  # answers that normalise to nothing are dropped, if not all
            answers = [answer for answer in answers if normalise(answer, language)] or [""]
        total += max(score(normalise(text, language), normalise(answer, language)) for answer in answers)
    return total / len(predicted)


WORDS = [
    "the", "A", "an", "der", "Die", "einen", "el", "Los", "của", "là", "ال", "كتاب", "الكتاب", " الكتاب", "中国",
    "北京,",
    "中a国", "cat", "Cat's", "«gato»", "।", "हिन्दी", "3.5", "$7", "1,000", "—", "!", "", " ", "\u3000", "the-end", "İ",
    "…", "東京", "\U00020000", "e\u0301", "。", "٪"]


@pytest.mark.parametrize("name", ["answer_f1", "exact_match", "mlqa_f1", "mlqa_exact_match", "squad2_f1",
                                  "squad2_exact_match"])
def test_scores_are_the_official_ones(name: str) -> None:
    draw = random.Random(0)

    def text() -> str:
        return draw.choice(["", " "]).join(draw.choices(WORDS, k=draw.choice([0, 1, 1, 2, 3])))

    languages = ["en", "es", "hi", "vi", "de", "ar", "zh"]
    gold = [Answers([text() for _ in range(draw.choice([1, 1, 3]))], languages[i % 7]) for i in range(3000)]
    predicted = [draw.choice([text(), f"the {answers.texts[-1]}.", answers.texts[0]]) for answers in gold]
    metric = METRICS[name]
    counts = metric.counts(predicted, gold)
    assert 0.2 < metric.score(counts) < 0.9
    for row in range(0, 3000, 10):  # every single question, and all together
        assert float(counts[row, 0]) == official(name, [predicted[row]], [gold[row]]), (predicted[row], gold[row])
    assert float(counts[:, 0].sum()) == pytest.approx(3000 * official(name, predicted, gold), rel=1e-14)


@pytest.mark.parametrize(("name", "predicted", "gold", "expected"), [
    ("exact_match", "The Cat!", Answers(["dog", "cat"], "tr"), 1),
    ("exact_match", "「猫」", Answers(["猫"], "zh"), 0),
    ("exact_match", "", Answers(["a"]), 1), ("exact_match", "theme", Answers(["me"]), 0),
    ("mlqa_exact_match", "「猫」", Answers(["猫"], "zh"), 1),
    ("mlqa_exact_match", "Der Hund", Answers(["hund"], "de"), 1),
    ("mlqa_exact_match", "Der Hund", Answers(["hund"], "de_question_en"), 1),
    ("mlqa_f1", "中国", Answers(["中"], "zh"), 2 / 3),
    ("answer_f1", "中国", Answers(["中"], "zh"), 0), ("answer_f1", "the", Answers(["a"]), 0),
    ("squad2_f1", "", Answers([""]), 1), ("squad2_f1", "x", Answers([""]), 0), ("squad2_f1", "", Answers(["x"]), 0),
    ("squad2_exact_match", "", Answers(["the", "x"]), 0), ("squad2_f1", "the", Answers(["a"]), 1),
])
def test_single_answers(name: str, predicted: str, gold: Answers, expected: float) -> None:
    assert METRICS[name].counts([predicted], [gold])[0, 0] == pytest.approx(expected)


def test_answers_are_needed() -> None:
    with pytest.raises(ValueError, match="2 predictions for 1 of 2 gold answers"):
        METRICS["answer_f1"].counts(["a", "b"], [Answers(["a"]), Answers([])])
