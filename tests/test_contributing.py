"""CONTRIBUTING.md names files, registries and make targets that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:data_prep|trainer|slurm|tests|\.ci)/[\w./]*)`", TEXT)))


@pytest.mark.parametrize("path", [path for path in PATHS if "/X." not in path])
def test_paths_exist(path: str) -> None:
    assert (ROOT / path).exists()


def test_plug_ins_have_rooms_and_the_questions_one_file_each() -> None:
    assert all((ROOT / path).parent.is_dir() for path in PATHS if "/X." in path)
    decided = TEXT.partition("## Where it is decided")[2].partition("## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", decided, flags=re.MULTILINE)[1:]
    files = [re.fullmatch(r"`([\w/]+\.py)`", answer.strip()) for question, answer in rows if set(question) != {"-"}]
    assert len(files) >= 10
    assert all(files), "one file per question"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make (\w+)`", TEXT))))
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
