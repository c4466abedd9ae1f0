"""XStoryCloze (Lin et al. 2022, arXiv 2112.10668): the right end of a story of four sentences, 11 languages.

Rows are aligned by `story_id`. Names of the publisher's files, and their columns, which are those of Story Cloze, are
not confirmed.
"""

from __future__ import annotations

from typing import Any

from data_prep.tasks.choices import counted_from_zero
from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task

FIELDS = {**{f"sentence{n}": f"input_sentence_{n}" for n in range(1, 5)}, "choice1": "sentence_quiz1",
          "choice2": "sentence_quiz2", "label": "answer_right_ending"}
COLUMNS = {**{f"sentence{n}": (f"InputSentence{n}",) for n in range(1, 5)}, "label": ("AnswerRightEnding",),
           "choice1": ("RandomFifthSentenceQuiz1",), "choice2": ("RandomFifthSentenceQuiz2",)}


def _adapt(values: dict[str, Any]) -> dict[str, Any]:
    """The story as one premise, labels from 0 on."""
    return counted_from_zero(values) | {"premise": " ".join(str(values[f"sentence{n}"]).strip() for n in range(1, 5))}


XSTORYCLOZE = Task(
    name="xstorycloze",
    summary="end of a story, 2 choices, 11 languages",
    kind="multiple_choice",
    metric="accuracy",
    labels=(),
    languages=("ar", "en", "es", "eu", "hi", "id", "my", "ru", "sw", "te", "zh"),
    parallel=("train", "test"),
    adapt=_adapt,
    layouts=(Layout(rf"spring2016\.val\.{LANGUAGE}\.tsv\.split_20_80_(?P<split>train|eval)\.tsv",
                    "spring2016.val.en.tsv.split_20_80_train.tsv", splits={"train": "train", "eval": "test"},
                    header=True, columns=COLUMNS, key=("InputStoryid",)),),
    hub=Hub(repo="juletxara/xstory_cloze", config="{language}", splits={"train": "train", "test": "eval"},
            columns=FIELDS, key="story_id"),
)
