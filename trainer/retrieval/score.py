"""Searches of a cell by the metric of its task: nearest neighbours, a ranking, or mined pairs, beside gold matches.

Shapes: Q queries, N candidates of the pool.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from data_prep.base.errors import InputError
from data_prep.shards.columns import NO_MATCH
from data_prep.shards.read import Cell
from trainer.kinds.sequences import lists
from trainer.retrieval import search
from trainer.retrieval.search import Indices

LISTED = 20  # candidates per query in the prediction file of a ranking


@dataclass(frozen=True)
class Side:
    """The queries, or the candidates, of a cell; candidates also of several cells."""

    keys: list[str]
    ids: Indices
    matches: list[list[str]]
    texts: list[bytes]
    """Token ids, to tell equal texts."""
    vectors: Tensor

    def __len__(self) -> int:
        return len(self.keys)


class Relevant(NamedTuple):
    """Gold matches."""

    positions: list[Indices]
    """Of each query in the pool, ascending."""
    sizes: Indices
    """(Q,) their number, matches that are not in the pool included."""


class Outcome(NamedTuple):
    """Arguments of a metric's counts, and the keys of its examples."""

    keys: list[str]
    predicted: Any
    gold: Any
    chance: float | None = None


class Found(NamedTuple):
    """Results of the search of one cell."""

    outcomes: dict[str, Outcome]
    """By metric; empty without gold matches."""
    predictions: str
    """Text of the prediction file."""
    extension: str = "tsv"


def side_of(cell: Cell, vectors: Tensor, side: int) -> Side:
    """The rows of a cell on one side."""
    rows = np.flatnonzero(cell.table["side"].to_numpy() == side)
    table = cell.table.take(rows)
    return Side(table["key"].to_pylist(), table["id"].to_numpy(), table["matches"].to_pylist(),
                [ids.tobytes() for ids in lists(table, "first_ids")], vectors[torch.from_numpy(rows)])


def pool_of(sides: Sequence[Side]) -> Side:
    """Candidates of several cells together. Raises InputError for a key that two of them share."""
    keys = [key for side in sides for key in side.keys]
    if len(sides) > 1 and len(set(keys)) < len(keys):
        twice = Counter(keys).most_common(1)[0][0]
        raise InputError(f"the key {twice!r} names candidates of two cells that are searched together; give candidates "
                         "keys that are unique over all languages, and build again")
    return Side(keys, np.concatenate([side.ids for side in sides]), [one for side in sides for one in side.matches],
                [text for side in sides for text in side.texts], torch.cat([side.vectors for side in sides]))


def relevant_of(queries: Side, pool: Side) -> Relevant:
    """Matches of every query, given by the query or by the candidate."""
    asked, there = ({key: at for at, key in enumerate(side.keys)} for side in (queries, pool))
    found: list[set[int]] = [{there[key] for key in keys if key in there} for keys in queries.matches]
    absent = [len(set(keys) - there.keys() - {NO_MATCH}) for keys in queries.matches]
    for at, keys in enumerate(pool.matches):
        for key in keys:
            if key in asked:
                found[asked[key]].add(at)
    positions = [np.array(sorted(one), dtype=np.int64) for one in found]
    return Relevant(positions, np.array([len(one) + gone for one, gone in zip(found, absent, strict=True)]))


def find_nearest(queries: Side, pool: Side, relevant: Relevant | None, device: torch.device) -> Found:
    """The nearest neighbour in both directions. Predictions are XTREME's: a line per candidate, the number of its
    nearest query among the queries."""
    vectors = queries.vectors.to(device), pool.vectors.to(device)
    forward, backward = search.nearest(*vectors), search.nearest(*reversed(vectors))
    predictions = "".join(f"{queries.ids[at]}\n" for at in backward)
    if relevant is None:
        return Found({}, predictions)
    queries_of: list[list[int]] = [[] for _ in range(len(pool))]
    for query, positions in enumerate(relevant.positions):
        for at in positions:
            queries_of[at].append(query)
    return Found({
        "accuracy": Outcome(queries.keys, forward, _classes(forward, relevant.positions, len(pool)), 1 / len(pool)),
        "backward_accuracy": Outcome(pool.keys, backward, _classes(backward, queries_of, len(queries)))}, predictions)


def rank(queries: Side, pool: Side, relevant: Relevant | None, device: torch.device) -> Found:
    """The ranking of the pool. Predictions are XTREME-R's: JSON, the best 20 candidates' keys by the query's key."""
    vectors = queries.vectors.to(device), pool.vectors.to(device)
    best = search.top_k(*vectors, LISTED)[1].tolist()
    listed = {key: [pool.keys[at] for at in row] for key, row in zip(queries.keys, best, strict=True)}
    predictions = json.dumps(listed, ensure_ascii=False, indent=0) + "\n"
    if relevant is None:
        return Found({}, predictions, "json")
    found = Outcome(queries.keys, search.ranks(*vectors, relevant.positions), relevant.sizes)
    return Found({"mean_average_precision": found, "mean_average_precision_20": found}, predictions, "json")


def find_pairs(queries: Side, pool: Side, relevant: Relevant | None, device: torch.device, threshold: float,
               margin: bool) -> Found:
    """Pairs mined with a score of `threshold` or more. Predictions are XTREME's: `key<TAB>key` per pair."""
    mined: list[list[int]] = [[] for _ in range(len(queries))]
    for query, candidate, score in zip(*_mined(queries, pool, device, margin), strict=True):
        if score >= threshold:
            mined[query].append(int(candidate))
    predictions = "".join(f"{queries.keys[query]}\t{pool.keys[candidate]}\n"
                          for query, candidates in enumerate(mined) for candidate in candidates)
    if relevant is None:
        return Found({}, predictions)
    gold = [[*positions, *range(-1, -1 - size + len(positions), -1)]  # matches outside the pool, none of which is found
            for positions, size in zip(relevant.positions, relevant.sizes.tolist(), strict=True)]
    return Found({"mined_pair_f1": Outcome(queries.keys, mined, gold)}, predictions)


def tune_threshold(queries: Side, pool: Side, relevant: Relevant, device: torch.device, margin: bool) -> float:
    """Threshold of the highest F1 on these queries, see `search.best_threshold`."""
    at_Q, at_N, scores = _mined(queries, pool, device, margin)
    right = np.array([candidate in relevant.positions[query] for query, candidate in zip(at_Q, at_N, strict=True)])
    return search.best_threshold(scores, right.astype(bool), int(relevant.sizes.sum()))


def _mined(queries: Side, pool: Side, device: torch.device, margin: bool) -> tuple[Indices, Indices, Any]:
    """Mined pairs and their scores. Equal texts are one sentence; as it has several ids, its pairs are left out, as
    XTREME does."""
    (rows_Q, single_Q), (rows_N, single_N) = _unique(queries.texts), _unique(pool.texts)
    at_Q, at_N, scores = search.mine(queries.vectors[torch.from_numpy(rows_Q)].to(device),
                                     pool.vectors[torch.from_numpy(rows_N)].to(device), margin)
    kept = single_Q[at_Q] & single_N[at_N]
    return rows_Q[at_Q[kept]], rows_N[at_N[kept]], scores[kept]


def _unique(texts: Sequence[bytes]) -> tuple[Indices, np.ndarray]:
    """Places of the first row of each text, and whether it is the only one."""
    first: dict[bytes, int] = {}
    for at, text in enumerate(texts):
        first.setdefault(text, at)
    number = Counter(texts)
    return np.array(list(first.values()), dtype=np.int64), np.array([number[text] == 1 for text in first])


def _classes(predicted: Indices, relevant: Sequence[Sequence[int] | Indices], none: int) -> Indices:
    """Gold classes for `predicted`: the prediction itself where it is relevant, else another, `none` without any."""
    return np.array([found if found in ones else next(iter(ones), none)
                     for found, ones in zip(predicted.tolist(), map(list, relevant), strict=True)], dtype=np.int64)


SEARCHES: dict[str, Callable[..., Found]] = {
    "accuracy": find_nearest,
    "backward_accuracy": find_nearest,
    "mean_average_precision": rank,
    "mean_average_precision_20": rank,
    "mined_pair_f1": find_pairs,
}
"""Search by the first metric of a task."""
POOLED = (rank,)
"""Searches among the candidates of all cells of a split together."""
TUNED = (find_pairs,)
"""Searches with a threshold that is tuned on the dev cell of the same language."""
