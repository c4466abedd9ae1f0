"""Lines of a training run in the terminal."""

from __future__ import annotations

import logging

import pytest

from trainer.monitor.progress import Progress


def test_a_score_of_zero_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """The span F1 of a model that names no span is 0, which was once left out of the line."""
    with caplog.at_level(logging.INFO):
        Progress(24).evaluation(12, "span_f1", {"panx/dev/en": 0.0, "panx/dev/sw": 0.25})
    assert caplog.messages == ["step     12/24  dev span_f1: en 0.000  sw 0.250"]
