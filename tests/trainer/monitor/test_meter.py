"""The meter: weighted means, and a window that survives a checkpoint and another number of ranks."""

from __future__ import annotations

import torch

from trainer.distributed.ranks import Ranks
from trainer.monitor.meter import Meter
from trainer.runs.state import TrainState

ALONE = Ranks(0, 1, 0)


def filled() -> Meter:
    meter = Meter()
    meter.add({"loss": (6.0, 4.0), "none": (0.0, 0.0)})
    meter.add({"loss": (torch.tensor(4.0), 1.0)})
    meter.examples, meter.tokens, meter.padded_tokens = 5, 30, 40
    return meter


def test_means_are_sums_over_weights() -> None:
    found = filled().means(ALONE)
    assert (found["train/loss"], found["train/none"], found["speed/padding_share"]) == (2.0, None, 0.25)


def test_a_window_goes_through_a_checkpoint() -> None:
    again = Meter()
    again.load_dict(filled().to_dict())
    assert again.to_dict()["sums"] == filled().to_dict()["sums"]
    assert again.means(ALONE)["train/loss"] == 2.0
    again.clear()
    assert (again.sums, again.examples, again.tokens, again.padded_tokens) == ({}, 0, 0, 0)


def test_states_of_earlier_versions_and_other_numbers_of_ranks() -> None:
    values = TrainState(windows=[filled().to_dict(), filled().to_dict()]).to_dict()
    values["skipped"] = values.pop("nonfinite_steps") + 3
    values["skipped_in_a_row"] = values.pop("nonfinite_in_a_row") + 2
    state = TrainState.from_dict(values).for_ranks(1)
    assert (state.nonfinite_steps, state.nonfinite_in_a_row) == (3, 2)
    meter = Meter()
    meter.load_dict(state.windows[0])
    assert (meter.sums["loss"].tolist(), meter.examples) == ([20.0, 10.0], 10)
