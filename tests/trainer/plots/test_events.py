"""TensorBoard event files: what TensorBoard reads back, and what a resumed run hides."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainer.plots.events import EventFile


def loaded(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_scalars_and_figures(tmp_path: Path) -> None:
    figure = Figure(figsize=(3, 2))
    figure.add_subplot().plot([0, 1], [0, 1])
    with EventFile(tmp_path / "deep" / "board", suffix=".mine") as events:
        for step in (1, 2):
            events.scalar("train/loss", 0.1 * step, step)
        events.scalar("train/nan", float("nan"), 2)
        events.figure("report/line", figure, 7)
    assert [path.name.endswith(".mine") for path in (tmp_path / "deep" / "board").iterdir()] == [True]
    board = loaded(tmp_path / "deep" / "board")
    assert [(one.step, one.value) for one in board.Scalars("train/loss")] == [
        (1, pytest.approx(0.1)), (2, pytest.approx(0.2))]
    assert np.isnan(board.Scalars("train/nan")[0].value)
    (image,) = board.Images("report/line")
    with Image.open(io.BytesIO(image.encoded_image_string)) as drawn:
        assert (drawn.size, image.width, image.height, image.step) == ((300, 200), 300, 200, 7)


def test_a_resumed_run_hides_what_it_repeats(tmp_path: Path) -> None:
    for values, purge in (({1: 1.0, 2: 2.0, 3: 3.0}, None), ({3: 30.0}, 3)):
        with EventFile(tmp_path, purge_step=purge) as events:
            for step, value in values.items():
                events.scalar("loss", value, step)
    assert [(one.step, one.value) for one in loaded(tmp_path).Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 30.0)]
