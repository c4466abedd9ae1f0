"""Exact search by cosine: nearest neighbours, ranks of relevant candidates, and pairs mined by margin.

Vectors have norm 1. Scores are computed for blocks of queries against all candidates; the size of a block is chosen so
that no more than SCORES are held at once. Shapes: Q queries, N candidates, H width, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

SCORES = 2**26
"""Scores in memory at once: 256 MB."""
NEIGHBOURS = 4
"""Of the margin (Artetxe and Schwenk 2019, arXiv 1811.01136, and XTREME)."""
Indices = npt.NDArray[np.int64]


def score_blocks(queries_QH: Tensor, pool_NH: Tensor, scores: int | None = None) -> Iterator[tuple[int, Tensor]]:
    """(number of the first query, scores of a block of queries against the pool)."""
    size = max(1, (scores or SCORES) // max(1, len(pool_NH)))
    for start in range(0, len(queries_QH), size):
        yield start, queries_QH[start : start + size] @ pool_NH.T


def nearest(queries_QH: Tensor, pool_NH: Tensor) -> Indices:
    """(Q,) the best candidate of each query, the first of equal ones."""
    found = [block.argmax(dim=1).cpu().numpy() for _, block in score_blocks(queries_QH, pool_NH)]
    return np.concatenate([np.empty(0, dtype=np.int64), *found])


def top_k(queries_QH: Tensor, pool_NH: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Scores and positions, (Q, K) each, of the best candidates of each query, best first, of equal ones the first;
    K at most N."""
    values, positions = [], []
    for _, block in score_blocks(queries_QH, pool_NH):
        best = block.topk(min(k, len(pool_NH)), dim=1).indices.sort(dim=1).values  # topk orders equal scores at random
        scores = block.gather(1, best).sort(dim=1, descending=True, stable=True)
        values.append(scores.values)
        positions.append(best.gather(1, scores.indices))
    return torch.cat(values), torch.cat(positions)


def ranks(queries_QH: Tensor, pool_NH: Tensor, relevant: Sequence[Indices]) -> list[Indices]:
    """Ranks from 1, ascending, of the `relevant` candidates of each query; of equal scores the first ranks first."""
    found, numbers_N = [], torch.arange(len(pool_NH), device=pool_NH.device)
    for start, block in score_blocks(queries_QH, pool_NH):
        for at, scores_N in enumerate(block, start=start):
            mine = torch.from_numpy(relevant[at]).to(block.device)
            own = scores_N[mine][:, None]
            before = (scores_N > own) | ((scores_N == own) & (numbers_N < mine[:, None]))
            found.append(np.sort(1 + before.sum(dim=1).cpu().numpy()))
    return found


def mine(queries_QH: Tensor, pool_NH: Tensor, margin: bool = True) -> tuple[Indices, Indices, npt.NDArray[np.float64]]:
    """Pairs (query, candidate, score), best first, in which every sentence occurs once at most.

    margin: score by the ratio of the cosine to the mean cosine of the four nearest neighbours of both sentences
    (Artetxe and Schwenk 2019, ratio, "max" retrieval: the best candidate of each query and the best query of each
    candidate among their neighbours, then greedily from the best on); else by the cosine.
    """
    forward, backward = (top_k(*pair, NEIGHBOURS) for pair in ((queries_QH, pool_NH), (pool_NH, queries_QH)))
    means_Q, means_N = forward[0].mean(dim=1), backward[0].mean(dim=1)
    pairs, scores = [], []
    for number, ((cosines, others), own, theirs) in enumerate(((forward, means_Q, means_N),
                                                               (backward, means_N, means_Q))):
        ratios = cosines / ((own[:, None] + theirs[others]) / 2) if margin else cosines
        best = ratios.max(dim=1)
        chosen = others.gather(1, best.indices[:, None])[:, 0]
        mine_first = torch.stack((torch.arange(len(chosen), device=chosen.device), chosen), dim=1)
        pairs.append(mine_first.flip(1) if number else mine_first)
        scores.append(best.values)
    pairs_P2, scores_P = torch.cat(pairs).cpu().numpy(), torch.cat(scores).double().cpu().numpy()
    seen: tuple[set[int], set[int]] = set(), set()
    kept = []
    for place in np.argsort(-scores_P, kind="stable").tolist():
        query, candidate = pairs_P2[place].tolist()
        if query not in seen[0] and candidate not in seen[1]:
            seen[0].add(query)
            seen[1].add(candidate)
            kept.append(place)
    return pairs_P2[kept, 0], pairs_P2[kept, 1], scores_P[kept]


def best_threshold(scores_P: npt.NDArray[np.float64], right_P: npt.NDArray[np.bool_], gold: int) -> float:
    """Least score of the pairs to keep for the highest F1; pairs are given by descending score.

    Midway between the last pair that is kept and the next, as in XTREME's `bucc_optimize`; infinite where no pair is
    right. gold: number of gold pairs.
    """
    if not right_P.any():
        return float("inf")
    ends = np.append(np.flatnonzero(np.diff(scores_P)), len(scores_P) - 1)  # equal scores are kept together
    kept = ends + 1
    f1 = 2 * np.cumsum(right_P)[ends] / (kept + gold)
    last = int(ends[np.argmax(f1)])
    return float(scores_P[last] if last + 1 == len(scores_P) else (scores_P[last] + scores_P[last + 1]) / 2)
