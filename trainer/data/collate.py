"""Collate rows of a cell into the input tensors of one batch.

Shapes: B batch, L length of the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from data_prep.shards.assemble import assemble, first_end, token_types
from trainer.kinds.batch import Batch
from trainer.kinds.tokens import Tokens


def collate(
    rows: Sequence[tuple[np.ndarray, np.ndarray]], example_ids: np.ndarray, tokens: Tokens, max_length: int,
    pad_to: int | None = None, languages: np.ndarray | None = None,
) -> Batch:
    """A Batch of `rows`, each (first_ids, second_ids) without special tokens; targets are left to the task's kind.

    example_ids: (B,) int64. `pad_to` None pads to the longest row. languages: (B, 2) int64, `language_number` of the
    first and the second text.
    """
    sequences = [assemble(first, second, max_length, tokens.template) for first, second in rows]
    length = pad_to or max(len(s) for s in sequences)
    input_ids = np.full((len(rows), length), tokens.pad_id, dtype=np.int64)
    types = np.zeros_like(input_ids)
    for row, sequence in enumerate(sequences):
        input_ids[row, : len(sequence)] = sequence
        if tokens.template.highest_type:
            first, second = rows[row]
            types[row, : len(sequence)] = token_types(len(first), len(second), max_length, tokens.template)
    lengths = np.array([len(s) for s in sequences])[:, None]
    real = np.arange(length)[None, :] < lengths
    return Batch(
        input_ids=torch.from_numpy(input_ids),
        attention_mask=torch.from_numpy(real),
        token_types=torch.from_numpy(types),
        content_mask=torch.from_numpy(real & ~np.isin(input_ids, tokens.special)),
        example_ids=torch.from_numpy(np.asarray(example_ids, dtype=np.int64)),
        first_at=torch.tensor([len(tokens.template.frames[len(second) > 0].before[0]) for _, second in rows]),
        languages=None if languages is None else torch.from_numpy(
            np.where(real, _of_tokens(languages, rows, length, max_length, tokens), 0)),
    )


def _of_tokens(
    languages: np.ndarray, rows: Sequence[tuple[np.ndarray, np.ndarray]], length: int, max_length: int, tokens: Tokens,
) -> np.ndarray:
    """Languages of tokens, of a shape that broadcasts to (B, L): the second text's from behind the first text on."""
    first_B1, second_B1 = languages[:, :1], languages[:, 1:]
    if np.array_equal(first_B1, second_B1):
        return first_B1
    ends = np.array([first_end(len(first), len(second), max_length, tokens.template) for first, second in rows])
    return np.where(np.arange(length) < ends[:, None], first_B1, second_B1)
