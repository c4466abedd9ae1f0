"""Model input of a row: token ids of one or two texts with the special tokens of the tokenizer around them.

Input: token ids without special tokens. Output: int64 ids of at most `max_length`, truncated longest first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PAIR_SPECIAL_TOKENS = 4  # <s> first </s></s> second </s>
SINGLE_SPECIAL_TOKENS = 2  # <s> first </s>


def kept_tokens(n_first: int, n_second: int, max_length: int) -> tuple[int, int]:
    """How many tokens of each segment fit into `max_length` (special tokens included), truncating the longest first.

    The same rule as Hugging Face's `truncation="longest_first"`: the longer segment gives way until both are equal,
    then both share what is left, the odd token going to the one that was longer (to the second where they were
    equal). `n_second` 0 means a single text.
    """
    if n_second == 0:
        return min(n_first, max_length - SINGLE_SPECIAL_TOKENS), 0
    budget = max_length - PAIR_SPECIAL_TOKENS
    if n_first + n_second <= budget:
        return n_first, n_second
    short, long = min(n_first, n_second), budget - min(n_first, n_second)
    if short > long:
        short, long = budget // 2, budget - budget // 2
    return (long, short) if n_first > n_second else (short, long)


def assemble(
    first: Sequence[int] | np.ndarray, second: Sequence[int] | np.ndarray, max_length: int, cls_id: int, sep_id: int
) -> np.ndarray:
    """The model input for one row: `<s> first </s></s> second </s>`, or `<s> first </s>` where `second` is empty.

    `first` and `second` are ids without special tokens; the result is int64 of shape (length,), length <=
    `max_length`, equal to the tokenizer's own `tokenizer(a, b, truncation="longest_first", max_length=max_length)`.
    """
    n_first, n_second = kept_tokens(len(first), len(second), max_length)
    specials = PAIR_SPECIAL_TOKENS if n_second else SINGLE_SPECIAL_TOKENS
    ids = np.full(n_first + n_second + specials, sep_id, dtype=np.int64)
    ids[0] = cls_id
    ids[1 : n_first + 1] = first[:n_first]
    if n_second:
        ids[n_first + 3 : n_first + 3 + n_second] = second[:n_second]
    return ids
