"""XCOPA (Ponti et al. 2020): COPA's dev and test sets in 11 languages, rows aligned; English COPA beside them.

The `question` of a row may differ between languages, as published. XTREME's `test-*.jsonl` hold a placeholder for every
label, which is not read.
"""

from __future__ import annotations

from data_prep.tasks.choices import COPA_COLUMNS, COPA_HUB_COLUMNS, asked_in_words
from data_prep.tasks.copa import SPLITS, UNLABELLED
from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task

XCOPA = Task(
    name="xcopa",
    summary="choice of plausible alternatives, 11 languages and English",
    kind="multiple_choice",
    metric="accuracy",
    labels=(),
    languages=("en", "et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh"),
    parallel=("dev", "test"),
    adapt=asked_in_words,
    layouts=(
        Layout(rf"(?:(?:data/)?[a-z]+/|[A-Z]+\.)?(?P<split>val|test)\.{LANGUAGE}\.jsonl", "data/et/val.et.jsonl",
               splits=SPLITS, format="jsonl", columns=COPA_COLUMNS, key=("idx",)),
        Layout(rf"(?P<split>train|val)-{LANGUAGE}\.jsonl", "train-en.jsonl", splits=SPLITS, format="jsonl",
               columns=COPA_COLUMNS, key=("idx",)),
        Layout(rf"test-{LANGUAGE}\.jsonl", "test-en.jsonl", split="test", format="jsonl", columns=UNLABELLED,
               key=("idx",)),
    ),
    hub=Hub(repo="cambridgeltl/xcopa", config="{language}", splits={"dev": "validation", "test": "test"},
            columns=COPA_HUB_COLUMNS, key="idx"),
)
