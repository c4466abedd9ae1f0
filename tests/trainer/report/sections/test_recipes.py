"""Which runs count as seeds of one method, what a report says where they do not, and what it refuses to pair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from tests.trainer.report.synthetic_runs import digest, make_runs, row, settings
from trainer.report import report
from trainer.report.build import build
from trainer.report.data.collect import lay_out
from trainer.report.data.compare import base_label
from trainer.report.data.compute import compute
from trainer.report.data.runs import read_runs
from trainer.report.render import markdown
from trainer.results.scores import RESULTS_FILE, ResultRow, merge_rows, read_rows, recipe_digest


def change(run: Path, edit: Callable[[ResultRow], dict[str, object]]) -> None:
    """Rewrite the rows of a run with the fields that `edit` gives."""
    path = run / "eval" / RESULTS_FILE
    rows = [ResultRow.model_validate({**old.model_dump(), **edit(old)}) for old in read_rows(path)]
    path.unlink()
    merge_rows(path, rows)


def set_recipe(run: Path, **changes: object) -> None:
    """Give a run another recipe; dots in the names are written as two underscores."""
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    change(run, lambda old: {"settings": {**old.settings, **dotted}})


def document(paths: list[Path], pool: str | None = None) -> str:
    runs = read_runs(paths, pool)
    return markdown.render(build(compute(runs)))


def test_a_digest_knows_settings_and_no_seed() -> None:
    same = [row("plain", seed, "en").recipe for seed in (1, 2)]
    assert same[0] == same[1] == recipe_digest(settings("plain"))
    assert len(same[0]) == 16
    assert row("plain", 1, "en", settings=settings("plain", **{"optimizer.lr": 1e-5})).recipe != same[0]
    assert recipe_digest({"a": 1, "b": 2}) == recipe_digest({"b": 2, "a": 1})
    assert recipe_digest({}) == ""


def test_runs_of_other_tasks_keep_their_label_and_lack_nothing(tmp_path: Path) -> None:
    """Runs of eight tasks were once eight recipes of "plain", each without the cells of the seven others."""
    paths = make_runs(tmp_path, labels=("plain",), generalized=False, oracle=False)
    change(paths[2], lambda old: {"task": "stsb"})
    set_recipe(paths[2], data__train="stsb/train/en")
    text = document(paths)
    assert text.count("| plain | one seed |") == 1
    assert "plain (" not in text.split("## Runs")[0]
    assert "None: every run has a row" in text
    change(paths[1], lambda old: {"task": "stsb" if old.language == "sw" else old.task})
    joined = document(paths)
    assert "plain (training cells stsb/train/en)" in joined
    assert "None: every run has a row" not in joined


def test_runs_of_unlike_recipes_are_rows_of_their_own(tmp_path: Path) -> None:
    """Three runs called plain, with other learning rate, batch and length, were once "3 seeds"."""
    paths = make_runs(tmp_path, labels=("plain",), generalized=False, oracle=False)
    set_recipe(paths[1], optimizer__lr=1e-5)
    set_recipe(paths[2], batch__size=64, schedule__max_steps=1000)
    text = document(paths)
    names = ["plain (lr 2e-5, batch 32, steps 2,000)", "plain (lr 1e-5, batch 32, steps 2,000)",
             "plain (lr 2e-5, batch 64, steps 1,000)"]
    for name in names:
        assert f"| {name} | one seed |" in text
    assert "| plain |" not in text.split("## Runs")[0]
    assert "- The 3 runs of plain are of 3 recipes, each with a row of its own: they differ in lr (2e-5, 1e-5), " \
           "batch (32, 64) and steps (2,000, 1,000)." in text
    runs_table = text.split("## Runs")[1]
    assert "| **1e-5** | **32** | **2,000** | – | – | 0.1 | fp32 | xnli/dev/en | step 1,200 | fp32 |" in runs_table
    assert "Marked: settings in which runs of one label differ." in runs_table


def test_equal_recipes_stay_seeds_and_nothing_is_marked(tmp_path: Path) -> None:
    text = document(make_runs(tmp_path, labels=("plain", "pgd"), generalized=False, oracle=False))
    assert "| plain | 3 |" in text
    assert "recipes" not in text
    assert "Marked" not in text


def test_variants_of_plain_stand_first_and_one_of_them_is_the_base(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("pgd", "plain"), seeds=(1,), generalized=False, oracle=False)
    more = make_runs(tmp_path / "more", labels=("plain",), seeds=(1,), generalized=False, oracle=False)
    set_recipe(more[0], optimizer__lr=1e-5)
    grid = lay_out(read_runs([*paths, *more]))[0].standard
    assert grid.labels == ["plain (lr 2e-5)", "plain (lr 1e-5)", "pgd"]
    assert base_label(grid) == "plain (lr 2e-5)"


def test_encoders_are_told_apart_by_name(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain",), generalized=False, oracle=False)
    change(paths[1], lambda _: {"model": "mmBERT-base"})  # the same weights, from a folder of another name
    assert {run.label for run in read_runs(paths)} == {"plain"}
    assert "Marked" not in document(paths)
    set_recipe(paths[1], model__origin="weights " + "2c3d" * 4)
    text = document(paths)
    for name, seeds in (("xlm-roberta-base", "2"), ("mmBERT-base", "one seed")):
        assert f"| plain (model {name}) | {seeds} |" in text
        assert f"| **{name}** | 2e-5 |" in text
    assert "they differ in model (xlm-roberta-base, mmBERT-base) and initial model." in text


def test_content_names_a_run_only_where_nothing_else_does(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain",), seeds=(1, 2), generalized=False, oracle=False)
    set_recipe(paths[1], data__rows="77aa88" + "0" * 10, optimizer__lr=1e-5)
    assert {run.label for run in read_runs(paths)} == {"plain (lr 2e-5)", "plain (lr 1e-5)"}
    set_recipe(paths[1], optimizer__lr=2e-5)
    assert {run.label for run in read_runs(paths)} == {"plain (training data 5e1f5e)", "plain (training data 77aa88)"}


def test_a_run_that_records_no_recipe_is_a_seed_of_nothing(tmp_path: Path) -> None:
    """Three such runs of other learning rates and lengths were once three seeds, and a gain was claimed over them."""
    paths = make_runs(tmp_path, labels=("plain", "pgd"), generalized=False, oracle=False)
    for path in paths:
        change(path, lambda _: {"settings": {}})
    text = document(paths)
    for name in ("plain-s1", "plain-s2", "pgd-s3"):
        assert f"| {name.split('-')[0]} (unknown recipe, {name}) | one seed |" in text
    assert "- No recipe is recorded by pgd-s1, pgd-s2 and pgd-s3 (pgd): nothing says which runs differ in their seed " \
           "only, so each has a row of its own." in text
    assert "a gain over" not in text
    assert "nothing can be said of the method (with 1 seed, where at least 3 are needed)" in text
    pooled = document(paths, "label")
    assert "| plain | 3 |" in pooled
    assert "- Pooled by label: 3 of the 3 runs of plain record no recipe (plain-s1, plain-s2 and plain-s3), so the " \
           "mean and ± may not be over seeds alone." in pooled


def test_unknown_recipes_are_not_pooled_with_known_ones(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain",), generalized=False, oracle=False)
    change(paths[1], lambda _: {"settings": {}})
    assert [run.label for run in read_runs(paths)] == ["plain", "plain (unknown recipe, plain-s2)", "plain"]
    assert "- No recipe is recorded by plain-s2 (plain): nothing says which runs differ in their seed only, so it " \
           "has a row of its own." in document(paths)
    set_recipe(paths[2], optimizer__lr=1e-5)
    assert [run.label for run in read_runs(paths)] == [
        "plain (lr 2e-5)", "plain (unknown recipe, plain-s2)", "plain (lr 1e-5)"]
    again = make_runs(tmp_path / "again", labels=("plain",), seeds=(2,), generalized=False, oracle=False)
    change(again[0], lambda _: {"settings": {}})
    assert [run.label for run in read_runs([paths[1], *again])] == [
        "plain (unknown recipe, plain-s2)", "plain (unknown recipe, plain-s2) #2"]


def test_recipes_that_look_alike_are_numbered(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain",), generalized=False, oracle=False)
    set_recipe(paths[1], optimizer__lr=2e-5 * (1 + 1e-8))
    labels = [run.label for run in read_runs(paths)]
    assert labels == ["plain (lr 2e-5)", "plain (lr 2e-5) #2", "plain (lr 2e-5)"]
    text = document(paths)
    assert "| plain (lr 2e-5) | 2 |" in text
    assert "they differ in lr (2e-05, 2.00000002e-05)." in text
    other = make_runs(tmp_path / "other", labels=("pgd",), seeds=(1,), generalized=False, oracle=False)
    change(other[0], lambda _: {"label": "plain (lr 2e-5)"})  # a name that a user gave
    assert [run.label for run in read_runs([*paths, *other])] == [
        "plain (lr 2e-5) #2", "plain (lr 2e-5) #3", "plain (lr 2e-5) #2", "plain (lr 2e-5)"]


def test_a_null_setting_is_an_absent_one(tmp_path: Path) -> None:
    assert recipe_digest({"a": 1, "b": None}) == recipe_digest({"a": 1}) != recipe_digest({"a": 1, "b": 0})
    paths = make_runs(tmp_path, labels=("plain",), generalized=False, oracle=False)
    set_recipe(paths[1], evaluation__patience_evaluations=None)
    assert {run.label for run in read_runs(paths)} == {"plain"}


def test_pooling_is_possible_and_said(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain",), generalized=False, oracle=False)
    set_recipe(paths[1], data__rows="77aa88" + "0" * 10, model__origin="weights 123456")
    text = document(paths, "label")
    assert "| plain | 3 |" in text
    assert "- Pooled by label: the 3 runs of plain differ in training data and initial model, so their mean and ± " \
           "are not over seeds alone." in text
    with pytest.raises(InputError, match="--pool takes 'label' only, found 'all'"):
        report(*map(str, paths), out=str(tmp_path / "out"), pool="all")


def test_scores_on_unlike_rows_are_not_paired(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1, 2), languages=("en", "de"), generalized=False)
    change(paths[3], lambda old: {"cell_sha256": digest("other")} if old.language == "de" and old.n else {})
    with pytest.raises(InputError, match=r"plain-s1 and .*pgd-s2 were scored on different rows of xnli/test de ") as e:
        read_runs(paths)
    assert "\n" not in str(e.value)
    with pytest.raises(InputError, match=r"plain-s2 and .*pgd-s2 were scored on different rows"):
        read_runs(paths, "label")  # the pair of one seed
    change(paths[1], lambda old: {"cell_sha256": digest("other")} if old.language == "de" and old.n else {})
    assert len(read_runs(paths, "label")) == 4  # a world of its own per seed
    with pytest.raises(InputError, match="--pool label"):
        read_runs(paths)


def test_one_run_has_one_checkpoint_and_one_recipe(tmp_path: Path) -> None:
    (path,) = make_runs(tmp_path, labels=("plain",), seeds=(1,), generalized=False, oracle=False)
    change(path, lambda old: {"checkpoint": digest("later")} if old.language == "de" else {})
    with pytest.raises(InputError, match="rows of 2 checkpoints, expected one"):
        read_runs([path])


def test_unequal_training_and_selection_are_said(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), generalized=False, oracle=False)
    for path in paths[3:]:
        set_recipe(path, schedule__max_steps=4000, selection__window=0.5, selection__evaluations=5, batch__size=64,
                   **{"data.rows": "f" * 16})
    text = document(paths)
    assert text.count("Unequal steps: pgd 4,000, plain 2,000.") == 1  # in the comparison, and nowhere else
    assert "Unequal selection: the checkpoint of pgd is chosen among 5 evaluations in the last 50 % of the run, that " \
           "of plain among 10 evaluations over the whole run." in text
    assert "Besides the method, pgd and plain differ in batch (pgd 64, plain 32) and training data." in text
    assert "nequal" not in document(make_runs(tmp_path / "equal", labels=("plain", "pgd"), generalized=False))


def test_unequal_training_is_said_without_a_comparison_too(tmp_path: Path) -> None:
    apart = [make_runs(tmp_path, labels=(label,), seeds=seeds, generalized=False, oracle=False)
             for label, seeds in (("plain", (1, 2)), ("pgd", (3, 4)))]
    for path in apart[1]:
        set_recipe(path, schedule__max_steps=4000, selection__window=0.5, selection__evaluations=5)
    text = document([*apart[0], *apart[1]])
    assert "pgd against plain" not in text
    assert "- Unequal steps: pgd 4,000, plain 2,000." in text
    assert text.count("Unequal selection: the checkpoint of pgd is chosen among 5 evaluations") == 1
    for label in ("plain", "pgd"):  # perplexity has no right and wrong, so nothing is compared
        longer = {"schedule.max_steps": 4000} if label == "pgd" else {}
        merge_rows(tmp_path / f"mlm-{label}" / "eval" / RESULTS_FILE, [
            row(label, 1, lang, task="text", kind="mlm", metric="perplexity", value=7.0, chance=None, outcomes=None,
                settings=settings(label, **longer)) for lang in ("en", "de")])
    assert "- Unequal steps: pgd 4,000, plain 2,000." in document([tmp_path / "mlm-plain", tmp_path / "mlm-pgd"])


def test_the_precision_of_the_evaluation_stands_in_the_report(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), generalized=False)
    text = document(paths)
    assert "| checkpoint | evaluated in | cells |" in text
    assert "precision of the evaluation" not in text
    for path in paths[3:]:
        change(path, lambda old: {"precision": "bf16"} if old.n and old.language == "de" else {})
    text = document(paths)
    assert "Unequal precision of the evaluation: pgd bf16 or fp32, plain fp32." in text
    assert "| step 1,200 | bf16 and fp32 | 12 |" in text
    assert "Marked" not in text
    change(paths[5], lambda old: {"precision": "fp32"})
    text = document(paths)
    assert "| step 1,200 | **bf16 and fp32** | 12 |" in text
    assert "| step 1,200 | **fp32** | 12 |" in text


def test_the_report_names_the_dev_cell_that_chose(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1,), generalized=False, oracle=False)
    change(paths[0], lambda _: {"chosen_on": "xnli/dev/de"})
    assert "Checkpoints: plain chosen on xnli/dev/de; pgd chosen on xnli/dev/en." in document(paths)
    change(paths[1], lambda _: {"chosen_on": ""})
    assert "Checkpoints: plain chosen on xnli/dev/de; pgd the last step." in document(paths)


def gap_part(text: str, name: str) -> str:
    return text.split(f"**Transfer gap to {name}**")[1].split("\n\n**")[0].split("\n\n#")[0]


def test_the_gap_is_taken_from_the_training_language(tmp_path: Path) -> None:
    values = {"en": 0.9, "de": 0.8, "sw": 0.6}
    for label, trained in (("german", ["de"]), ("both", ["de", "en"])):
        rows = [row(label, 1, lang, value=value, outcomes=None, train_languages=trained)
                for lang, value in values.items()]
        merge_rows(tmp_path / label / "eval" / RESULTS_FILE, rows)
    part = gap_part(document([tmp_path / "german"]), "German")
    assert "| label | mean of 2 | en | sw |" in part
    assert "| german | +5.0 | −10.0 | +20.0 |" in part
    both = gap_part(document([tmp_path / "both"]), "German and English")
    assert "The mean of German and English minus the language" in both
    assert "| both | +25.0 | +25.0 |" in both
    part = gap_part(document([tmp_path / "german", tmp_path / "both"]), "the training language")
    assert "| label | mean of 1 | en | sw |" in part
    assert "| german | +20.0 | −10.0 | +20.0 |" in part
    assert "| both | +25.0 | source | +25.0 |" in part
    assert "Trained on: german German; both German and English." in part
