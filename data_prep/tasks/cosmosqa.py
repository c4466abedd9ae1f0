"""Cosmos QA (Huang et al. 2019, arXiv 1909.00277): a question on a short story, four choices, English."""

from __future__ import annotations

from data_prep.tasks.task import Hub, Layout, Task

FIELDS = {"premise": "context", "question": "question", "label": "label",
          **{f"choice{number + 1}": f"answer{number}" for number in range(4)}}
COLUMNS = {name: (column,) for name, column in FIELDS.items()}
SPLITS = {"train": "train", "valid": "dev", "test": "test"}

COSMOSQA = Task(
    name="cosmosqa",
    summary="commonsense reading, 4 choices, English",
    kind="multiple_choice",
    metric="accuracy",
    labels=(),
    languages=("en",),
    layouts=(
        Layout(r"(?:data/)?(?P<split>train|valid)\.csv", "data/train.csv", splits=SPLITS, language="en", format="csv",
               header=True, columns=COLUMNS, key=("id",)),
        Layout(r"(?:data/)?(?P<split>train|valid|test)\.jsonl", "data/test.jsonl", splits=SPLITS, language="en",
               format="jsonl", columns=COLUMNS, key=("id",)),
    ),
    hub=Hub(repo="allenai/cosmos_qa", config=None, splits={"train": "train", "dev": "validation", "test": "test"},
            columns=FIELDS, key="id"),
)
