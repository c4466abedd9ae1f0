"""Progress lines: the loss and speed every few seconds, and every evaluation."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

SECONDS = 5.0  # at most one line of loss and speed in this time; metrics.jsonl has them all
_log = logging.getLogger(__name__)


class Progress:
    """Logs the lines of one run on the main rank."""

    def __init__(self, max_steps: int) -> None:
        self._max_steps = max_steps
        self._last = 0.0

    def training(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Log the loss and speed unless a line was logged just now; always after the last step."""
        now = time.monotonic()
        if now - self._last > SECONDS or step == self._max_steps:
            self._last = now
            _log.info("step %6d/%d  loss %.4f  %.0f examples/s", step, self._max_steps,
                      metrics.get("train/loss") or 0, metrics["speed/examples_per_second"] or 0)

    def evaluation(self, step: int, metric: str, values: Mapping[str, float]) -> None:
        """Log the values of all dev cells, by language, and by task if there are several."""
        several = len({name.split("/")[0] for name in values}) > 1
        shown = "  ".join(f"{name.split('/')[0] + '/' if several else ''}{name.split('/')[-1]} {value:.3f}"
                          for name, value in values.items())
        _log.info("step %6d/%d  dev %s: %s", step, self._max_steps, metric, shown)
