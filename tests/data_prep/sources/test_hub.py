"""The hub's path through `datasets.load_dataset`, with local folders of the same schema standing in for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from data_prep.__main__ import main
from data_prep.shards.read import find_cells, open_cell
from data_prep.tasks import TASKS

HUB_ORDER = ["entailment", "neutral", "contradiction"]  # unlike ours: indices must go by name


@pytest.fixture(autouse=True)
def _cache_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def stand_in(folder: Path, config: str | None, splits: dict[str, dict[str, list[Any]]], labels: list[str]) -> None:
    """Parquet files and the card that names them, as a data repository has them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"- config_name: {config or 'default'}", "  data_files:"]
    for split, columns in splits.items():
        file = folder / f"{config or 'default'}-{split}.parquet"
        data = datasets.Dataset.from_dict(columns)
        if labels:
            data = data.cast_column("label", datasets.ClassLabel(names=labels))
        data.to_parquet(str(file))
        lines += [f"  - split: {split}", f"    path: {file.name}"]
    card = folder / "README.md"
    old = card.read_text().removesuffix("---\n") if card.exists() else "---\nconfigs:\n"
    card.write_text(old + "\n".join(lines) + "\n---\n")


def build(task: str, folder: Path, tokenizer: Path, out: Path, *more: str) -> int:
    return main(["build", task, "--source", f"hub:{folder}", "--tokenizer", str(tokenizer), "--out", str(out), *more])


def test_xnli_by_language(tokenizer_folder: Path, tmp_path: Path) -> None:
    for language in ("en", "de"):
        stand_in(tmp_path / "hub", language, {
            "validation": {"premise": ["the dog", 'a "cat'], "hypothesis": ["a dog", "no cat"], "label": [0, 2]},
            "test": {"premise": ["the dog"] * 3, "hypothesis": ["a dog"] * 3, "label": [1, -1, 1]},
        }, HUB_ORDER)
    out = tmp_path / "out"
    assert build("xnli", tmp_path / "hub", tokenizer_folder, out, "--languages", "en,de", "--splits", "dev,test") == 0
    assert len(find_cells(out)) == 4
    dev = open_cell(out / "xnli/dev/de")
    assert [dev.manifest.labels[i] for i in dev.dataset["label"]] == ["entailment", "contradiction"]
    test = open_cell(out / "xnli/test/en")
    assert test.manifest.has_labels
    assert (test.dataset["id"][:], test.dataset["label"][:]) == ([0, 2], [2, 2])
    assert test.manifest.skipped == {"no label": 1}
    assert dev.manifest.source.startswith("hub:")
    assert build("xnli", tmp_path / "hub", tokenizer_folder, out, "--languages", "en,de", "--splits", "dev,test") == 0


def test_changed_rows_of_a_hub_folder_need_overwrite(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def published(second: str, labels: list[str]) -> None:
        stand_in(tmp_path / "hub", "en", {"validation": {
            "id": [31, 12], "sentence1": ["the dog", "a cat"], "sentence2": [second, "a man"], "label": [0, 1],
            "note": ["not read", "not read either"]}}, labels)

    more, out = ("--languages", "en", "--splits", "dev"), tmp_path / "out"
    published("a dog", ["0", "1"])
    assert build("pawsx", tmp_path / "hub", tokenizer_folder, out, *more) == 0
    cell = open_cell(out / "pawsx/dev/en")
    assert (cell.manifest.keys, cell.manifest.source_rows, cell.dataset["key"][:]) == ("publisher", 2, ["31", "12"])
    assert build("pawsx", tmp_path / "hub", tokenizer_folder, out, *more) == 0
    for change in (("a dig", ["0", "1"]), ("a dog", ["1", "0"])):
        (tmp_path / "hub/README.md").unlink()
        published(*change)
        capsys.readouterr()
        assert build("pawsx", tmp_path / "hub", tokenizer_folder, out, *more) == 2
        assert "finished from other content of hub:" in capsys.readouterr().err
    assert build("pawsx", tmp_path / "hub", tokenizer_folder, out, *more, "--overwrite") == 0
    built = open_cell(out / "pawsx/dev/en")
    assert built.manifest.source_sha256 != cell.manifest.source_sha256
    assert built.dataset["label"][:] == [1, 0], "the rows of now, not those in the cache of datasets"


@pytest.mark.parametrize("task", ["mnli", "snli", "mrpc", "sick", "pawsx"])
def test_schema_of_each_task(task: str, tokenizer_folder: Path, tmp_path: Path) -> None:
    declared = TASKS[task].hub
    assert declared is not None
    config = declared.config.format(language="en") if declared.config else None
    names = {"mrpc": ["not_equivalent", "equivalent"], "pawsx": ["0", "1"]}.get(task, HUB_ORDER)
    stand_in(tmp_path / "hub", config, {
        declared.splits["dev"]: {
            declared.columns["first"]: ["the dog", "a cat"], declared.columns["second"]: ["a dog", "a man"],
            "label": [0, 1]}}, names)
    out = tmp_path / "out"
    assert build(task, tmp_path / "hub", tokenizer_folder, out, "--languages", "en", "--splits", "dev") == 0
    cell = open_cell(out / task / "dev" / "en")
    found = [cell.manifest.labels[i] for i in cell.dataset["label"]]
    assert found == (["entailment", "neutral"] if task in ("mnli", "snli", "sick") else ["0", "1"])


def test_labels_without_names_use_the_tasks(tokenizer_folder: Path, tmp_path: Path) -> None:
    stand_in(tmp_path / "hub", "en", {"validation": {"premise": ["a"], "hypothesis": ["b"], "label": [2]}}, [])
    more = ("--languages", "en", "--splits", "dev")
    assert build("xnli", tmp_path / "hub", tokenizer_folder, tmp_path / "out", *more) == 0
    cell = open_cell(tmp_path / "out/xnli/dev/en")
    assert cell.manifest.label_counts["contradiction"] == 1


@pytest.mark.parametrize(("columns", "more", "message"), [
    ({"premise": ["a"], "hypothesis": ["b"], "label": [7]}, [], "label '7' is not one of"),
    ({"premise": ["a"], "conclusion": ["b"], "label": [0]}, [], "no column hypothesis"),
    ({"premise": ["a"], "hypothesis": ["b"], "label": [0]}, ["--splits", "test"],
     "nothing for split 'test', which it should call test; it has: validation"),
    ({"premise": ["a"], "hypothesis": ["b"], "label": [0]}, ["--languages", "tlh"],
     "nothing for language 'tlh'; it has: en"),
])
def test_what_the_hub_lacks_is_one_line(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], columns: dict[str, list[Any]],
    more: list[str], message: str,
) -> None:
    stand_in(tmp_path / "hub", "en", {"validation": columns}, [])
    flags = {"--languages": "en", "--splits": "dev", **dict(zip(more[::2], more[1::2], strict=True))}
    words = [word for pair in flags.items() for word in pair]
    assert build("xnli", tmp_path / "hub", tokenizer_folder, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err.strip().split("\n")[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "out").exists()


PAIRS: dict[str, list[Any]] = {"premise": ["the dog"], "hypothesis": ["a dog"], "label": [0]}


def test_languages_are_those_of_the_repository(tokenizer_folder: Path, tmp_path: Path) -> None:
    """Tamil and Aymara are not in the task's list; what is no code of a language is taken only when asked for."""
    hub, out = tmp_path / "hub", tmp_path / "out"
    for config, split in (("ta", "test"), ("aym", "validation"), ("en", "test"), ("zh-Hans", "test"),
                          ("all_languages", "test"), ("d070", "test")):
        stand_in(hub, config, {split: PAIRS}, HUB_ORDER)
    assert build("xnli", hub, tokenizer_folder, out) == 0
    names = ["dev/aym", "test/en", "test/ta", "test/zh_Hans"]
    assert [cell.relative_to(out / "xnli").as_posix() for cell in find_cells(out)] == names
    assert open_cell(out / "xnli/test/ta").manifest.language_info.name == "Tamil"
    assert build("xnli", hub, tokenizer_folder, out, "--languages", "d070", "--splits", "test") == 0
    assert (out / "xnli/test/d070").is_dir()


@pytest.mark.parametrize(("task", "more", "message"), [
    ("xnli", ["--languages", "en,ta"], "nothing for language 'en'; it has: ta, te"),
    ("xnli", ["--splits", "train,test"], "nothing for split 'train', which it should call train; it has: dev, test"),
    ("xnli", ["--splits", "dev"], "nothing for split 'dev', which it should call validation; it has: dev, test"),
    ("mnli", [], "no configuration mnli of mnli; it has: ta, te, corpus"),
    ("pawsx", ["--languages", "corpus"], "nothing for split 'train', which it should call train; it has: other"),
])
def test_what_a_mirror_is_said_to_have_is_there(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, more: list[str], message: str
) -> None:
    for config in ("ta", "te"):
        stand_in(tmp_path / "hub", config, {"test": PAIRS, "dev": PAIRS}, HUB_ORDER)
    stand_in(tmp_path / "hub", "corpus", {"other": PAIRS}, [])
    assert build(task, tmp_path / "hub", tokenizer_folder, tmp_path / "out", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_mirror_without_a_configuration_per_language(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(tmp_path / "hub", None, {"test": PAIRS}, HUB_ORDER)
    assert build("xnli", tmp_path / "hub", tokenizer_folder, tmp_path / "out") == 2
    assert "no configuration named by a language; it has: default" in capsys.readouterr().err


def test_rows_without_text_and_without_labels(tokenizer_folder: Path, tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "premise": ["the dog", "", "a cat", None], "hypothesis": ["a dog", " ", "", "b"], "label": [-1, -1, -1, -1]}
    stand_in(tmp_path / "hub", "en", {"test": columns}, HUB_ORDER)
    assert build("xnli", tmp_path / "hub", tokenizer_folder, tmp_path / "out") == 0
    cell = open_cell(tmp_path / "out/xnli/test/en")
    assert not cell.manifest.has_labels
    assert cell.dataset["id"][:] == [0, 2]
    assert cell.manifest.skipped == {"both texts empty": 1, "missing text": 1}


def test_a_repository_that_is_in_the_cache_only(
    tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a network its configurations cannot be listed; what was loaded before is found nevertheless."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for language in ("en", "ta"):
        stand_in(tmp_path / "hub", language, {"test": PAIRS}, HUB_ORDER)
    for language in ("en", "ta"):
        builder = datasets.load_dataset_builder(str(tmp_path / "hub"), language)
        builder.download_and_prepare()
        cached = tmp_path / "cache" / "facebook___xnli" / language / "0.0.0" / "a1"
        cached.mkdir(parents=True)
        for file in Path(builder.cache_dir).iterdir():
            (cached / file.name.replace("hub-", "xnli-")).write_bytes(file.read_bytes())
        info = cached / "dataset_info.json"
        info.write_text(info.read_text().replace('"dataset_name": "hub"', '"dataset_name": "xnli"'))
    call = ["build", "xnli", "--source", "hub", "--tokenizer", str(tokenizer_folder), "--out", str(tmp_path / "out")]
    assert main([*call, "--languages", "en,ta"]) == 0
    assert len(find_cells(tmp_path / "out")) == 2
    assert main([*call, "--languages", "de", "--splits", "test"]) == 2
    assert "Available configs in the cache: ['en', 'ta']" in capsys.readouterr().err
