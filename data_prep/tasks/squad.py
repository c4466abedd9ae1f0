"""SQuAD 1.1 (Rajpurkar et al. 2016): English questions on Wikipedia; the training set of XTREME's QA tasks.

Not confirmed: the names of XTREME's translations of the training set.
"""

from __future__ import annotations

from data_prep.tasks.qa_data import FURTHER_METRICS, HUB_COLUMNS, KEY, MAX_LENGTH, METRIC
from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task

SQUAD = Task(
    name="squad",
    summary="span question answering, English, for intermediate training",
    kind="span_qa",
    metric=METRIC,
    further_metrics=FURTHER_METRICS,
    labels=(),
    max_length=MAX_LENGTH,
    languages=("en",),
    layouts=(
        Layout(r"(?P<split>train|dev)-v1\.1\.json", "train-v1.1.json", language="en", format="squad"),
        Layout(rf"squad\.translate\.(?P<split>train)\.en-{LANGUAGE}\.json", "squad.translate.train.en-de.json",
               format="squad"),
    ),
    hub=Hub(repo="rajpurkar/squad", config="plain_text", splits={"train": "train", "dev": "validation"},
            columns=HUB_COLUMNS, key=KEY),
)
