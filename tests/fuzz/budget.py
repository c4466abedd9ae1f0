"""How many inputs a property is tried on: a modest number by default, the same in every run; fifty times more, drawn
anew each time, with `-m full` (see conftest.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

FULL_FACTOR = 50
full = False  # set by conftest.py before any test module is read


def fuzzed(examples: int) -> Callable[[Any], Any]:
    """Hypothesis settings of a property that is tried on `examples` inputs by default."""
    return settings(max_examples=examples * (FULL_FACTOR if full else 1), derandomize=not full, database=None,
                    deadline=None, suppress_health_check=list(HealthCheck))
