"""Meter: the metrics logged since the last line of the log, as sums over micro-batches and ranks.

Metrics come as (sum, weight) pairs, so that what is logged is the mean over all global batches of the window.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from trainer.distributed.collectives import all_reduce_sum
from trainer.distributed.ranks import Ranks
from trainer.kinds.batch import Batch


class Meter:
    """Sums and weights by name, and counts of examples and tokens, of one rank."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.clear()

    def clear(self) -> None:
        """Start an empty window now."""
        self.sums: dict[str, Tensor] = {}
        self.examples = self.tokens = self.padded_tokens = 0
        self.started = time.monotonic()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"sums": {name: values.tolist() for name, values in self.sums.items()}, "examples": self.examples,
                "tokens": self.tokens, "padded_tokens": self.padded_tokens,
                "seconds": time.monotonic() - self.started}

    def load_dict(self, values: dict[str, Any]) -> None:
        """Restore what `to_dict` returned."""
        self.sums = {name: torch.tensor(pair, dtype=torch.float64, device=self.device)
                     for name, pair in values["sums"].items()}
        self.examples, self.tokens, self.padded_tokens = (
            values[name] for name in ("examples", "tokens", "padded_tokens"))
        self.started = time.monotonic() - values["seconds"]

    def add(self, metrics: dict[str, tuple[Tensor | float, Tensor | float]]) -> None:
        """Add one micro-batch's (sum, weight) pairs."""
        for name, pair in metrics.items():
            # Kept on their device: fetching them from a GPU would make every micro-batch wait for it.
            values = torch.stack([torch.as_tensor(value, device=self.device).double() for value in pair])
            self.sums[name] = self.sums[name] + values if name in self.sums else values

    def add_batch(self, batch: Batch) -> None:
        """Count the examples, tokens and padding of a batch that is still on the CPU."""
        self.examples += batch.rows
        self.tokens += int(batch.attention_mask.sum())
        self.padded_tokens += batch.input_ids.numel()

    def means(self, ranks: Ranks) -> dict[str, float | None]:
        """Means over all ranks and the speeds of the window; every rank must call it."""
        names = list(self.sums)
        counts = torch.tensor([self.examples, self.tokens, self.padded_tokens], dtype=torch.float64)
        flat = torch.cat([counts.to(self.device), *(self.sums[name] for name in names)])
        examples, tokens, padded, *rest = all_reduce_sum(flat, ranks).tolist()
        seconds = time.monotonic() - self.started
        means = {f"train/{name}": total / weight if weight else None
                 for name, total, weight in zip(names, rest[::2], rest[1::2], strict=True)}
        return {**means, "speed/examples_per_second": examples / seconds, "speed/tokens_per_second": tokens / seconds,
                "speed/padding_share": 1 - tokens / padded}
