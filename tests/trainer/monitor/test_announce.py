"""Lines that a run starts with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.small_runs import run
from trainer.monitor.announce import on_cpu

SLOW = "bf16 is kept, and emulated, slower than --engine.precision fp32 --engine.config zero0"
ALONE = "ZeRO 2 has no second rank to share with, so all state stays on this one"


@pytest.mark.parametrize(("precision", "stage", "ranks", "fast", "line"), [
    ("fp32", 0, 1, False, ""), ("fp32", 2, 2, True, ""),
    ("fp32", 2, 1, True, f"no GPU: {ALONE}"),
    ("bf16", 2, 2, True, "no GPU: bf16 is kept, and this processor has instructions for it"),
    ("bf16", 2, 1, False, f"no GPU: {SLOW}; {ALONE}"),
])
def test_what_a_recipe_for_gpus_comes_to_on_a_cpu(precision: str, stage: int, ranks: int, fast: bool,
                                                  line: str) -> None:
    assert on_cpu(precision, stage, ranks, fast) == line


def test_a_run_on_a_cpu_says_so(recipe: Path, monkeypatch: pytest.MonkeyPatch,
                                capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": False, "avx512_f": True})
    folder = run(recipe, "half", {"engine.precision": "bf16", "engine.config": "zero2", "schedule.max_steps": "1"})
    assert f"no GPU: {SLOW}; {ALONE}\n" in capfd.readouterr().out
    assert (folder / "done.json").is_file()
