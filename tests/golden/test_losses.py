"""Losses per step are the recorded ones: rearranging code changes nothing that training computes.

`losses.json` holds the loss of every step for plain, pgd and smart with the reference kernels, and the fingerprint of
the machine and packages that it was recorded with. Where the fingerprint is the same, losses must be equal to the last
bit. Elsewhere (another processor rounds and orders sums differently) they must agree to a relative RTOL; no machine
skips the test. A change that is meant to change losses records them anew: python -m tests.golden.record
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.golden.record import METHODS, RTOL, STEPS, differences, fingerprint, measure, read


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_the_recorded_ones(root: Path, method: str) -> None:
    where, losses = read()
    here = fingerprint()
    other = [f"{key}: {here.get(key)!r}, recorded {where.get(key)!r}" for key in sorted(here | where)
             if here.get(key) != where.get(key)]
    wrong = differences(method, losses[method], measure(root, method), exact=not other)
    assert not wrong, "\n".join([f"compared {f'to {RTOL:g}, since elsewhere: {other}' if other else 'exactly'}",
                                 *map(str, wrong)])


def test_the_record_is_whole_and_of_learning() -> None:
    where, losses = read()
    assert where.keys() == fingerprint().keys()
    assert losses.keys() == METHODS.keys()
    for method, values in losses.items():
        assert len(set(values)) == STEPS, f"{method}: a loss that stays the same shows no change of a step"
        assert all(math.isfinite(value) and value > 0 for value in values)
    assert len({tuple(values) for values in losses.values()}) == len(METHODS)


def test_exact_means_the_last_bit() -> None:
    recorded = [1.0, 1.1, 0.9]
    found = [1.0, math.nextafter(1.1, 2.0), 0.9]
    assert [wrong.step for wrong in differences("plain", recorded, found, exact=True)] == [2]
    assert not differences("plain", recorded, recorded, exact=True)
    assert not differences("plain", recorded, found, exact=False)


def test_elsewhere_means_the_tolerance() -> None:
    recorded = [1.0, 1.0, 1.0, 1.0]
    found = [1.0 + 0.9 * RTOL, 1.0 - 1.1 * RTOL, math.nan, 1.0 + 1.1 * RTOL]
    assert [wrong.step for wrong in differences("pgd", recorded, found, exact=False)] == [2, 3, 4]


def test_missing_steps_are_no_equality() -> None:
    with pytest.raises(ValueError, match="shorter"):
        differences("smart", [1.0, 2.0], [1.0], exact=True)
