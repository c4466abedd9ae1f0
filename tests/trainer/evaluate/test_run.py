"""`evaluate`: a row per cell that an independent reckoning agrees with, and nothing written where inputs are wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from data_prep.shards.write import write_cell
from tests.random_cells import LABELS, TOKENIZER, write_random_cell
from tests.trainer.small_runs import TEXT, run, tree_of, write_recipe
from trainer.data.loader import Examples
from trainer.diagnose.run import diagnose
from trainer.evaluate.outputs import model_name
from trainer.evaluate.run import evaluate
from trainer.evaluate.submission import submission
from trainer.kinds import Masking
from trainer.metrics import METRICS
from trainer.model.encoders import FAMILIES
from trainer.results.outcomes import read_outcomes
from trainer.results.predictions import read_predictions
from trainer.results.scores import ResultRow, read_rows

EN, DE = list(range(12)), [11, 3, 4, 5, 6, 20, 7, 8, 9, 10, 2]  # numbers of sentences; 20 is German only
EN_ROWS, DE_ROWS = list(range(12)), [4, 0, 3, 1, 12, 2, 5, 10, 6, 8, 9]  # where they stand in the publisher's files


def write_pairs(root: Path, language: str, sentences: Sequence[int], labels: Sequence[int], split: str = "test",
                ids: Sequence[int] | None = None, **fields: Any) -> None:
    """A cell of pairs with these labels, -1 for none; a sentence has the same key in every language."""
    draft = open_cell(root / "xnli/dev/en").manifest.model_copy(update={
        "language": language, "split": split, "shards": [], "tokenizer": TOKENIZER, "keys": "publisher",
        "source_rows": 0, "rows_sha256": "", "skipped": {}, **fields})
    ids = sentences if ids is None else ids
    generator = np.random.default_rng(len(sentences) + len(language + split))
    first = [generator.integers(4, 59, 3 + i % 7).astype(np.int32) for i in sentences]
    second = [generator.integers(4, 59, 1 + i % 5).astype(np.int32) for i in sentences]
    keys = {"key": [f"q{i}" for i in sentences]} if draft.keys == "publisher" else {}
    write_cell(root / "xnli" / split / language, draft, [{
        **keys, "id": np.array(ids), "first_ids": first, "second_ids": second, "label": np.array(labels),
        "length": np.array([len(a) + len(b) + 4 for a, b in zip(first, second, strict=True)], dtype=np.int32)}])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluate") / "shards"
    write_random_cell(root, "xnli/train/en", 60)
    write_random_cell(root, "xnli/dev/en", 20)
    english = [i % 3 for i in EN]
    write_pairs(root, "en", EN, english, label_tolerance=0.2)
    otherwise = [(i + (i in (4, 9))) % 3 for i in DE]  # 4 and 9 are labelled otherwise in German
    write_pairs(root, "de", DE, otherwise, ids=DE_ROWS, source_rows=14, skipped={"blank line": 2, "no consensus": 1},
                label_tolerance=0.2)
    write_pairs(root, "sw", EN, [-1] * 12)
    write_pairs(root, "ur", EN, [-1] * 12)
    write_random_cell(root, "text/train/en", 60, kind="mlm")
    write_random_cell(root, "text/dev/en", 20, kind="mlm")
    write_random_cell(root, "text/test/en", 20, kind="mlm", seed=3)
    write_random_cell(root, "pawsx/test/fr", 9, fingerprint="1" * 64)
    return root


def changed_cells(root: Path, folder: Path, pattern: str, **change: Any) -> Path:
    """A folder of shards that holds the cells of `root` that match `pattern`, with a changed manifest."""
    for cell in root.glob(pattern):
        copied = folder / "changed" / cell.relative_to(root)
        shutil.copytree(cell, copied)
        manifest = copied / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    return folder / "changed"


@pytest.fixture(scope="module")
def finished(root: Path) -> dict[str, Path]:
    recipe = write_recipe(root.parent, root)
    long = {"optimizer.lr": "0.003", "schedule.max_steps": "120", "evaluation.every_steps": "60",
            "checkpoint.every_steps": "120"}
    return {"pair": run(recipe, "pair", long),
            "mlm": run(recipe, "mlm", {**TEXT, "optimizer.lr": "0.01", "data.mask_ratio": "0.4"})}


@pytest.fixture
def pair(finished: dict[str, Path], tmp_path: Path) -> Path:
    """A finished run of its own, not evaluated yet."""
    shutil.copytree(finished["pair"], tmp_path / "run")
    return tmp_path / "run"


def rows_of(folder: Path, **wanted: str) -> dict[tuple[str, str], ResultRow]:
    rows = read_rows(folder / "eval" / "results.jsonl")
    wanted = {"selection": "best", **wanted}
    return {(row.language, row.language_2): row for row in rows
            if all(getattr(row, key) == value for key, value in wanted.items())}


def reckoned(folder: Path, root: Path, first: str, second: str) -> tuple[list[str], list[int], list[int]]:
    """(keys, predictions, gold) of a pair of languages, one row at a time through transformers alone."""
    model = AutoModelForSequenceClassification.from_pretrained(folder / "best").eval()
    premise, hypothesis = ({row["key"]: row for row in open_cell(root / "xnli/test" / language).dataset}
                           for language in (first, second))
    keys = [i for i in premise.keys() & hypothesis.keys() if premise[i]["label"] == hypothesis[i]["label"]]
    keys.sort(key=lambda i: premise[i]["id"])
    predicted = []
    for i in keys:
        tokens = [0, *premise[i]["first_ids"], 2, 2, *hypothesis[i]["second_ids"], 2]
        with torch.no_grad():
            predicted.append(int(model(torch.tensor([tokens])).logits.argmax()))
    return keys, predicted, [premise[i]["label"] for i in keys]


def test_standard_and_generalized_rows(pair: Path, root: Path) -> None:
    assert evaluate(str(pair), tasks="xnli", generalized=True, batch_size=5, languages="en,de") == 0
    standard, crossed = rows_of(pair, setting="standard"), rows_of(pair, setting="generalized")
    assert list(standard) == [("en", "en"), ("de", "de")]
    assert set(crossed) == {("en", "en"), ("en", "de"), ("de", "en"), ("de", "de")}
    for language, row in standard.items():  # the diagonal is the standard setting, not another prediction
        assert crossed[language] == row.model_copy(update={"setting": "generalized"})
    for (first, second), row in {**standard, **crossed}.items():
        keys, predicted, gold = reckoned(pair, root, first, second)
        assert row.n == len(keys)
        assert row.value == pytest.approx(np.mean(np.array(predicted) == gold))
        stem = first if first == second else f"{first}-{second}"
        assert row.predictions == f"predictions/xnli/test-{stem}.tsv"
        rows = {row["key"]: row["id"] for row in open_cell(root / "xnli/test" / first).dataset}
        lines = ["-"] * {"en": 12, "de": 14}[first]  # a line for every row of the publisher's file
        for key, i in zip(keys, predicted, strict=True):
            lines[rows[key]] = LABELS[i]
        assert read_predictions(pair / "eval" / row.predictions) == lines
        found_keys, counts, _ = read_outcomes(pair / "eval" / str(row.outcomes))
        assert found_keys.tolist() == keys
        assert counts.tolist() == [[p == g] for p, g in zip(predicted, gold, strict=True)]
        assert row.step == json.loads((pair / "done.json").read_text())["selection"]["step"]
    said = {label for row in standard.values() for label in read_predictions(pair / "eval" / str(row.predictions))}
    assert said == {*LABELS, "-"}, "a model that always says the same would pass with rows mixed up"
    assert {row.excluded for row in standard.values()} == {0}
    # left out: 4 and 9 for their labels; 0 and 1 are English only, 20 German only
    assert {(row.n, row.excluded) for (one, two), row in crossed.items() if one != two} == {(8, 5)}


def test_what_was_joined_and_left_out_is_said(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(str(pair), tasks="xnli", generalized=True, languages="en,de")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ("xnli/test en-de: 10 rows joined by the publisher's key, 2 of them with different labels (left "
                        "out); 3 rows are in one of the two languages only")
    assert lines[1] == ("xnli/test/de: 3 of 14 lines of the prediction file hold '-': these rows were left out when "
                        "the cell was built (2 blank line, 1 no consensus)")
    assert len([line for line in lines if "rows joined" in line or "'-'" in line]) == 2


def test_a_precision_that_the_family_does_not_work_in_is_refused(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = FAMILIES["xlm-roberta"]
    monkeypatch.setitem(FAMILIES, "xlm-roberta", replace(family, refused_precisions={"fp16": "overflows"}))
    before = tree_of(pair)
    for command in (evaluate, diagnose):
        with pytest.raises(InputError, match="--precision fp16: xlm-roberta overflows; choose another"):
            command(str(pair), tasks="xnli", languages="en", precision="fp16")
    assert tree_of(pair) == before


def test_the_oracle_row_comes_from_training(pair: Path) -> None:
    evaluate(str(pair), tasks="xnli", languages="en")
    (row,) = rows_of(pair, selection="oracle").values()
    best = json.loads((pair / "run.json").read_text())["oracle_by_cell"]["xnli/dev/en"]
    assert (row.split, row.language, row.value, row.step, row.n) == ("dev", "en", best["value"], best["step"], 0)


def test_a_row_says_by_content_what_its_number_depends_on(pair: Path, root: Path) -> None:
    evaluate(str(pair), tasks="xnli", languages="en,de", generalized=True, precision="bf16")
    record = json.loads((pair / "run.json").read_text())
    standard, crossed = rows_of(pair, setting="standard"), rows_of(pair, setting="generalized")
    for row in standard.values():
        assert row.checkpoint == hashlib.sha256((pair / "best/model.safetensors").read_bytes()).hexdigest()
        assert (row.precision, row.kernels, row.chosen_on) == ("bf16", record["kernels"], "xnli/dev/en")
        assert row.settings == record["settings"]
        assert row.recipe == record["recipe_digest"]
        assert (row.ended, row.train_languages, row.model) == ("done", ["en"], "random xlm-roberta tiny")
    hashes = [row.cell_sha256 for row in (*standard.values(), *crossed.values())]
    assert len(set(hashes)) == 4  # two cells, two ordered pairs; the diagonal is the standard setting
    assert all(len(value) == 64 for value in hashes)
    # Labels 0, 1, 2: four of each in English, 2, 3 and 6 in German
    assert (standard["en", "en"].chance, standard["de", "de"].chance) == (4 / 12, 6 / 11)
    (oracle,) = rows_of(pair, selection="oracle").values()
    assert (oracle.precision, oracle.checkpoint) == ("fp32", "")
    dev = record["dev_cells"]["xnli/dev/en"]
    assert (oracle.cell_sha256, oracle.chance) == (dev["rows_sha256"], dev["chance"])


@pytest.mark.parametrize(("origin", "name"), [
    ({"model.name": "FacebookAI/xlm-roberta-large"}, "xlm-roberta-large"),
    ({"model.name": "/models/e5-seed1/"}, "e5-seed1"),
    ({"init_from": "runs/mnli-seed12"}, "mnli"), ({"random": "tiny", "family": "bert"}, "random bert tiny"),
    ({"random": "tiny"}, "random tiny"), ({}, ""), ({"model.name": "a\nb"}, ""),
])
def test_the_initial_model_has_a_name_for_people(origin: dict[str, str], name: str) -> None:
    assert model_name(origin) == name


def test_other_rows_are_another_cell(pair: Path, root: Path, tmp_path: Path) -> None:
    evaluate(str(pair), tasks="xnli", languages="en")
    before = rows_of(pair)["en", "en"]
    shutil.copytree(root, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/xnli/test/en")
    write_pairs(tmp_path / "copy", "en", EN, [(i + 1) % 3 for i in EN])
    evaluate(str(pair), tasks="xnli", languages="en", shards=str(tmp_path / "copy"))
    after = rows_of(pair)["en", "en"]
    assert after.cell_sha256 != before.cell_sha256
    assert after.checkpoint == before.checkpoint


def test_rows_of_two_models_do_not_mix(pair: Path) -> None:
    evaluate(str(pair), tasks="xnli", languages="en")
    model = AutoModelForSequenceClassification.from_pretrained(pair / "best")
    model.classifier.out_proj.bias.data += 1
    model.save_pretrained(pair / "best")
    before = tree_of(pair)
    with pytest.raises(InputError, match="rows of another checkpoint") as caught:
        evaluate(str(pair), tasks="xnli", languages="de")
    assert "\n" not in str(caught.value)
    assert tree_of(pair) == before


def test_without_labels_there_are_predictions_and_no_score(pair: Path) -> None:
    evaluate(str(pair), tasks="xnli", languages="sw,ur", generalized=True)
    rows = {**rows_of(pair, setting="standard"), **rows_of(pair, setting="generalized")}
    assert len(rows) == 4
    for row in rows.values():
        assert (row.value, row.note, row.outcomes, row.n) == (None, "no label", None, 12)
        assert len(read_predictions(pair / "eval" / str(row.predictions))) == 12
    assert not (pair / "eval" / "outcomes").exists()


def test_predictions_do_not_depend_on_the_batch(pair: Path) -> None:
    found = []
    for batch_size in (1, 3, 64):
        evaluate(str(pair), tasks="xnli", generalized=True, languages="en,de", batch_size=batch_size)
        found.append({path.name: content for path, (_, content) in
                      ((Path(name), entry) for name, entry in tree_of(pair / "eval").items())})
    assert found[0] == found[1] == found[2]


def test_evaluating_more_merges_and_again_replaces(pair: Path) -> None:
    evaluate(str(pair), tasks="xnli", languages="en")
    evaluate(str(pair), tasks="xnli", languages="de,de", splits="test")
    evaluate(str(pair), tasks="xnli", languages="de")
    evaluate(str(pair), tasks="xnli", splits="dev")
    rows = read_rows(pair / "eval" / "results.jsonl")
    assert sorted((row.split, row.language, row.selection) for row in rows) == [
        ("dev", "en", "best"), ("dev", "en", "oracle"), ("test", "de", "best"), ("test", "en", "best")]
    best, oracle = (row.value for row in rows if row.split == "dev")
    assert best == oracle  # one dev cell, so its best is the run's best: training and evaluation reckon alike


def test_every_metric_of_a_task_has_rows_and_outcomes(pair: Path, root: Path, tmp_path: Path) -> None:
    shards = changed_cells(root, tmp_path, "xnli/test/*", further_metrics=["f1"])
    assert evaluate(str(pair), tasks="xnli", generalized=True, languages="en,de", shards=str(shards)) == 0
    rows = [row for row in read_rows(pair / "eval" / "results.jsonl") if row.selection == "best"]
    accuracy, f1 = ({(row.setting, row.language, row.language_2): row for row in rows if row.metric == name}
                    for name in ("accuracy", "f1"))
    assert accuracy.keys() == f1.keys()
    assert len(f1) == 6
    for (setting, first, second), row in f1.items():
        plain = accuracy[setting, first, second]
        assert str(row.outcomes) == str(plain.outcomes).replace(".tsv", ".f1.tsv")
        assert (row.predictions, row.n) == (plain.predictions, plain.n)
        assert plain.chance is not None
        assert row.chance is None, "the share of the most frequent class is no F1"
        _, predicted, gold = reckoned(pair, root, first, second)
        tp, said, true = (np.bincount(labels, minlength=3) for labels in (
            [p for p, g in zip(predicted, gold, strict=True) if p == g], predicted, gold))
        assert row.value == pytest.approx(np.mean((2 * tp / (said + true))[said + true > 0]))
        outcomes = read_outcomes(pair / "eval" / str(row.outcomes))
        assert METRICS["f1"].score(outcomes.counts) == row.value
        assert outcomes.keys.tolist() == read_outcomes(pair / "eval" / str(plain.outcomes)).keys.tolist()


@pytest.mark.parametrize(("change", "message"), [
    ({"further_metrics": ["bleu"]}, "metric 'bleu' is none of kind pair; its metrics: accuracy, f1"),
    ({"further_metrics": ["perplexity"]}, "metric 'perplexity' is none of kind pair"),
    ({"metric": "bleu"}, "metric 'bleu' is none of kind pair")])
def test_an_unknown_metric_is_refused(pair: Path, root: Path, tmp_path: Path, change: Any, message: str) -> None:
    shards = changed_cells(root, tmp_path, "xnli/test/en", **change)
    with pytest.raises(InputError, match=message):
        evaluate(str(pair), tasks="xnli", shards=str(shards))


def test_the_first_metric_selects_and_all_are_logged(root: Path, tmp_path: Path) -> None:
    shards = changed_cells(root, tmp_path, "xnli/*/en", metric="f1", further_metrics=["accuracy"])
    folder = run(write_recipe(tmp_path / "x", shards), "f1")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    dev = [line for line in lines if "dev/f1/xnli/dev/en" in line]
    assert len(dev) == 5
    assert all("dev/accuracy/xnli/dev/en" in line for line in dev)
    record = json.loads((folder / "run.json").read_text())
    assert record["selection"]["metric"] == "f1"
    assert record["selection"]["value"] == max(line["dev/f1/xnli/dev/en"] for line in dev)
    assert record["at_chance"] is None, "the share of the most frequent class is no F1"
    evaluate(str(folder), tasks="xnli", splits="dev")
    rows = {(row.metric, row.selection): row for row in read_rows(folder / "eval" / "results.jsonl")}
    assert set(rows) == {("f1", "oracle"), ("f1", "best"), ("accuracy", "best")}
    assert rows["f1", "best"].value == rows["f1", "oracle"].value == record["selection"]["value"]
    assert rows["f1", "oracle"].chance is None


def test_perplexity(finished: dict[str, Path], root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mlm"
    shutil.copytree(finished["mlm"], folder)
    evaluate(str(folder), tasks="text", splits="dev,test", batch_size=7)
    rows = {row.split: row for row in read_rows(folder / "eval" / "results.jsonl") if row.selection == "best"}
    model: Any = AutoModelForMaskedLM.from_pretrained(folder / "best").eval()
    examples = Examples([open_cell(root / "text/test/en")], 24, masking=Masking(0.4, 0))
    batch = examples[0, np.arange(20)]
    with torch.no_grad():
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask.long()).logits
    nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets["labels"].flatten())
    assert rows["test"].value == pytest.approx(float(nats.exp()), rel=1e-4)
    assert rows["test"].predictions is rows["test"].outcomes is None
    trained = json.loads((folder / "run.json").read_text())["selection"]["value"]
    assert rows["dev"].value == pytest.approx(trained, rel=1e-4)


@pytest.mark.parametrize(("changes", "message"), [
    ({"tasks": "pawsx"}, "pawsx/test/fr was built with another tokenizer"),
    ({"tasks": "text"}, "text/test/en: kind mlm, the run was trained with pair"),
    ({"tasks": "nothing"}, "no finished cell nothing/test/"),
    ({"languages": "en,fr"}, r"no finished cell xnli/test/fr; built: "),
    ({"splits": "test,final"}, "no finished cell xnli/final/"),
    ({"batch_size": 0}, "--batch_size must be at least 1"),
    ({"precision": "fp8"}, "--precision must be one of fp32"),
    ({"shards": "/nowhere"}, "/nowhere: no finished cell"),
    ({"languages": "en,sw", "generalized": True}, "no row in common whose labels agree"),
    ({"languages": "en", "splits": "train,test", "generalized": True}, None),
])
def test_inputs_are_checked_before_anything_is_written(pair: Path, changes: dict[str, Any],
                                                       message: str | None) -> None:
    before = tree_of(pair)
    if message is None:  # one language per split: no pairs but the diagonal, and no complaint
        evaluate(str(pair), **{"tasks": "xnli", **changes})
        assert set(rows_of(pair, setting="generalized")) == {("en", "en")}
        return
    with pytest.raises(InputError, match=message) as caught:
        evaluate(str(pair), **{"tasks": "xnli", **changes})
    assert "\n" not in str(caught.value)
    assert tree_of(pair) == before


def test_rows_that_are_not_parallel_are_not_paired(pair: Path, tmp_path: Path) -> None:
    for language in ("en", "de"):
        write_random_cell(tmp_path / "cells", f"sick/train/{language}", 5)
    before = tree_of(pair)
    with pytest.raises(InputError, match="not marked as parallel"):
        evaluate(str(pair), tasks="sick", splits="train", generalized=True, shards=str(tmp_path / "cells"))
    assert tree_of(pair) == before


def test_a_suite_is_every_cell_that_fits(pair: Path, root: Path, tmp_path: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    """Cells under other codes of a language, one by one as --tasks has them; what is not evaluated is named."""
    shards = tmp_path / "suite"
    shutil.copytree(root / "xnli/test", shards / "xnli/test")
    write_random_cell(shards, "xnli/test/zho_Hans", 6)
    write_random_cell(shards, "xnli/test/af", 6)  # no language of the suite
    write_random_cell(shards, "pawsx/test/fr", 9, fingerprint="1" * 64)
    write_random_cell(shards, "tatoeba/test/de", 9, kind="mlm")
    assert evaluate(str(pair), suite="xtreme", shards=str(shards)) == 0
    told = capsys.readouterr().out
    assert list(rows_of(pair, setting="standard")) == [(code, code) for code in ("de", "en", "sw", "ur", "zho_Hans")]
    for line in ("xtreme: 5 cells\n", "xnli: not built: ar, bg, el, es, fr, hi, ru, th, tr, vi\n",
                 "pawsx: built with another tokenizer", "xquad: no cell of xquad/test is built\n",
                 "tatoeba: kind mlm or its labels are not those of the run, pair"):
        assert line in told
    with pytest.raises(InputError, match=r"test-de\.tsv: 14 lines, the publisher's file has 5,010 rows"):
        submission(str(pair), suite="xtreme", out=str(tmp_path / "out"))


@pytest.mark.parametrize(("flags", "message"), [
    ({}, "missing tasks"), ({"tasks": "xnli", "suite": "xtreme"}, "name either --tasks"),
    ({"suite": "xtreme", "languages": "en"}, "name either --tasks"),
    ({"suite": "glue"}, "one of xtreme, xtreme_r, xglue"),
    ({"suite": "xglue", "shards": "elsewhere"}, "elsewhere: no cell of the suite that the run could be evaluated on"),
])
def test_suites_that_are_refused(pair: Path, flags: dict[str, str], message: str) -> None:
    before = tree_of(pair)
    with pytest.raises(InputError, match=message):
        evaluate(str(pair), **flags)
    assert tree_of(pair) == before


def test_an_unfinished_run_is_refused(pair: Path) -> None:
    (pair / "done.json").unlink()
    before = tree_of(pair)
    with pytest.raises(InputError, match="is not a finished run"):
        evaluate(str(pair), tasks="xnli")
    assert tree_of(pair) == before
