"""Ranking of documents by query: regression of each pair to its graded relevance.

XGLUE's own baseline classifies pairs into the five grades and ranks by the predicted class (microsoft/Unicoder); here
the score ranks documents of one grade too.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_prep.shards.manifest import Manifest
from trainer.kinds import regression
from trainer.kinds.kind import Array, Rows
from trainer.kinds.sequences import lists
from trainer.metrics.ndcg import RANKED


def join(predicted_N: Array, gold_N: Array, table: pa.Table) -> tuple[Array, Array]:
    """Scores with the number of their query, rows of equal first text having the same; (N,) of RANKED, gold as it is.

    A pair stays an example of its own, and so a line of prediction files.
    """
    numbers: dict[bytes, int] = {}
    found = np.empty(len(predicted_N), dtype=RANKED)
    found["query"] = [numbers.setdefault(ids.tobytes(), len(numbers)) for ids in lists(table, "first_ids")]
    found["score"] = predicted_N
    return found, gold_N


def serialise(predicted_N: Array, rows: Rows, manifest: Manifest, path: Path) -> None:
    """Write the predicted scores, a line for every row of the publisher's file."""
    regression.serialise(predicted_N["score"], rows, manifest, path)


KIND = replace(regression.KIND, serialise=serialise, join=join, can_be_crossed=False, metrics=("ndcg",))
