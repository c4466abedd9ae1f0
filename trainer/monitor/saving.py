"""Saving of checkpoints during training: at which steps, and what is added to the state."""

from __future__ import annotations

import time

from trainer.checkpoint.store import Store
from trainer.config.schema import CheckpointSection
from trainer.distributed.collectives import barrier, gather_objects
from trainer.distributed.ranks import Ranks
from trainer.monitor.meter import Meter
from trainer.runs.state import TrainState


class Saver:
    """Writes checkpoints and keeps the time of training."""

    def __init__(self, store: Store, section: CheckpointSection, max_steps: int, ranks: Ranks) -> None:
        self.store, self._ranks = store, ranks
        self._every = section.every_steps or max(1, max_steps // 4)
        self._clock = time.monotonic()

    def is_due(self, step: int) -> bool:
        """True if a checkpoint is written after `step`, whatever else happens there."""
        return step % self._every == 0

    def save(self, state: TrainState, meter: Meter) -> None:
        """Start to write the state, with the open window of every rank; every rank must call it."""
        state.seconds += time.monotonic() - self._clock
        self._clock = time.monotonic()
        state.windows = gather_objects(meter.to_dict(), self._ranks)
        self.store.save(state)

    def wait(self) -> None:
        """Return, on every rank, once the checkpoint of all ranks is on disk."""
        self.store.wait()
        barrier(self._ranks)  # the main rank has waited for the files of all ranks
