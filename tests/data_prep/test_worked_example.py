"""The worked example of CONTRIBUTING.md: a new task of a known kind is one file of under 40 lines, and it builds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from data_prep.__main__ import main
from data_prep.shards.read import open_cell
from data_prep.tasks import TASKS
from data_prep.tasks.task import Task

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLE = TEXT.partition("### A task, for example")[2].partition("\n### ")[0].partition("\n## ")[0]


def test_the_example_builds(tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, rows = re.findall(r"```(?:python|tsv)\n(.*?)```", EXAMPLE, flags=re.DOTALL)
    assert code.count("\n") < 40
    space: dict[str, Any] = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), space)
    (task,) = [value for value in space.values() if isinstance(value, Task)]
    monkeypatch.setitem(TASKS, task.name, task)
    assert all(layout.match(layout.example) for layout in task.layouts)
    file = tmp_path / "source" / task.layouts[0].example
    file.parent.mkdir(parents=True)
    file.write_text(rows, encoding="utf-8")
    (command,) = re.findall(r"`python -m (data_prep build [^`]*)`", EXAMPLE)
    words = command.replace("FOLDER", str(tmp_path / "source")).replace("TOKENIZER", str(tokenizer_folder)).split()
    assert main([*words[1:], "--out", str(tmp_path / "out")]) == 0
    split, language = task.layouts[0].match(task.layouts[0].example) or ("", "")
    manifest = open_cell(tmp_path / "out" / task.name / split / language, verify="sha256").manifest
    assert (manifest.rows, manifest.has_labels, manifest.source_rows) == (2, True, 3)
    assert manifest.skipped == {"no consensus": 1}
