"""Model inputs of rows: token ids of one or two texts with the tokenizer's special tokens around them.

Input: token ids without special tokens, and the tokenizer's `InputTemplate`. Output: ids or token types, int64, of at
most `max_length`, truncated longest first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_prep.shards.template import InputTemplate


def kept_tokens(n_first: int, n_second: int, max_length: int, template: InputTemplate) -> tuple[int, int]:
    """Number of tokens of each text that fit into `max_length` (special tokens included), truncated longest first.

    The rule of Hugging Face's `truncation="longest_first"`: the longer text is cut until both are equal, then both
    share the rest, with the odd token going to the text that was longer (to the second where they were equal).
    `n_second` 0 means a single text.
    """
    single, pair = template.frames
    if n_second == 0:
        return min(n_first, max_length - single.specials), 0
    budget = max_length - pair.specials
    if n_first + n_second <= budget:
        return n_first, n_second
    short, long = min(n_first, n_second), budget - min(n_first, n_second)
    if short > long:
        short, long = budget // 2, budget - budget // 2
    return (long, short) if n_first > n_second else (short, long)


def assemble(
    first: Sequence[int] | np.ndarray, second: Sequence[int] | np.ndarray, max_length: int, template: InputTemplate
) -> np.ndarray:
    """The model input of one row, int64 of shape (length,), length <= `max_length`; an empty `second` is no text.

    Equal to the tokenizer's own `tokenizer(a, b, truncation="longest_first", max_length=max_length)`.
    """
    n_first, n_second = kept_tokens(len(first), len(second), max_length, template)
    frame = template.frames[n_second > 0]
    parts = (frame.before[0], first[:n_first], frame.between[0], second[:n_second], frame.after[0])
    return np.concatenate(parts, dtype=np.int64, casting="unsafe")  # unsafe: an empty list is float


def first_end(n_first: int, n_second: int, max_length: int, template: InputTemplate) -> int:
    """Position behind the first of two texts in the model input; of one text, behind all of it."""
    kept_first, kept_second = kept_tokens(n_first, n_second, max_length, template)
    single, pair = template.frames
    return len(pair.before[0]) + kept_first if kept_second else kept_first + single.specials


def token_types(n_first: int, n_second: int, max_length: int, template: InputTemplate) -> np.ndarray:
    """Token types of the model input of texts with these numbers of tokens, int64, of the shape of `assemble`'s."""
    kept = kept_tokens(n_first, n_second, max_length, template)
    frame = template.frames[kept[1] > 0]
    texts = [np.full(n, kind, dtype=np.int64) for n, kind in zip(kept, frame.text_types, strict=False)]
    return np.concatenate([frame.before[1], texts[0], frame.between[1], *texts[1:], frame.after[1]])
