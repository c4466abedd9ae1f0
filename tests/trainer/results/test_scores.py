"""Result rows: what is accepted, what is refused with file and line, and the merge."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from data_prep.base.errors import InputError
from trainer.results.scores import RESULTS_FILE, ResultRow, checked_name, merge_rows, read_rows, recipe_digest


def make(**fields: object) -> ResultRow:
    defaults: dict[str, object] = {
        "run": "plain-s1", "label": "plain", "method": "plain", "seed": 1, "task": "xnli", "kind": "pair",
        "metric": "accuracy", "split": "test", "language": "de", "language_2": "de", "value": 0.75, "n": 4, "step": 10,
        "predictions": "predictions/xnli/test-de.tsv", "outcomes": "outcomes/xnli/test-de.tsv",
    }
    return ResultRow.model_validate({**defaults, **fields})


def smoothed(sigma: float = 0.5, **fields: object) -> ResultRow:
    record = {"site": "word_embeddings", "sigma": sigma, "samples": 100, "selection_samples": 10, "alpha": 0.001,
              "seed": 0, "abstained": 0.25, "vote": 0.75, "vote_abstained": 0.0, "mean_radius": 0.1,
              "median_radius": 0.0, "token_norm": 1.5, "width": 64,
              "certified": "certified/word_embeddings-0.5/xnli/test-de.tsv"}
    return make(setting="smoothed", predictions=None, outcomes=None, smoothing={**record, **fields})


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = [make(language_info={"name": "German"}, train_languages=["en"]),
            make(language="en", language_2="sw", setting="generalized", excluded=3),
            make(split="dev", selection="oracle", n=0, outcomes=None, predictions=None),
            make(split="hidden", value=None, note="no label", outcomes=None),
            make(task="text", kind="mlm", metric="perplexity", value=12.5), smoothed(), smoothed(1e-7),
            smoothed(site="layer:2")]
    merge_rows(tmp_path / "eval" / RESULTS_FILE, rows)
    assert read_rows(tmp_path / "eval" / RESULTS_FILE) == rows


@pytest.mark.parametrize("fields", [
    {"surprise": 1},
    {"format_version": 2},
    {"value": 1.5},
    {"value": 1.5, "metric": "f1"},
    {"metric": "bleu"},
    {"value": float("nan")},
    {"value": None},
    {"value": None, "note": "because"},
    {"value": 0.5, "note": "no label"},
    {"language": "../etc", "language_2": "../etc"},
    {"split": "a/b"},
    {"task": ""},
    {"outcomes": "/etc/passwd"},
    {"outcomes": "outcomes/../../x.tsv"},
    {"outcomes": "..\\x"},
    {"language_2": "en"},
    {"setting": "other"},
    {"selection": "worst"},
    {"n": -1},
    {"setting": "smoothed"},
    {"smoothing": smoothed().smoothing},
    {"setting": "smoothed", "smoothing": smoothed().smoothing, "language_2": "en"},
])
def test_refused_rows(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        make(**fields)


def test_metrics_of_one_cell_have_rows_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / RESULTS_FILE
    merge_rows(path, [make(value=0.5), make(value=0.4, metric="f1"), make(value=7.5, metric="perplexity")])
    assert [row.value for row in merge_rows(path, [make(value=0.6, metric="f1")])] == [0.5, 0.6, 7.5]
    row = smoothed()
    assert row.plain_key == make().key


@pytest.mark.parametrize(("line", "named"), [
    ("{", "not a result row"),
    ('{"run": "x"}', "label"),
    ("[]", "not a result row"),
])
def test_a_bad_line_is_named(tmp_path: Path, line: str, named: str) -> None:
    path = tmp_path / RESULTS_FILE
    path.write_text(json.dumps(make().model_dump()) + "\n" + line + "\n")
    with pytest.raises(InputError, match=named) as caught:
        read_rows(path)
    assert f"{path}:2:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_rows_of_one_cell_are_refused(tmp_path: Path) -> None:
    path = tmp_path / RESULTS_FILE
    path.write_text(2 * (json.dumps(make().model_dump()) + "\n"))
    with pytest.raises(InputError, match="same cell as line 1"):
        read_rows(path)


def test_smoothed_rows_are_told_apart_by_their_noise(tmp_path: Path) -> None:
    path = tmp_path / RESULTS_FILE
    merge_rows(path, [make(), smoothed(0.5), smoothed(0.25), smoothed(0.5, site="embeddings")])
    rows = merge_rows(path, [smoothed(0.5, samples=1000)])
    assert [(row.smoothing.site, row.smoothing.sigma, row.smoothing.samples) for row in rows if row.smoothing] == [
        ("word_embeddings", 0.5, 1000), ("word_embeddings", 0.25, 100), ("embeddings", 0.5, 100)]
    for fields in ({"sigma": 0.0}, {"alpha": 1.0}, {"abstained": 1.1}, {"certified": "../x"}, {"mean_radius": -1.0},
                   {"mean_radius": float("inf")}, {"surprise": 1}):
        with pytest.raises(ValidationError):
            smoothed(**fields)  # type: ignore[arg-type]


def test_rows_of_before_there_was_smoothing_still_load(tmp_path: Path) -> None:
    line = ('{"format_version": 1, "run": "plain-seed0", "label": "plain", "method": "plain", "seed": 0, '
            '"task": "xnli", "kind": "pair", "metric": "accuracy", "split": "dev", "setting": "standard", '
            '"language": "d030", "language_2": "d030", "value": 0.98, "note": "", "n": 0, "excluded": 0, "step": 1250, '
            '"selection": "oracle", "predictions": null, "outcomes": null, "language_info": {}, '
            '"train_languages": ["en"]}\n')
    (tmp_path / RESULTS_FILE).write_text(line)
    (row,) = read_rows(tmp_path / RESULTS_FILE)
    assert (row.value, row.smoothing) == (0.98, None)


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "none.jsonl")


def test_merge_replaces_by_cell_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / RESULTS_FILE
    merge_rows(path, [make(language="de", language_2="de"), make(language="sw", language_2="sw", value=0.5)])
    merged = merge_rows(path, [make(language="sw", language_2="sw", value=0.6, step=20), make(split="dev")])
    assert [(row.language, row.split, row.value) for row in merged] == [
        ("de", "test", 0.75), ("sw", "test", 0.6), ("de", "dev", 0.75)]
    assert read_rows(path) == merged
    assert [p.name for p in tmp_path.iterdir()] == [RESULTS_FILE]


def test_merge_leaves_a_damaged_file_alone(tmp_path: Path) -> None:
    path = tmp_path / RESULTS_FILE
    path.write_text("not json\n")
    with pytest.raises(InputError):
        merge_rows(path, [make()])
    assert path.read_text() == "not json\n"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a b", "a\n", "é"])
def test_names_that_could_leave_a_folder(name: str) -> None:
    with pytest.raises(InputError):
        checked_name(name)


def test_names_of_languages() -> None:
    assert [checked_name(name) for name in ("en", "zh-Hant", "pt_BR", "d0+5")] == ["en", "zh-Hant", "pt_BR", "d0+5"]


def test_settings_of_the_release_before_are_those_of_this_one() -> None:
    """Digests are those that the release before gave, which stand in records of runs that begin with others."""
    old = {"schedule.updates": 10, "schedule.warmup_share": 0.1, "robust.steps": 3, "optimizer.lr": 1e-5}
    row = make(settings=old)
    assert row.settings == {"schedule.max_steps": 10, "schedule.warmup_ratio": 0.1, "robust.ascent_steps": 3,
                            "optimizer.lr": 1e-5}
    text = json.dumps(old, sort_keys=True, ensure_ascii=False)
    assert row.recipe == recipe_digest(old) == hashlib.sha256(text.encode()).hexdigest()[:16]
