"""COPA (Roemmele et al. 2011) as in SuperGLUE and XTREME-R: cause or effect of a premise, English.

Labels of XTREME's `test-en.jsonl` are all 0, a placeholder, and are not read; SuperGLUE's test file has none.
"""

from __future__ import annotations

from data_prep.tasks.choices import COPA_COLUMNS, COPA_HUB_COLUMNS, asked_in_words
from data_prep.tasks.task import Hub, Layout, Task

SPLITS = {"train": "train", "val": "dev", "test": "test"}
UNLABELLED = {name: column for name, column in COPA_COLUMNS.items() if name != "label"}

COPA = Task(
    name="copa",
    summary="choice of plausible alternatives, English",
    kind="multiple_choice",
    metric="accuracy",
    labels=(),
    languages=("en",),
    adapt=asked_in_words,
    layouts=(
        Layout(r"(?:COPA/)?(?P<split>train|val|test)\.jsonl", "COPA/train.jsonl", splits=SPLITS, language="en",
               format="jsonl", columns=COPA_COLUMNS, key=("idx",)),
        Layout(r"(?P<split>train|val)-en\.jsonl", "train-en.jsonl", splits=SPLITS, language="en", format="jsonl",
               columns=COPA_COLUMNS, key=("idx",)),
        Layout(r"test-en\.jsonl", "test-en.jsonl", split="test", language="en", format="jsonl", columns=UNLABELLED,
               key=("idx",)),
    ),
    hub=Hub(repo="aps/super_glue", config="copa", splits={"train": "train", "dev": "validation", "test": "test"},
            columns=COPA_HUB_COLUMNS, key="idx"),
)
