"""Study files: sizes, flags of the command line, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data_prep.base.errors import InputError
from tests.trainer.studies.small_study import STUDY, write_study
from trainer.studies.load import dump, find_study, load_study, read_snapshot, shipped

GIVEN = {"source": "s", "tokenizer": "t"}


def test_a_size_is_merged_into_the_file(tmp_path: Path) -> None:
    sizes = {"toy": {}, "small": {
        "seeds": [4, 5], "parameters": {"tokenizer": "own"}, "retries": 2,
        "stages": {"base": {"set": {"batch.size": 4}}}, "factors": {"method": {"pgd": None, "smart": {}}}}}
    path = write_study(tmp_path, sizes=sizes)
    toy, small = load_study(path, "toy", GIVEN), load_study(path, "small", {"source": "s"})
    assert (toy.seeds, small.seeds, small.retries) == ([0], [4, 5], 2)
    assert small.parameters == {"source": "s", "tokenizer": "own"}
    assert list(small.factors["method"]) == ["plain", "smart"]
    assert (small.stages["base"].set, small.stages["base"].seed) == ({"batch.size": 4}, 5)
    assert load_study(path, "toy", GIVEN, seeds=[7]).seeds == [7]
    (tmp_path / "study.yaml").write_text(dump(small))
    assert read_snapshot(tmp_path / "study.yaml") == small


def test_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_study(tmp_path)
    assert load_study(path, "toy", {**GIVEN, "levels.method": "pgd"}).chosen_levels("method") == ["pgd"]
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    found = load_study(path, "toy", {"source": "./data", "tokenizer": "small"}).parameters
    assert found == {"source": str(tmp_path / "data"), "tokenizer": "small"}, "paths from any working directory"


@pytest.mark.parametrize(("changes", "flags", "words"), [
    ({}, {"sorce": "s"}, "study small has no --sorce, did you mean --source?; its flags: --source, --tokenizer, "
                         "--levels.method"),
    ({}, {"levels.metod": "plain"}, "has no --levels.metod, did you mean --levels.method?"),
    ({}, {"source": "s"}, "small at size toy needs --tokenizer"),
    ({}, {**GIVEN, "levels.method": "plain,pdg"},
     "levels: factor method has no level 'pdg' (did you mean 'pgd'?); levels: plain, pgd"),
    ({"quesiton": "?"}, GIVEN, "small.yaml, size toy: unknown key 'quesiton', did you mean 'question'?"),
    ({"stages": {"base": {"recipe": "tiny", "evalute": []}}}, GIVEN,
     "unknown key 'stages.base.evalute', did you mean 'evaluate'?"),
    ({"seeds": [1, 1]}, GIVEN, "seeds: expected different ones, found 1, 1"),
    ({"seeds": [1, 1001], "retries": 1}, GIVEN, "multiples of 1000"),
    ({"steps": {"seed": {"command": "a", "output": "b"}}}, GIVEN, "'seed' names two things"),
    ({"comparisons": [{"factor": "method", "base": "none"}]}, GIVEN,
     "comparisons.0: factor method has no level 'none'; levels: plain, pgd"),
    ({"factors": {"method": {"plain": {"skip": ["bass"]}}}}, GIVEN, "factors.method.plain: no stage 'bass'"),
    ({"sizes": None}, GIVEN, "expected `sizes`, a mapping"),
], ids=range(12))
def test_refused(tmp_path: Path, changes: dict[str, Any], flags: dict[str, str], words: str) -> None:
    path = write_study(tmp_path, **changes)
    with pytest.raises(InputError) as refused:
        load_study(path, "toy", flags)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_such_size_or_study(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="small has no size 'huge'; sizes: toy, full"):
        load_study(write_study(tmp_path), "huge", GIVEN)
    with pytest.raises(InputError, match=r"no study 'robust_xtl' \(did you mean 'robust_xlt'"):
        find_study("robust_xtl")
    assert STUDY["sizes"].keys() == {"toy", "full"}
    assert "robust_xlt" in shipped()
