"""XQuAD (Artetxe et al. 2020): 1,190 questions of SQuAD 1.1's dev set in 12 languages, translated by professionals."""

from __future__ import annotations

from data_prep.tasks.qa_data import FURTHER_METRICS, HUB_COLUMNS, KEY, MAX_LENGTH, METRIC
from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task

XQUAD = Task(
    name="xquad",
    summary="span question answering, 12 languages",
    kind="span_qa",
    metric=METRIC,
    further_metrics=FURTHER_METRICS,
    labels=(),
    max_length=MAX_LENGTH,
    languages=("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh"),
    parallel=("test",),
    layouts=(Layout(rf"xquad\.{LANGUAGE}\.json", "xquad.en.json", split="test", format="squad"),),
    hub=Hub(repo="google/xquad", config="xquad.{language}", splits={"test": "validation"}, columns=HUB_COLUMNS,
            key=KEY),
)
