"""A query and a document with a graded relevance: one row per pair, the rows of a query are ranked.

XGLUE's web page ranking (Liang et al. 2020, arXiv 2004.01401). Columns are those of `regression`; a query's rows are
those with the same first text.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from data_prep.base.errors import InputError
from data_prep.kinds import regression
from data_prep.shards.manifest import Manifest

METRICS = ("ndcg",)
columns: Mapping[str, str] = regression.columns
fields: Mapping[str, tuple[str, ...]] = {
    "first": ("query",), "second": ("document", "passage"), "score": ("label", "relevance")}
texts: tuple[str, ...] = ("second",)  # a query that is rewritten in one of its rows would be another query
noised: tuple[str, ...] = ("second",)
read, encode, show = regression.read, regression.encode, regression.show


def validate(table: pa.Table, manifest: Manifest) -> None:
    """Check that there are no labels, that the metric is nDCG, and that grades lie in the range, from 0 up."""
    regression.check_scores(table, manifest, METRICS)
    if (table["score"].to_numpy() < 0).any():
        raise InputError(f"{manifest.task}: a grade of relevance below 0; nDCG needs grades from 0 upwards")
