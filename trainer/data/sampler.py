"""Order of examples: a function of (lengths, batch size, seed, epoch), independent of the number of ranks.

An epoch is shuffled and cut into windows, each window is sorted by length and cut into global batches, and the batches
are shuffled: examples of a batch have similar lengths, and the order of batches is random. Examples that do not fill a
last batch are left out of that epoch, so that every step has exactly `batch_size` examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from data_prep.base.errors import InputError

Choice = Callable[[np.ndarray, int], np.ndarray]
Item = tuple[int, np.ndarray] | tuple[int, np.ndarray, np.ndarray]  # epoch, indices[, partners]
WINDOW_BATCHES = 100  # batches per sorting window: long enough for 2 % padding, short enough to stay shuffled


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Number of full global batches in `rows` examples. Raises InputError if there is none."""
    if rows < batch_size:
        raise InputError(f"the training cells hold {rows} rows, fewer than batch.size {batch_size}; lower batch.size")
    return rows // batch_size


def epoch_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int, bucket_by_length: bool) -> np.ndarray:
    """Global batches of one epoch: int64 of shape (steps, batch_size), indices into `lengths`.

    With `bucket_by_length` the examples of a batch are sorted by length, so that those of a micro-batch are of similar
    length too.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    steps = steps_per_epoch(len(lengths), batch_size)
    order = order[: steps * batch_size]
    if not bucket_by_length:
        return order.reshape(steps, batch_size)
    window = WINDOW_BATCHES * batch_size
    parts = [order[start : start + window] for start in range(0, len(order), window)]
    by_length = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])
    batches = by_length.reshape(steps, batch_size)
    return batches[generator.permutation(steps)]


def micro_batches(
    lengths: np.ndarray, batch_size: int, seed: int, bucket_by_length: bool,
    first_step: int, steps: int, rank: int, world_size: int, accumulation: int, choose: Choice | None = None,
) -> Iterator[Item]:
    """(epoch, indices[, partners]) of this rank's micro-batches, in order, for steps first_step .. steps - 1.

    choose: (global batch, step) -> a partner for each of its examples.

    The global batch is cut into world_size x accumulation equal parts; in each accumulation step the ranks take
    adjacent parts, which are of similar length, so that no rank waits long for another.
    """
    per_epoch = steps_per_epoch(len(lengths), batch_size)
    epoch, batches = -1, np.empty(0)
    for step in range(first_step, steps):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            batches = epoch_batches(lengths, batch_size, seed, epoch, bucket_by_length)
        yield from cut(epoch, batches[step % per_epoch], step, rank, world_size, accumulation, choose)


def cut(
    epoch: int, batch: np.ndarray, number: int, rank: int, world_size: int, accumulation: int, choose: Choice | None
) -> Iterator[Item]:
    """(epoch, indices[, partners]) of a rank's `accumulation` micro-batches of `batch`, the `number`-th of the run."""
    parts = np.split(batch, world_size * accumulation)
    # Chosen for the whole batch and cut like it: an example's partner may be on another rank.
    partners = None if choose is None else np.split(choose(batch, number), world_size * accumulation)
    for micro_step in range(accumulation):
        part = micro_step * world_size + rank
        yield (epoch, parts[part]) if partners is None else (epoch, parts[part], partners[part])
