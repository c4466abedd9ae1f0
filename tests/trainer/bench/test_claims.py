"""The command that simulates a report's claims prints a line per kind of study."""

from __future__ import annotations

import pytest

from data_prep.base.errors import InputError
from trainer.bench import claims, commands


def test_a_small_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, values in (("SEEDS", (3,)), ("LANGUAGES", (2,)), ("ITEMS", (300,)), ("LUCK", (0.5,)), ("METHODS", 2),
                         ("GAIN", 50.0)):
        monkeypatch.setattr(claims, name, values)
    commands.bench_claims(studies=4)
    false, power = capsys.readouterr().out.split("Power")
    lines = [line.split() for line in false.splitlines()[2:] if line]
    assert [line[:6] for line in lines] == [["3", "2", "300", "0.5", "1", "12"], ["3", "2", "300", "0.5", "2", "12"]]
    assert "a gain of 50 point" in power
    assert power.splitlines()[-1].split()[6] == "100.0"
    with pytest.raises(InputError, match="at least 1"):
        commands.bench_claims(studies=0)
