"""IndicXNLI (Aggarwal et al. 2022, arXiv 2204.08776): XNLI translated into eleven Indic languages, training set too.

Not confirmed: the publisher's files, taken to be JSON Lines, and that the hub's conversion holds all languages.
"""

from __future__ import annotations

from data_prep.tasks.nli_labels import ALIASES, COLUMNS, HUB_COLUMNS, HUB_LABEL_NAMES, LABELS
from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task

INDICXNLI = Task(
    name="indicxnli",
    summary="natural language inference, 11 Indic languages",
    kind="pair",
    metric="accuracy",
    labels=LABELS,
    aliases=ALIASES | {str(at): name for at, name in enumerate(HUB_LABEL_NAMES)},
    languages=("as", "bn", "gu", "hi", "kn", "ml", "mr", "or", "pa", "ta", "te"),
    parallel=("train", "dev", "test"),
    layouts=(
        Layout(rf"(?:forward/)?(?P<split>train|dev|test)/xnli_{LANGUAGE}\.json", "forward/test/xnli_ta.json",
               format="jsonl", columns=COLUMNS),
    ),
    hub=Hub(repo="Divyanshu/indicxnli", revision="refs/convert/parquet", config="{language}",
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns=HUB_COLUMNS, label_names=HUB_LABEL_NAMES),
)
