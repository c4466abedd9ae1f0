"""HellaSwag (Zellers et al. 2019, arXiv 1905.07830): the sentence that goes on with a caption, four choices, English.

Rows of `ind` are not unique beyond a file; the test labels are not public.
"""

from __future__ import annotations

from data_prep.tasks.task import Hub, Layout, Task

HELLASWAG = Task(
    name="hellaswag",
    summary="continuation of a situation, 4 choices, English",
    kind="multiple_choice",
    metric="accuracy",
    labels=(),
    languages=("en",),
    layouts=(
        Layout(r"(?:data/)?hellaswag_(?P<split>train|val|test)\.jsonl", "hellaswag_train.jsonl", language="en",
               splits={"train": "train", "val": "dev", "test": "test"}, format="jsonl", key=("ind",),
               columns={"premise": ("ctx",), "choices": ("endings", "ending_options"), "label": ("label",)}),
    ),
    hub=Hub(repo="Rowan/hellaswag", config=None, splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"premise": "ctx", "choices": "endings", "label": "label"}, key="ind"),
)
