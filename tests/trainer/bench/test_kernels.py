"""The kernel bench: it runs whole, and a bound on a copy is read the other way round."""

from __future__ import annotations

import pytest
import torch

from data_prep.base.errors import InputError
from tests.trainer.small_runs import launcher_variables_kept
from trainer.bench.commands import bench_kernels
from trainer.bench.kernels import Line
from trainer.kernels import cpu

needs_compiler = pytest.mark.skipif(cpu.why_not() is not None, reason=str(cpu.why_not()))


def test_ratios_and_bounds() -> None:
    line = Line("x", lambda: None, {}, {"eager": 5.0, "copy": 1.25}, {"fused": 2.0, "eager": 9.0, "copy": 1.0})
    assert line.ratio("eager") == 4.5
    assert not line.holds("eager")
    assert line.ratio("copy") == 2.0
    assert not line.holds("copy")
    line.seconds["fused"] = 1.2
    assert line.holds("eager")
    assert line.holds("copy")


@needs_compiler
def test_it_runs_and_names_every_comparison(capsys: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # threads that wait for each other crawl where others compute too
    threads = torch.get_num_threads()
    with launcher_variables_kept():
        assert bench_kernels(rounds=1, vocabulary=1000, compiled=False, batch_size=4, length=16) == 0
    torch.set_num_threads(threads)
    said = capsys.readouterr().out
    for word in ("perturb_ascend (32, 128, 1024)", "perturb_ascend (8, 64, 768)", "copy", "eager",
                 "at most 1.25", "of which perturbation ms", "reference"):
        assert word in said, word


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="--size must be one of"):
        bench_kernels(size="huge")
