"""TensorBoard event files: what TensorBoard reads back, and what a resumed run hides."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainer.plots.events import EventFile, TimelessEventFile


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
        assert (drawn.size, image.width, image.height, image.step) == ((540, 360), 540, 360, 7)


def test_a_resumed_run_hides_what_it_repeats(tmp_path: Path) -> None:
    for values, purge in (({1: 1.0, 2: 2.0, 3: 3.0}, None), ({3: 30.0}, 3)):
        with EventFile(tmp_path, purge_step=purge) as events:
            for step, value in values.items():
                events.scalar("loss", value, step)
    assert [(one.step, one.value) for one in loaded(tmp_path).Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_a_timeless_file_has_hyper_parameters_and_the_same_bytes(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

    figure = Figure(figsize=(3, 2))
    figure.add_subplot().plot([0, 1], [0, 1])
    for name in ("one", "two"):
        with TimelessEventFile(tmp_path / name) as events:
            events.hyper_parameters({"method": "pgd", "seed": 1, "lr": 1e-4, "frozen": True}, "pgd seed 1")
            events.scalar("xnli/mean", 0.75)
            events.figure("report/line", figure)
    (one,), (two,) = ((tmp_path / name).iterdir() for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    board = loaded(tmp_path / "one")
    assert board.Scalars("xnli/mean")[0].value == pytest.approx(0.75)
    assert len(board.Images("report/line")) == 1
    content = board.PluginTagToContent("hparams")[SESSION_START_INFO_TAG]
    values = parse_session_start_info_plugin_data(content).hparams
    assert {key: value.string_value for key, value in values.items() if key == "method"} == {"method": "pgd"}
    assert values["lr"].number_value == pytest.approx(1e-4)
    assert values["frozen"].bool_value
