"""Vocabulary trimming for the time of training: of the word table, only the rows that the run's cells read.

XLM-R's table has 250,002 rows, two fifths of the weights of XLM-R large and four fifths of a small encoder's, and
English NLI reads about a tenth of them. A row that no batch reads has a gradient and moments of zero, so all that the
optimiser does to it is weight decay, the same factor for all such rows. While a run trains, they are left out of the
module: no gradient, moments, all-reduce or checkpoint of theirs costs anything. Where the model is saved they are put
back, decayed: to rounding, the model is that of training the whole table. (Abdaoui et al. 2020, arXiv 2010.05609, leave
such rows out for good.) Shapes: V vocabulary, K kept, H width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from data_prep.shards.columns import flat_values, of_type
from data_prep.shards.read import Cell
from trainer.kinds import named_kind
from trainer.kinds.tokens import tokens_of


class TrimmedEmbedding(nn.Module):
    """Word embeddings of K of V tokens; takes the ids of the whole vocabulary, and no others than those kept."""

    rows_V: Tensor

    def __init__(self, whole: nn.Embedding, kept: np.ndarray) -> None:
        """kept: ids of the K tokens, (K,) int64, ascending."""
        super().__init__()
        rows = np.full(whole.num_embeddings, -1)
        rows[kept] = np.arange(len(kept))
        self.register_buffer("rows_V", torch.from_numpy(rows), persistent=False)
        self.padding_idx = None if whole.padding_idx is None else int(rows[whole.padding_idx])
        self.weight = nn.Parameter(
            whole.weight.detach()[torch.from_numpy(kept)], requires_grad=whole.weight.requires_grad)

    def forward(self, ids: Tensor) -> Tensor:
        """(..., H) vectors of `ids`."""
        return nn.functional.embedding(self.rows_V[ids], self.weight, self.padding_idx)


@dataclass(frozen=True)
class WholeTable:
    """The word table as training began with it."""

    key: str
    """Its name in the model's state."""
    start_VH: Tensor
    """On the meta device, without memory, where this rank saves nothing."""
    kept_K: Tensor
    trained: bool
    """False where word embeddings are frozen, and so do not decay."""

    def put_back(self, weights: dict[str, Tensor], decay: float) -> None:
        """Replace the K rows in `weights` by the whole table. decay: as in `TrainState`."""
        whole_VH = self.start_VH * decay if self.trained else self.start_VH.clone()
        whole_VH[self.kept_K] = weights[self.key].to(whole_VH.dtype)
        weights[self.key] = whole_VH


def tokens_in(cells: Iterable[Cell]) -> np.ndarray:
    """Ids that inputs made of `cells` can hold, special tokens included: sorted, int64."""
    found: set[int] = set()
    for cell in cells:
        tokens = tokens_of(cell.manifest.tokenizer)
        found.update(tokens.special, [] if tokens.unk_id is None else [tokens.unk_id])
        for name in of_type(cell.manifest.columns, "token_ids"):
            found.update(np.unique(flat_values(cell.table, name, many=True)).tolist())
    return np.array(sorted(found), dtype=np.int64)


def tokens_to_train(cells: Sequence[Cell], trims: bool) -> np.ndarray | None:
    """Ids that a run on `cells` trims its word table to; None where it keeps the whole one: without `trims`
    (`engine.trim_vocabulary`), and where inputs are masked at random, which may put any word in."""
    masks = any(named_kind(cell.manifest.kind).mask is not None for cell in cells)
    return tokens_in(cells) if trims and not masks else None


def trim_vocabulary(models: Sequence[PreTrainedModel], ids: np.ndarray, *, saves: bool = True) -> WholeTable | None:
    """Trim the word table that `models` share to `ids`; None, and nothing is done, where that is all of it.

    saves: this rank will write the model. Damaged ids, outside the vocabulary, are left to the loader's check.
    """
    words: nn.Embedding = models[0].get_input_embeddings()  # type: ignore[assignment]
    kept = np.union1d(ids[(ids >= 0) & (ids < words.num_embeddings)],
                      [] if words.padding_idx is None else [words.padding_idx]).astype(np.int64)
    if len(kept) == words.num_embeddings:
        return None
    [key] = [f"{name}.weight" for name, module in models[0].named_modules() if module is words]
    table = WholeTable(
        key, words.weight.detach().float().to("cpu" if saves else "meta"), torch.from_numpy(kept),
        words.weight.requires_grad)
    trimmed = TrimmedEmbedding(words, kept)
    for model in models:
        model.set_input_embeddings(trimmed)
    return table
