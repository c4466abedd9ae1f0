"""Suggestions for languages and cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from data_prep.shards.manifest import MANIFEST_FILE
from data_prep.sources.layouts import choose
from data_prep.suggest import near_cell, near_language

CELLS = ("xnli/train/en", "xnli/dev/en", "xnli/dev/sw", "sib200/test/zho_Hans", "pawsx/test/de")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in CELLS:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / MANIFEST_FILE).touch()
    return tmp_path


@pytest.mark.parametrize(("word", "meant"), [
    ("swahili", "sw"), ("Swahilli", "sw"), ("swh", "sw"), ("english", "en"), ("zh", "zho_Hans"), ("eng_Latn", "en"),
    ("chinese", "zho_Hans"), ("fr", ""), ("klingon", "")])
def test_nearest_language(word: str, meant: str) -> None:
    assert near_language(word, ["en", "sw", "de", "zho_Hans"]) == (f" (did you mean {meant!r}?)" if meant else "")


@pytest.mark.parametrize(("name", "meant"), [
    ("xnil/train/en", "xnli/train/en"), ("xnli/tset/en", ""), ("xnli/dve/swahili", "xnli/dev/sw"),
    ("xnli/dve/*", "xnli/dev/*"), ("*/tset/de", "*/test/de"), ("sib200/test/zh", "sib200/test/zho_Hans"),
    ("xnli/train/fr", ""), ("xnli/train/en", ""), ("qqq/train/en", ""),
    ("xnly/test/en", "xnli/test/en"), ("pawx/train/en", "pawsx/train/en")])
def test_nearest_cell(root: Path, name: str, meant: str) -> None:
    assert near_cell(root, name) == (f" (did you mean {meant!r}?)" if meant else "")


def test_a_source_without_the_language_or_split_suggests_one() -> None:
    there = [("train", "en"), ("dev", "sw")]
    with pytest.raises(InputError, match=r"language 'swahili' \(did you mean 'sw'\?\); it has: en, sw"):
        choose(there, ["swahili"], None, "data")
    with pytest.raises(InputError, match=r"no split 'trian' \(did you mean 'train'\?\)"):
        choose(there, None, ["trian"], "data")
