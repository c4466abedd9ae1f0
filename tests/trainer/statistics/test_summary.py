"""Means, deviations and Holm's correction against examples worked out by hand."""

from __future__ import annotations

import math

import pytest

from trainer.statistics.summary import holm, summarise


def test_summary() -> None:
    summary = summarise([1.0, 2.0, 4.0])
    assert summary.mean == pytest.approx(7 / 3)
    assert summary.deviation == pytest.approx(math.sqrt(7 / 3))  # n - 1
    assert summarise([0.5]).deviation is None
    with pytest.raises(ValueError, match="no values"):
        summarise([])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
