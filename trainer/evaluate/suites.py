"""Suites as their organisers score them: tasks, test languages, prediction files, row counts, and the score of a task.

Tasks and languages of XTREME and XTREME-R are those of `evaluate.py` in google-research/xtreme (LAReQA, for which it
names no language and no file, by the paper, arXiv 2104.07412), of XGLUE those of `xglue_evaluate.py` in
microsoft/XGLUE, understanding tasks only.

Row counts: XNLI, PAWS-X, XCOPA, XQuAD, Tatoeba by the published files; MLQA and XGLUE by the reference predictions in
microsoft/XGLUE; TyDiQA-GoldP by its dev set of 5,077 questions, which is XTREME's test set. Where none is given here,
the manifest of the built cell tells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from data_prep.base.errors import InputError, did_you_mean

XNLI = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
PANX = ("af", "ar", "bg", "bn", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id", "it",
        "ja", "jv", "ka", "kk", "ko", "ml", "mr", "ms", "my", "nl", "pt", "ru", "sw", "ta", "te", "th", "tl", "tr",
        "ur", "vi", "yo", "zh")
UDPOS = ("af", "ar", "bg", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja",
         "kk", "ko", "mr", "nl", "pt", "ru", "ta", "te", "th", "tl", "tr", "ur", "vi", "yo", "zh")
TATOEBA = tuple(language for language in PANX if language not in ("en", "ms", "my", "yo"))
XQUAD = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
MLQA = {"ar": 5335, "de": 4517, "en": 11590, "es": 5253, "hi": 4918, "vi": 5495, "zh": 5137}
TYDIQA = {"ar": 921, "bn": 113, "en": 440, "fi": 782, "id": 565, "ko": 276, "ru": 812, "sw": 499, "te": 669}
XCOPA = ("et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh")
MEWSLIX = ("ar", "de", "en", "es", "fa", "ja", "pl", "ro", "ta", "tr", "uk")
XGLUE_POS = {"ar": 680, "bg": 1116, "de": 977, "el": 456, "en": 2077, "es": 426, "fr": 416, "hi": 1684, "it": 482,
             "nl": 596, "pl": 2215, "pt": 1204, "ru": 601, "th": 498, "tr": 983, "ur": 535, "vi": 800, "zh": 500}
XGLUE_WPR = {"de": 9997, "en": 10004, "es": 10006, "fr": 10020, "it": 10001, "pt": 10015, "zh": 9999}
NLI_LABELS = frozenset({"entailment", "neutral", "contradiction"})
BINARY = frozenset({"0", "1"})
ACCURACY = (("accuracy",),)
SQUAD_SCORES = (("exact_match",), ("answer_f1",))
MLQA_SCORES = (("mlqa_exact_match",), ("mlqa_f1",))


@dataclass(frozen=True)
class Part:
    """One task of a suite."""

    tasks: tuple[str, ...]
    """Names that the task may have here; one of them is built."""
    languages: tuple[str, ...]
    format: str | None
    """A key of `official.FORMATS`; None for a task that is scored without a prediction file."""
    scores: tuple[tuple[str, ...], ...]
    """The score of a language is the mean of these metrics; of alternatives the first that a run has."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows of the publisher's test file by language, where known."""
    labels: frozenset[str] = frozenset()
    """Labels that a line of the file may hold; empty for any."""
    split: str = "test"


@dataclass(frozen=True)
class Suite:
    """A suite: its parts by the name of their folder, and the name of a prediction file."""

    parts: Mapping[str, Part]
    file: str
    """With `{language}` and `{extension}`."""


def _part(task: str | tuple[str, ...], languages: tuple[str, ...] | Mapping[str, int], form: str | None,
          scores: tuple[tuple[str, ...], ...], rows: int | Mapping[str, int] | None = None,
          labels: frozenset[str] = frozenset()) -> Part:
    known = rows if rows is not None else languages if isinstance(languages, Mapping) else {}
    counts = dict.fromkeys(languages, known) if isinstance(known, int) else dict(known)
    return Part((task,) if isinstance(task, str) else task, tuple(languages), form, scores, counts, labels)


_TATOEBA_ROWS = {"de": 1000, "et": 1000, "fi": 1000, "sw": 390, "ta": 307, "tr": 1000, "zh": 1000}
_TAGS = (("seqeval_f1", "span_f1"),)
_XNLI = _part("xnli", XNLI, "labels", ACCURACY, 5010, NLI_LABELS)
_MLQA = _part("mlqa", MLQA, "answers", MLQA_SCORES)
_TYDIQA = _part("tydiqa", TYDIQA, "answers", SQUAD_SCORES)
_BACKWARD = (("backward_accuracy",),)  # the direction of XTREME's files: a language for each English sentence

XTREME = Suite({
    "xnli": _XNLI,
    "pawsx": _part("pawsx", ("de", "en", "es", "fr", "ja", "ko", "zh"), "labels", ACCURACY, 2000, BINARY),
    "udpos": _part("udpos", UDPOS, "tags", _TAGS),
    "panx": _part("panx", PANX, "tags", _TAGS),
    "xquad": _part("xquad", XQUAD, "answers", SQUAD_SCORES, 1190),
    "mlqa": _MLQA,
    "tydiqa": _TYDIQA,
    "bucc2018": _part(("bucc", "bucc2018"), ("de", "fr", "ru", "zh"), "pairs", (("mined_pair_f1",),)),
    "tatoeba": _part("tatoeba", TATOEBA, "indices", _BACKWARD, _TATOEBA_ROWS),
}, "test-{language}.{extension}")

XTREME_R = Suite({
    "xnli": _XNLI,
    "xcopa": _part("xcopa", XCOPA, "choices", ACCURACY, 500, BINARY),
    "udpos": _part("udpos", (*UDPOS, "lt", "pl", "ro", "uk", "wo"), "tags", _TAGS),
    "panx": _part("panx", (*PANX, "az", "gu", "lt", "pa", "pl", "qu", "ro", "uk"), "tags", _TAGS),
    "xquad": _part("xquad", (*XQUAD, "ro"), "answers", SQUAD_SCORES, 1190),
    "mlqa": _MLQA,
    "tydiqa": _TYDIQA,
    "tatoeba": _part("tatoeba", (*TATOEBA, "az", "lt", "pl", "ro", "uk"), "indices", _BACKWARD, _TATOEBA_ROWS),
    "mewslix": _part("mewslix", MEWSLIX, "rankings", (("mean_average_precision_20",),)),
    "lareqa": _part("lareqa", XQUAD, None, (("mean_average_precision_20", "mean_average_precision"),)),
}, "test-{language}.{extension}")

XGLUE = Suite({
    "NER": _part("xglue_ner", {"de": 3007, "en": 3454, "es": 1523, "nl": 5202}, "tags", _TAGS),
    "POS": _part("xglue_pos", XGLUE_POS, "tags", (("tag_accuracy",),)),
    "NC": _part(("xglue_nc", "nc"), ("de", "en", "es", "fr", "ru"), "labels", ACCURACY, 10000),
    "MLQA": _part("mlqa", MLQA, "answers", (("mlqa_f1",),)),
    "XNLI": _XNLI,
    "PAWSX": _part("pawsx", ("de", "en", "es", "fr"), "labels", ACCURACY, 2000, BINARY),
    "QADSM": _part(("xglue_qadsm", "qadsm"), ("de", "en", "fr"), "labels", ACCURACY, 10000, frozenset({"Good", "Bad"})),
    "WPR": _part(("xglue_wpr", "wpr"), XGLUE_WPR, "labels", (("ndcg",),), labels=frozenset("01234")),
    "QAM": _part(("xglue_qam", "qam"), ("de", "en", "fr"), "labels", ACCURACY, 10000, BINARY),
}, "{language}.prediction")

SUITES: dict[str, Suite] = {"xtreme": XTREME, "xtreme_r": XTREME_R, "xglue": XGLUE}


def named_suite(name: str) -> Suite:
    """The suite called `name`. Raises InputError if there is none."""
    if name not in SUITES:
        raise InputError(f"--suite must be one of {', '.join(SUITES)}, found {name!r}{did_you_mean(name, SUITES)}")
    return SUITES[name]
