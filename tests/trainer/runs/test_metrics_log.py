"""metrics.jsonl and TensorBoard say the same; a resumed run continues both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

from trainer.runs.metrics_log import MetricsLog


def lines(folder: Path) -> list[dict[str, float | None]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def board(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_both_get_the_same_figures(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, active=True, resume_from=0) as metrics:
        metrics.write(1, {"train/loss": 0.5, "train/none": None})
        assert lines(tmp_path) == [{"step": 1, "train/loss": 0.5}]  # flushed line by line
        metrics.write(2, {"train/loss": float("nan"), "dev/accuracy/a/b/en": 0.25})
    assert lines(tmp_path)[1] == {"step": 2, "train/loss": None, "dev/accuracy/a/b/en": 0.25}
    assert board(tmp_path, "1 training/loss")[0] == (1, 0.5)
    assert board(tmp_path, "3 dev/accuracy/a/b/en") == [(2, 0.25)]


def test_the_mean_over_languages_is_a_curve_in_the_board_alone(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, active=True, resume_from=0) as metrics:
        for step, better in ((1, 0.0), (2, 0.25)):
            metrics.write(step, {"dev/accuracy/xnli/dev/en": 0.5 + better, "dev/accuracy/xnli/dev/sw": 0.25,
                                 "dev/accuracy/mnli/dev/en": 0.75})
    name = "2 dev, mean over languages/accuracy/xnli/dev, mean of 2 languages"
    assert board(tmp_path, name) == [(1, 0.375), (2, 0.5)]
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert len(events.Tags()["scalars"]) == 4  # no mean of one language
    assert set(lines(tmp_path)[0]) == {"step", "dev/accuracy/xnli/dev/en", "dev/accuracy/xnli/dev/sw",
                                       "dev/accuracy/mnli/dev/en"}


def test_the_board_holds_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("label: pgd\nseed: 3\noptimizer: {lr: 0.5, eps: 1}\nrobust: {method: pgd}\n")
    with MetricsLog(tmp_path, active=True, resume_from=0) as metrics:
        metrics.write(1, {"train/loss": 0.5})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (text,) = events.Tensors("recipe")
    assert b"optimizer: {lr: 0.5, eps: 1}" in text.tensor_proto.string_val[0]
    content = events.PluginTagToContent("hparams")[SESSION_START_INFO_TAG]
    values = parse_session_start_info_plugin_data(content).hparams
    assert set(values) == {"label", "seed", "optimizer.lr", "robust.method"}
    assert values["optimizer.lr"].number_value == 0.5


def test_a_resumed_run_drops_what_a_killed_life_wrote_beyond_its_checkpoint(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, active=True, resume_from=0) as metrics:
        for update in range(1, 6):
            metrics.write(update, {"train/loss": float(update)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "train/lo')
    with MetricsLog(tmp_path, active=True, resume_from=3) as metrics:
        metrics.write(4, {"train/loss": 40.0})
    assert [(line["step"], line["train/loss"]) for line in lines(tmp_path)] == [(1, 1), (2, 2), (3, 3), (4, 40)]
    assert board(tmp_path, "1 training/loss") == [(1, 1), (2, 2), (3, 3), (4, 40)]


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, active=False, resume_from=0) as metrics:
        metrics.write(1, {"train/loss": 0.5})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"5\n", b"{}\n", b"\xff\n", b'{"step": null}\n', b"[" * 100_000 + b"\n", b"\x00"])
def test_lines_that_are_none_of_ours_do_not_stop_a_resume(tmp_path: Path, damage: bytes) -> None:
    with MetricsLog(tmp_path, active=True, resume_from=0) as metrics:
        metrics.write(1, {"train/loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(damage)
    with MetricsLog(tmp_path, active=True, resume_from=1) as metrics:
        metrics.write(2, {"train/loss": 2.0})
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]
