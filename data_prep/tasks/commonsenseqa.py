"""CommonsenseQA 1.11 (Talmor et al. 2019, arXiv 1811.00937): a question and five choices with letters, English."""

from __future__ import annotations

from typing import Any

from data_prep.tasks.task import Hub, Layout, Task


def _adapt(values: dict[str, Any]) -> dict[str, Any]:
    """Question and choices as texts: {stem, choices: [{label, text}, ..]} in the publisher's files, on the hub the
    choices in a column of their own as {label: [..], text: [..]}."""
    if not isinstance(question := values["question"], dict):
        return values | {"choices": values["choices"]["text"]}
    choices = [one.get("text") for one in question.get("choices", ()) if isinstance(one, dict)]
    return values | {"question": question.get("stem"), "choices": choices}


COMMONSENSEQA = Task(
    name="commonsenseqa",
    summary="commonsense questions, 5 choices, English",
    kind="multiple_choice",
    metric="accuracy",
    labels=(),
    languages=("en",),
    adapt=_adapt,
    layouts=(
        Layout(r"(?P<split>train|dev|test)_rand_split(?:_no_answers)?\.jsonl", "train_rand_split.jsonl", language="en",
               format="jsonl", key=("id",), columns={"question": ("question",), "label": ("answerKey",)}),
    ),
    hub=Hub(repo="tau/commonsense_qa", config=None, splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"question": "question", "choices": "choices", "label": "answerKey"}, key="id"),
)
