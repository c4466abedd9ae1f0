"""Batches of an evaluation, shared out over ranks by tokens.

A batch holds the same rows however many ranks there are, so that predictions are the same to the last bit. Cells are
taken in rounds: the results of a round are gathered, written and shown together. With several ranks a round holds
enough batches for each to be busy most of the time; with one rank it is a cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.data.loader import Examples, evaluation_order

BATCHES_PER_RANK = 16  # in a round: a rank that is a batch ahead then waits for a sixteenth of the time at most


@dataclass(frozen=True)
class Share:
    """One batch of a round."""

    job: int
    """Number of its cell, or pair of cells."""
    rows: np.ndarray
    tokens: int
    """With padding."""


@dataclass(frozen=True)
class Round:
    """Cells that are predicted together."""

    jobs: range
    shares: list[list[Share]]
    """By rank."""


def rounds_of(jobs: Sequence[Examples], batch_size: int, ranks: int) -> Iterator[Round]:
    """Rounds over all jobs, in their order."""
    first, open_ = 0, list[Share]()
    for number, examples in enumerate(jobs):
        open_ += [Share(number, rows, len(rows) * int(examples.lengths[rows].max()))
                  for rows in evaluation_order(examples.lengths, batch_size)]
        if ranks == 1 or len(open_) >= BATCHES_PER_RANK * ranks or number == len(jobs) - 1:
            yield Round(range(first, number + 1), share_out(open_, ranks))
            first, open_ = number + 1, []


def share_out(batches: Sequence[Share], ranks: int) -> list[list[Share]]:
    """Batches by rank: the largest left goes to the rank with fewest tokens, the first of equal ones."""
    shares: list[list[Share]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for batch in sorted(batches, key=lambda batch: -batch.tokens):
        least = loads.index(min(loads))
        shares[least].append(batch)
        loads[least] += batch.tokens
    return shares
