"""The doctor: what it finds here, and that its two-rank self-test through the deepspeed launcher can fail."""

from __future__ import annotations

import pytest
import torch

from trainer.doctor import selftest
from trainer.doctor.examine import TOLERANCE, Finding, doctor, examine
from trainer.kernels.dispatch import BACKENDS
from trainer.robust import METHODS


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(selftest=True)}


def test_this_machine_can_train(findings: dict[str, Finding]) -> None:
    assert not [finding for finding in findings.values() if finding.ok is False]
    for subject in ("torch", "deepspeed", "accelerators", "kernels: reference", "deepspeed launcher"):
        assert subject in findings


def test_every_method_is_exact_at_every_stage(findings: dict[str, Finding]) -> None:
    cells = 4 * len(METHODS)
    assert findings["exactness"].text.startswith(f"{cells} of {cells} cells")


def test_every_backend_is_there_or_says_why(findings: dict[str, Finding]) -> None:
    for name, backend in BACKENDS.items():
        reason = backend.why_not()
        assert findings[f"kernels: {name}"].text == ("available" if reason is None else f"not available: {reason}")


def test_methods_of_the_self_test_differ() -> None:
    """Cells could not fail if all methods did the same."""
    weights = {method: selftest.plain_loop(method)["classifier.dense.weight"] for method in METHODS}
    for one in METHODS:
        for other in METHODS:
            difference = (weights[one] - weights[other]).abs().max() / weights[one].abs().max()
            assert one == other or difference > 5 * TOLERANCE, (one, other)


def test_exit_code_tells(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bad = [Finding("torch", True, "x"), Finding("exactness", False, "31 of 32")]
    monkeypatch.setattr("trainer.doctor.examine.examine", lambda selftest: iter(bad))
    assert doctor(selftest=False) == 1
    assert "not ready" in capsys.readouterr().out


@pytest.mark.parametrize(("half", "faster"), [(1.5e11, "bf16"), (1.2e11, "fp32"), (2e10, "fp32")])
def test_precision_follows_the_measured_rates(monkeypatch: pytest.MonkeyPatch, half: float, faster: str) -> None:
    rates = {torch.float32: 1e11, torch.bfloat16: half}
    monkeypatch.setattr("trainer.size.machine.matmul_rate", lambda device, dtype: rates[dtype])
    (found,) = (finding.text for finding in examine(selftest=False) if finding.subject == "precision")
    assert found == f"matmul 100 GFLOP/s in fp32, {half / 1e9:.0f} in bf16: {faster} is faster (engine.precision)"
