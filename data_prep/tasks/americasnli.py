"""AmericasNLI (Ebrahimi et al. 2022, arXiv 2104.08726): inference in ten indigenous languages of the Americas.

Not confirmed: names and header of the publisher's files.
"""

from __future__ import annotations

from data_prep.tasks.nli_labels import ALIASES, COLUMNS, HUB_COLUMNS, HUB_LABEL_NAMES, LABELS
from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task

AMERICASNLI = Task(
    name="americasnli",
    summary="natural language inference, 10 indigenous languages of the Americas",
    kind="pair",
    metric="accuracy",
    labels=LABELS,
    aliases=ALIASES | {str(at): name for at, name in enumerate(HUB_LABEL_NAMES)},
    languages=("aym", "bzd", "cni", "gn", "hch", "nah", "oto", "quy", "shp", "tar"),
    layouts=(
        Layout(rf"(?P<split>dev|test)/{LANGUAGE}\.tsv", "test/quy.tsv", header=True, columns=COLUMNS),
    ),
    hub=Hub(repo="nala-cub/americas_nli", config="{language}", splits={"dev": "validation", "test": "test"},
            columns=HUB_COLUMNS, label_names=HUB_LABEL_NAMES),
)
