"""MLQA (Lewis et al. 2020): aligned questions in 7 languages, 4 languages per question; scored by MLQA's own rule.

XTREME scores questions in the language of the paragraph. Cells of the other pairs, which MLQA also publishes, are
named by the language of the paragraph first: `de_question_en`.
"""

from __future__ import annotations

from data_prep.tasks.qa_data import HUB_COLUMNS, KEY, MAX_LENGTH
from data_prep.tasks.task import Hub, Layout, Task

FOLDERS = "(?:MLQA_V1/)?(?:(?:dev|test)/)?"
FILE = "(?P<split>dev|test)-context-(?P<language>[a-z]{2})"
CROSSED = "(?P<split>dev|test)-context-(?P<language>(?P<own>[a-z]{2})-question-(?!(?P=own))[a-z]{2})"

MLQA = Task(
    name="mlqa",
    summary="span question answering, 7 languages",
    kind="span_qa",
    metric="mlqa_f1",
    further_metrics=("mlqa_exact_match",),
    labels=(),
    max_length=MAX_LENGTH,
    languages=("ar", "de", "en", "es", "hi", "vi", "zh"),
    parallel=("dev", "test"),
    layouts=(
        Layout(rf"{FOLDERS}{FILE}-question-(?P=language)\.json", "dev-context-de-question-de.json", format="squad"),
        Layout(rf"{FOLDERS}{CROSSED}\.json", "dev-context-de-question-en.json", format="squad"),
    ),
    hub=Hub(repo="google/xtreme", config="MLQA.{language}.{language}",
            splits={"dev": "validation", "test": "test"}, columns=HUB_COLUMNS, key=KEY),
)
