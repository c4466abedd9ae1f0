"""Sentence vectors: mean over tokens of the output of one layer of an encoder.

All real tokens count, special ones included, as in XTREME's `evaluate_retrieval.py` and in E5 (Wang et al. 2024, arXiv
2402.05672). Shapes: B batch, L length, H width, N rows of a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.nn import functional

from data_prep.shards.read import Cell
from trainer.data.collate import collate
from trainer.kinds.sequences import NONE, lists
from trainer.kinds.tokens import tokens_of
from trainer.model.encoders import FAMILIES


@dataclass(frozen=True)
class Encoder:
    """A transformers model in evaluation mode whose layer `layer`, counted from 1, gives the vectors."""

    model: Any
    layer: int
    max_length: int
    batch_size: int
    device: torch.device

    @torch.no_grad()
    def vectors(self, cell: Cell, prefixes: tuple[list[int], ...]) -> Tensor:
        """(N, H) fp32 vectors of norm 1, on the CPU, of all rows of `cell`.

        prefixes: token ids before every text, by the row's side. Batches hold texts of like length, longest first.
        """
        family, encoder = FAMILIES[self.model.config.model_type], self.model.base_model
        tokens, sides = tokens_of(cell.manifest.tokenizer), cell.table["side"].to_numpy()
        added = np.array([len(prefix) for prefix in prefixes])[sides]
        order = np.argsort(-(cell.table["length"].to_numpy() + added), kind="stable")
        starts = range(0, len(order), self.batch_size)
        found: Tensor | None = None
        for start in track(starts, description="/".join(cell.path.parts[-3:]), transient=True):
            rows = order[start : start + self.batch_size]
            table = cell.take(rows)
            texts = [(np.concatenate((prefixes[side], text)).astype(np.int32), NONE)
                     for side, text in zip(sides[rows], lists(table, "first_ids"), strict=True)]
            batch = collate(texts, rows, tokens, self.max_length).to(self.device)
            x_BLH = family.embed(encoder, family.words(encoder, batch), batch)
            x_BLH = family.run(encoder, x_BLH, batch, 0, self.layer).float()
            vectors_BH = functional.normalize(mean_over(x_BLH, batch.attention_mask), dim=-1).cpu()
            if found is None:
                found = torch.empty(len(order), vectors_BH.shape[1])
            found[torch.from_numpy(rows)] = vectors_BH
        return torch.empty(0, 0) if found is None else found


def mean_over(x_BLH: Tensor, mask_BL: Tensor) -> Tensor:
    """(B, H) mean over the tokens of `mask_BL`."""
    weights_BL1 = mask_BL[..., None].to(x_BLH.dtype)
    return (x_BLH * weights_BL1).sum(dim=1) / weights_BL1.sum(dim=1)
