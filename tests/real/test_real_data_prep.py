"""The real benchmark files, where they are: every row of every sentence-pair task arrives, with the right label.

Command: `python -m pytest tests/real -m real`. Skipped, with the reason, where the files are not beside the project.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from data_prep.__main__ import main
from data_prep.augment.synonyms import load_neighbours
from data_prep.shards.assemble import assemble
from data_prep.shards.manifest import read_manifest
from data_prep.shards.read import find_cells, open_cell
from data_prep.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from tests.real.commands import DATA

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real benchmark files are not at {DATA}"),
]

XNLI_LANGUAGES = ("de", "en", "sw", "tr", "zh")
THIRDS = {"contradiction": 830, "entailment": 830, "neutral": 830}
# folder, task, and rows by cell as the publishers count them
EXPECTED = {
    "xnli": ("xnli", {**{f"dev/{lg}": 2490 for lg in XNLI_LANGUAGES}, **{f"test/{lg}": 5010 for lg in XNLI_LANGUAGES}}),
    "mnli": ("mnli_15k", {"train/en": 15001, "train/sw": 1500, "train/tr": 1500, "train/zh": 1500}),
    "pawsx": ("pawsx", {**{f"dev/{lg}": 2000 for lg in ("de", "en", "ja", "ko")},
                        **{f"test/{lg}": 2000 for lg in ("de", "en", "fr", "ja", "ko")}}),
    "sick": ("sick", {"train/en": 4500, "dev/en": 500, "test/en": 4927}),
    "mrpc": ("mrpc", {"train/en": 3576, "dev/en": 500}),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer from a part of the real text of five languages; small, so that unknown characters occur too."""
    texts = []
    for language in XNLI_LANGUAGES:
        content = (DATA / "xnli" / f"dev-{language}.tsv").read_text(encoding="utf-8")
        texts += [line.split("\t")[1] for line in content.split("\n")[:1200] if line]
    folder = tmp_path_factory.mktemp("real") / "tokenizer"
    save_tokenizer(train_tokenizer(texts, 4000), folder)
    return folder


@pytest.fixture(scope="module")
def built(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("real") / "shards"
    for task, (folder, _) in EXPECTED.items():
        source = str(DATA / folder)
        assert main(["build", task, "--source", source, "--tokenizer", str(tokenizer), "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("task", EXPECTED)
def test_no_row_is_lost(built: Path, task: str) -> None:
    cells = {p.relative_to(built / task).as_posix(): open_cell(p) for p in find_cells(built, task)}
    assert {name: len(cell) for name, cell in cells.items()} == EXPECTED[task][1]
    for name, cell in cells.items():
        assert cell.manifest.skipped == {}, name
        assert cell.dataset["id"][:] == list(range(len(cell))), name
        assert cell.manifest.has_labels == (not (task in ("xnli", "pawsx") and name.startswith("test")))
        assert cell.manifest.language_info.name != "unknown"


def test_publishers_keys(built: Path) -> None:
    assert {task: read_manifest(built / task / "train" / "en").keys for task in ("mnli", "sick", "mrpc")} == {
        "mnli": "row", "sick": "publisher", "mrpc": "row"}
    assert open_cell(built / "sick/test/en").dataset["key"][:3] == ["6", "7", "8"]


# rows of PAWS-X with `NS` for a sentence; its paper counts dev without them: de 1,932, ja 1,980, ko 1,965 of 2,000
PLACEHOLDERS = {"dev/de": 68, "dev/en": 0, "dev/ja": 20, "dev/ko": 35, "test/de": 32, "test/en": 0, "test/fr": 14,
                "test/ja": 54, "test/ko": 28}


def test_placeholder_texts_are_counted(built: Path, tokenizer: Path, tmp_path: Path) -> None:
    found = {name: open_cell(built / "pawsx" / name).manifest.kept.get("placeholder text", 0)
             for name in EXPECTED["pawsx"][1]}
    assert found == PLACEHOLDERS
    assert main(["build", "pawsx", "--source", str(DATA / "pawsx"), "--tokenizer", str(tokenizer), "--out",
                 str(tmp_path), "--languages", "de", "--drop_placeholders"]) == 0
    assert len(open_cell(tmp_path / "pawsx/dev/de")) == 1932
    assert len(open_cell(tmp_path / "pawsx/test/de")) == 1968


def test_label_counts(built: Path) -> None:
    for language in XNLI_LANGUAGES:
        assert read_manifest(built / "xnli/dev" / language).label_counts == THIRDS
    assert read_manifest(built / "mnli/train/en").label_counts == {
        "contradiction": 5504, "entailment": 5100, "neutral": 4397}
    assert read_manifest(built / "sick/train/en").labels == read_manifest(built / "xnli/dev/en").labels


@pytest.mark.parametrize(("file", "cell", "first", "second", "label"), [
    ("xnli/dev-zh.tsv", "xnli/dev/zh", 0, 1, 2),
    ("pawsx/dev-ko.tsv", "pawsx/dev/ko", 0, 1, 2),
    ("mnli_15k/multinli.train.tr.tsv", "mnli/train/tr", 0, 1, 2),
    ("sick/SICK_test_annotated.txt", "sick/test/en", 1, 2, 4),
    ("mrpc/msr-para-train.tsv", "mrpc/train/en", 3, 4, 0),
])
def test_rows_equal_the_files(
    built: Path, tokenizer: Path, file: str, cell: str, first: int, second: int, label: int
) -> None:
    """A second, plain reading of the file, and the tokenizer's own call, for two hundred rows."""
    loaded, opened = load_tokenizer(str(tokenizer)), open_cell(built / cell)
    lines = (DATA / file).read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    lines = lines[len(lines) - 1 - len(opened) : -1]
    spellings = {"contradictory": "contradiction"}
    for row in random.Random(0).sample(range(len(opened)), 200):
        fields, found = lines[row].split("\t"), opened.dataset[row]
        own = loaded(fields[first], fields[second], truncation="longest_first", max_length=128)["input_ids"]
        ids = assemble(found["first_ids"], found["second_ids"], 128, opened.manifest.tokenizer.template)
        assert ids.tolist() == own
        spelt = fields[label].strip().lower()
        assert opened.manifest.labels[found["label"]] == spellings.get(spelt, spelt)


def test_row_parallel_cells_have_equal_labels(built: Path) -> None:
    for split, task in (("dev", "xnli"), ("train", "mnli")):
        english = open_cell(built / task / split / "en").dataset["label"][:1500]
        for path in find_cells(built, task, split):
            assert open_cell(path).dataset["label"][:1500] == english, path


def test_synonyms_list(tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = DATA / "synonyms" / "ppdb_synonyms.txt"
    neighbours = load_neighbours(file)
    assert all(word in neighbours[other] for word, others in neighbours.items() for other in others)
    assert main(["augment", "synonyms", "sick", "--source", str(DATA / "sick"), "--neighbours", str(file),
                 "--tokenizer", str(tokenizer), "--out", str(tmp_path), "--copies", "2", "--splits", "dev"]) == 0
    assert "words have a neighbour" in capsys.readouterr().out
    cell = open_cell(tmp_path / "sick+synonyms/dev/en")
    assert len(cell) == 1500
    assert set(Counter(i // 3 for i in cell.dataset["id"]).values()) == {3}
    assert main(["verify", str(tmp_path)]) == 0
