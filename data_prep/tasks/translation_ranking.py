"""Translation ranking on bitext: the right translation among other sentences; files as for `bitext`."""

from __future__ import annotations

from data_prep.tasks.bitext import LAYOUTS
from data_prep.tasks.task import Task

TRANSLATION_RANKING = Task(
    name="translation_ranking",
    summary="the translation among other sentences",
    kind="translation_ranking",
    metric="accuracy",
    labels=(),
    languages=(),
    layouts=LAYOUTS,
)
