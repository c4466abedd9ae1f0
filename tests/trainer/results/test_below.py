"""Runs below a folder: at any depth, never inside another run."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from trainer.report import expanded
from trainer.results.below import runs_below


def touched(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_runs_at_any_depth(tmp_path: Path) -> None:
    touched(tmp_path, "b/config.yaml", "a/eval/results.jsonl", "study/runs/c/config.yaml",
            "b/checkpoints/inner/config.yaml", ".old/config.yaml", "shards/xnli/test/en/manifest.json")
    (tmp_path / "link").symlink_to(tmp_path / "study", target_is_directory=True)
    found = [str(run.relative_to(tmp_path)) for run in runs_below(tmp_path)]
    assert found == ["a", "b", "study/runs/c"]
    assert runs_below(tmp_path / "b") == [tmp_path / "b"]


def test_a_report_takes_the_evaluated_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touched(tmp_path, "b/config.yaml", "b/eval/results.jsonl", "a/eval/results.jsonl", "c/config.yaml")
    a, b, c = (tmp_path / name for name in "abc")
    assert expanded([tmp_path]) == [a, b]
    assert capsys.readouterr().out == f"left out, not evaluated: {c}\n"
    assert expanded([c, tmp_path / "none", a]) == [c, tmp_path / "none", a]  # refused by the report, as before
    (a / "eval/results.jsonl").unlink()
    (b / "eval/results.jsonl").unlink()
    with pytest.raises(InputError, match=r"none of its 2 runs is evaluated: .*trainer evaluate .*/b` first"):
        expanded([tmp_path])
