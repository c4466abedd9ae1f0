"""CCG supertags (CCGbank, Hockenmaier and Steedman 2007), as an intermediate task in jiant's files.

jiant's `ccg.train` has words TAB tags, spaces between both. Its 1,363 tags come with the licensed data
(`tags_to_id.json`), so the label set is not part of this project. Build one file at a time, with --labels FILE (a tag
per line), --format tsv and --columns words=0,tags=1.
"""

from __future__ import annotations

from data_prep.tasks.tags import COLUMNS
from data_prep.tasks.task import Layout, Task

CCG = Task(
    name="ccg",
    summary="CCG supertags, English; needs --labels",
    kind="tagging",
    metric="tag_accuracy",
    labels=(),
    languages=("en",),
    layouts=(
        Layout(r"(?:ccg/)?ccg\.(?P<split>train|dev|test)", "ccg.train", language="en", columns=COLUMNS),
    ),
)
