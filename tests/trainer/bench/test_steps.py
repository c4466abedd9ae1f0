"""`trainer bench steps`: an ascent takes no more memory than the update.

Nothing here looks at seconds.
"""

from __future__ import annotations

import re

import pytest
import torch

from tests.trainer.small_runs import launcher_variables_kept
from trainer.bench.commands import bench_steps
from trainer.bench.memory import ASCENT, BEFORE, UPDATE, peak_bytes

MEGABYTE = 1_000_000


def test_peak_bytes_are_counted_by_phase_and_released_ones_no_more() -> None:
    def megabytes(count: int) -> torch.Tensor:
        return torch.empty(count * MEGABYTE, dtype=torch.uint8)

    with peak_bytes(torch.device("cpu")) as (mark, peaks):
        kept = megabytes(1)
        mark(ASCENT)
        megabytes(4)
        megabytes(3)
        mark(UPDATE)
        both = (megabytes(2), megabytes(3))
    assert peaks == {BEFORE: MEGABYTE, ASCENT: 5 * MEGABYTE, UPDATE: 6 * MEGABYTE}
    assert kept.numel() + both[0].numel() + both[1].numel() == 6 * MEGABYTE


def test_lines_bounds_and_memory_of_one_ascent_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    with launcher_variables_kept():
        assert bench_steps(steps=1, rounds=1, only="K=1", vocabulary=2000) == 0
    printed = capsys.readouterr().out

    seconds, memory = printed.split("peak memory")
    for name, bound in (("pgd K=1, word embeddings", "1.83"), ("pgd K=1, layer:1", "1.47")):
        assert re.search(rf"{name} +│ [0-9.]+ +│ [0-9.]+ +│ {bound} ", seconds), printed
    for name in ("pgd K=1, word embeddings", "pgd K=1, layer:1", "fgm K=1", "smart K=1", "trades K=1"):
        line = re.search(rf"{name} +│ ([0-9.]+) +│ ([0-9.]+) +│ [0-9.]+ +│ 1.00 ", memory)
        assert line, printed
        assert 0 < float(line[1]) <= float(line[2]), printed
