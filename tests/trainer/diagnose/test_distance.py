"""Distances and shares inside a radius on points whose distances are known by hand, and the noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from data_prep.shards.template import InputTemplate
from trainer.data.collate import collate
from trainer.diagnose.distance import Inside, distances, inside_radius
from trainer.diagnose.measure import Noise, gaussian_noise
from trainer.diagnose.summary import bins
from trainer.kinds.tokens import Tokens

# One sentence of two tokens, (0, 0) and (3, 4), beside English (0, 0), (6, 7) and (3, 0). Special tokens and padding,
# at the edges, would be nearer to everything.
X = torch.tensor([[[3.0, 3.0], [0.0, 0.0], [3.0, 4.0], [9.0, 9.0]]])
MASK = torch.tensor([[False, True, True, False]])
ENGLISH = torch.tensor([[[3.0, 4.1], [0.0, 0.0], [6.0, 7.0], [3.0, 0.0], [0.1, 0.1]]])
ENGLISH_MASK = torch.tensor([[False, True, True, True, False]])


def inside(radius: float, norm: str = "l2", scope: str = "token") -> Inside:
    return inside_radius(X, MASK, ENGLISH, ENGLISH_MASK, radius, norm, scope)


def test_distances_by_hand() -> None:
    found = distances(X, MASK, ENGLISH, ENGLISH_MASK)
    assert found.token.tolist() == [pytest.approx((0 + 4) / 2)]  # (3, 4) is 4 from (3, 0), 4.2 and 5 from the others
    assert found.sentence.tolist() == [pytest.approx(math.hypot(1.5 - 3, 2 - 7 / 3))]
    assert found.cosine.tolist() == [pytest.approx((1.5 * 3 + 2 * 7 / 3) / (2.5 * math.hypot(3, 7 / 3)))]


def test_a_sentence_without_content_has_no_distance() -> None:
    empty = torch.zeros_like(MASK)
    assert not distances(X, empty, ENGLISH, ENGLISH_MASK).token.isfinite().any()
    assert not distances(X, MASK, ENGLISH, torch.zeros_like(ENGLISH_MASK)).token.isfinite().any()


def test_english_is_at_no_distance_from_itself() -> None:
    torch.manual_seed(0)
    x = 1e3 + torch.randn(4, 40, 64)  # far from the origin: the usual shortcut by a matrix product is off by 0.1 here
    mask = torch.ones(4, 40, dtype=torch.bool)
    found = distances(x, mask, x, mask)
    assert found.token.tolist() == found.sentence.tolist() == [0.0] * 4


@pytest.mark.parametrize(("radius", "norm", "scope", "balls", "of", "sentence"), [
    (0.1, "l2", "token", 1, 2, False),
    (1.7, "l2", "token", 1, 2, True),  # the means are 1.54 apart
    (4.0, "l2", "token", 2, 2, True),
    (2.9, "linf", "token", 1, 2, True),
    (3.0, "linf", "token", 2, 2, True),  # in L-infinity (3, 4) is 3 from (6, 7)
    (1.4, "linf", "token", 1, 2, False),  # the means are 1.5 apart
    (3.9, "l2", "sequence", 0, 1, True),
    (4.0, "l2", "sequence", 1, 1, True),  # sqrt(0 + 16)
    (2.1, "l2", "sequence", 0, 1, False),  # 2.1 / sqrt(2) < 1.54
    (2.9, "linf", "sequence", 0, 1, True),
    (3.0, "linf", "sequence", 1, 1, True),
])
def test_inside_by_hand(radius: float, norm: str, scope: str, balls: int, of: int, sentence: bool) -> None:
    found = inside(radius, norm, scope)
    assert (found.balls.tolist(), found.of.tolist(), found.sentence.tolist()) == ([balls], [of], [sentence])


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("scope", ["token", "sequence"])
def test_what_is_wholly_inside_passes_the_weaker_condition(norm: str, scope: str) -> None:
    """English moved by a perturbation on the boundary: all inside, so the means may not rule it out."""
    torch.manual_seed(0)
    english = torch.randn(50, 9, 6)
    mask = torch.ones(50, 9, dtype=torch.bool)
    delta = torch.randn(1, 1, 6).expand(50, 9, 6)  # all tokens the same way: the means move farthest
    order = math.inf if norm == "linf" else 2.0
    length = torch.linalg.vector_norm(delta, order, dim=-1 if scope == "token" else (-2, -1), keepdim=True)
    found = inside_radius(english + 0.999 * delta / length, mask, english, mask, 1.0, norm, scope)
    assert (found.balls == found.of).all()
    assert found.sentence.all()


def test_noise_belongs_to_the_example() -> None:
    tokens = Tokens(InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"), 1, 59, 3, 60)
    rows = [(np.array([5, 6, 7]), np.array([8, 9])), (np.array([5] * 200), np.array([8, 9]))]
    both = collate(rows, np.array([4, 7]), tokens, 300)
    alone = collate(rows[:1], np.array([4]), tokens, 300)
    noise = Noise([1.0], 1, 3)
    wide, short = gaussian_noise(both, 64, noise, 0), gaussian_noise(alone, 64, noise, 0)
    assert torch.equal(wide[:1, : short.shape[1]], short)
    assert not wide[~both.content_mask].any()
    assert wide[1][both.content_mask[1]].square().sum(dim=-1).mean() == pytest.approx(1.0, abs=0.05)
    assert not torch.equal(gaussian_noise(alone, 64, noise, 1), short)


def test_bins_are_equally_large_and_from_near_to_far() -> None:
    distance = np.array([0.5, 0.1, 0.4, 0.2, 0.3, 0.6, 0.7])
    found = bins(distance, np.array([1.0, 1, 0, 1, 1, 0, 0]), 3)
    assert found is not None
    assert [(b.n, round(b.distance, 6), b.accuracy) for b in found] == [
        (3, 0.2, 1.0), (2, 0.45, 0.5), (2, 0.65, 0.0)]
    assert bins(distance[:2], np.ones(2), 3) is None
    assert bins(np.zeros(9), np.ones(9), 3) is None
