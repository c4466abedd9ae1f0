"""Suites as they are scored against suites as they are built: the trainer imports no task, so it has its own lists."""

from __future__ import annotations

import pytest

from data_prep.tasks import TASKS
from data_prep.tasks.suites import SUITES as BUILT
from trainer.evaluate.suites import SUITES
from trainer.metrics import METRICS

CANDIDATES = {"mul"}  # cell of Mewsli-X that holds the candidates of all languages, and no queries


@pytest.mark.parametrize("name", SUITES)
def test_what_is_scored_is_what_is_built(name: str) -> None:
    built = {part.task: {*part.languages} - CANDIDATES for part in BUILT[name] if "test" in part.splits}
    scored = {task: {*part.languages} for part in SUITES[name].parts.values() for task in part.tasks if task in TASKS}
    assert scored == built


@pytest.mark.parametrize("name", SUITES)
def test_scores_are_metrics_of_their_tasks(name: str) -> None:
    for part in SUITES[name].parts.values():
        for task in (TASKS[task] for task in part.tasks if task in TASKS):
            for alternatives in part.scores:
                assert {*alternatives} <= {*METRICS}
                assert {*alternatives} & {task.metric, *task.further_metrics}, (task.name, alternatives)
