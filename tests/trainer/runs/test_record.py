"""run.json: merged and replaced whole, read by its owner only, earlier versions' records included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data_prep.base.errors import InputError
from tests.run_records import record_of
from trainer.runs.record import PACKAGES, doubtful_end, read_finished, read_record, update_record

OUTCOME = {"selection": {"step": 4, "cell": "xnli/dev/en", "metric": "accuracy", "value": 0.5},
           "oracle_by_cell": {"xnli/dev/en": {"value": 0.5, "step": 4}}}


def written(folder: Path, record: dict[str, Any], done: bool = True) -> Path:
    (folder / "run.json").write_text(json.dumps(record))
    if done:
        (folder / "done.json").write_text("{}")
    return folder


def test_the_record_is_merged_and_knows_its_versions(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    update_record(tmp_path, **record_of(status="running", max_steps=5, new_keys=["x"]))
    first = json.loads(path.read_text())
    update_record(tmp_path, max_steps=6, **OUTCOME)
    record = json.loads(path.read_text())
    assert record == {**first, "max_steps": 6, **OUTCOME}  # fields that are not the model's, too
    assert {*PACKAGES, "python", "commit"} <= record["versions"].keys()
    assert "not installed" not in record["versions"].values()
    before = path.read_text()
    with pytest.raises(ValidationError):
        update_record(tmp_path, seed="many")
    assert path.read_text() == before


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"seed": 5}', "[" * 100_000, "\x00"])
def test_a_damaged_record_is_none_and_is_written_anew(tmp_path: Path, damage: str) -> None:
    (tmp_path / "run.json").write_text(damage)
    assert read_record(tmp_path) is None
    update_record(tmp_path, **record_of())
    assert read_record(tmp_path) is not None


def test_a_run_has_to_be_finished(tmp_path: Path) -> None:
    for status, failed, done, taken in (
            ("done", False, True, True), ("done", False, False, False), ("running", True, False, False),
            ("collapsed", False, False, False), ("collapsed", True, False, True), ("diverged", True, False, True),
            ("collapsed", False, True, True)):
        (tmp_path / "done.json").unlink(missing_ok=True)
        written(tmp_path, record_of(status=status, **OUTCOME), done)
        if taken:
            assert read_finished(tmp_path, failed=failed).status == status
        else:
            with pytest.raises(InputError, match=r"is not a finished run \(no done.json\)"):
                read_finished(tmp_path, failed=failed)


@pytest.mark.parametrize(("changes", "said"), [
    ({"selection": None}, "run.json: selection: "), ({"seed": -1}, "run.json: seed: "),
    ({"oracle_by_cell": {"../x/en": {"value": 1, "step": 1}}}, "run.json: oracle_by_cell"),
    ({"selection": {"cell": "xnli/dev/en"}}, "run.json: selection.step: Field required")])
def test_a_finished_record_has_an_outcome(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=f"{said}.*; train the run again, or copy its folder again"):
        read_finished(written(tmp_path, record_of(**OUTCOME) | changes))


def test_records_of_earlier_versions(tmp_path: Path) -> None:
    """0.1's names, without what came later."""
    old = record_of(**OUTCOME)
    old["mask_share"] = old.pop("mask_ratio")
    found = read_finished(written(tmp_path, old))
    assert (found.mask_ratio, found.status, found.settings, found.origin_run) == (0.15, "done", {}, "")
    assert (found.dev_cells, found.precision, found.shards_path) == ({}, "", None)


def test_values_that_are_not_finite_stay_what_they_are(tmp_path: Path) -> None:
    """The perplexity of a diverged model."""
    best = {"a/b/c": {"value": float("inf"), "step": 1}}
    update_record(tmp_path, **{**record_of(), **OUTCOME, "oracle_by_cell": best})
    (tmp_path / "done.json").touch()
    assert read_finished(tmp_path).oracle_by_cell["a/b/c"].value == float("inf")


def test_what_speaks_against_a_run(tmp_path: Path) -> None:
    assert doubtful_end(tmp_path) == ""
    for fields, said in (({}, ""), ({"at_chance": True}, "ended at chance on its dev cell"),
                         ({"status": "diverged", "at_chance": True}, "diverged"), ({"at_chance": False}, "")):
        assert doubtful_end(written(tmp_path, record_of(**fields))) == said
