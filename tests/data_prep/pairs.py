"""Batches of pairs for tests of what encodes and augments them."""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.kinds.rows import NO_LABEL, TextBatch


def pair_batch(ids: Sequence[int], first: Sequence[str], second: Sequence[str], labels: Sequence[int]) -> TextBatch:
    """Rows of kind `pair`."""
    return TextBatch(list(ids), {"first": list(first), "second": list(second), "label": list(labels)})


def rows_of(batch: TextBatch) -> list[tuple[int, str, str, int]]:
    """(id, first text, second text, label) of every row; NO_LABEL where the kind has none."""
    labels = batch.columns.get("label", [NO_LABEL] * len(batch))
    return list(zip(batch.ids, batch["first"], batch["second"], labels, strict=True))
