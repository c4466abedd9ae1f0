"""SQuAD 2.0 (Rajpurkar et al. 2018): SQuAD 1.1 and questions that its paragraphs do not answer."""

from __future__ import annotations

from typing import Any

from data_prep.tasks.qa_data import HUB_COLUMNS, KEY, MAX_LENGTH
from data_prep.tasks.task import MAY_HAVE_NONE, Hub, Layout, Task


def _adapt(values: dict[str, Any]) -> dict[str, Any]:
    return values | {MAY_HAVE_NONE: True}


SQUAD2 = Task(
    name="squad2",
    summary="span question answering with unanswerable questions, English",
    kind="span_qa",
    metric="squad2_f1",
    further_metrics=("squad2_exact_match",),
    labels=(),
    max_length=MAX_LENGTH,
    languages=("en",),
    layouts=(Layout(r"(?P<split>train|dev)-v2\.0\.json", "train-v2.0.json", language="en", format="squad"),),
    hub=Hub(repo="rajpurkar/squad_v2", config="squad_v2", splits={"train": "train", "dev": "validation"},
            columns=HUB_COLUMNS, key=KEY),
    adapt=_adapt,
)
