"""Social IQa (Sap et al. 2019, arXiv 1904.09728): a question on a social situation, three choices, English.

The publisher's archive has the labels, counted from 1 on, in files of their own; there is no public test set.
"""

from __future__ import annotations

from data_prep.tasks.choices import counted_from_zero
from data_prep.tasks.task import Hub, Layout, Task

FIELDS = {"premise": "context", "question": "question",
          "choice1": "answerA", "choice2": "answerB", "choice3": "answerC"}

SIQA = Task(
    name="siqa",
    summary="social commonsense questions, 3 choices, English",
    kind="multiple_choice",
    metric="accuracy",
    labels=(),
    languages=("en",),
    adapt=counted_from_zero,
    layouts=(Layout(r"(?:socialiqa-train-dev/)?(?P<split>train|dev)(?:\.jsonl|-labels\.lst)",
                    "socialiqa-train-dev/train.jsonl", language="en", format="labels_beside_jsonl",
                    columns={name: (column,) for name, column in FIELDS.items()}, parts=("lst", "jsonl")),),
    hub=Hub(repo="allenai/social_i_qa", config=None, splits={"train": "train", "dev": "validation"},
            columns=FIELDS | {"label": "label"}),
)
