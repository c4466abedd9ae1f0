"""AfriXNLI (Adelani et al. 2024, arXiv 2406.03368): XNLI's dev and test pairs in African languages, English and French.

Not confirmed: whether files spell labels as words or as numbers (both are read), the hub's names of splits.
"""

from __future__ import annotations

from data_prep.tasks.nli_labels import ALIASES, COLUMNS, HUB_COLUMNS, HUB_LABEL_NAMES, LABELS
from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task

AFRIXNLI = Task(
    name="afrixnli",
    summary="natural language inference, 16 African languages, English and French",
    kind="pair",
    metric="accuracy",
    labels=LABELS,
    aliases=ALIASES | {str(at): name for at, name in enumerate(HUB_LABEL_NAMES)},
    languages=("amh", "eng", "ewe", "fra", "hau", "ibo", "kin", "lin", "lug", "orm", "sna", "sot", "swa", "twi", "wol",
               "xho", "yor", "zul"),
    parallel=("dev", "test"),
    layouts=(
        Layout(rf"(?:data/)?{LANGUAGE}/(?P<split>dev|test)\.tsv", "data/swa/test.tsv", header=True, columns=COLUMNS),
    ),
    hub=Hub(repo="masakhane/afrixnli", config="{language}", splits={"dev": "validation", "test": "test"},
            columns=HUB_COLUMNS, label_names=HUB_LABEL_NAMES),
)
