"""Benchmark files, folders that stand in for the hub, and lists of neighbours, broken in every way."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import data_prep.__main__
from data_prep.augment.copies import Copies
from data_prep.augment.synonyms import Synonyms, load_neighbours
from data_prep.kinds import KINDS
from data_prep.shards.read import find_cells, open_cell
from data_prep.shards.template import InputTemplate
from data_prep.sources.cells import read_cell
from data_prep.sources.layouts import find_sources
from data_prep.tasks import TASKS
from data_prep.tokenizer import load_tokenizer
from tests.data_prep.pairs import pair_batch
from tests.fuzz.budget import fuzzed
from tests.fuzz.damage import accepted, damaged_bytes, run_command, scratch

# One file of every layout, and the header it wants.
FILES = [
    ("xnli", "dev-en.tsv", b""), ("xnli", "multinli/multinli.train.sw.tsv", b"premise\thypo\tlabel\n"),
    ("mnli", "multinli_1.0_dev_matched.txt", b"gold_label\tpairID\tsentence1\tsentence2\n"),
    ("mnli", "test_matched.tsv", b"index\tsentence1\tsentence2\n"), ("pawsx", "test-de.tsv", b""),
    ("pawsx", "x-final/de/dev_2k.tsv", b"id\tsentence1\tsentence2\tlabel\n"),
    ("sick", "SICK_trial.txt", b"pair_ID\tsentence_A\tsentence_B\trelatedness\tentailment_judgment\n"),
    ("mrpc", "msr_paraphrase_test.txt", b"\xef\xbb\xbfQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"),
    ("xnli", "xnli.test.ko.tsv", b"sentence1\tsentence2\tgold_label\n"), ("snli", "snli_1.0_dev.jsonl", b""),
    ("xnli", "XNLI-1.0/xnli.dev.tsv", b"language\tgold_label\tsentence1\tsentence2\n"),
    ("text", "train-en.txt", b""), ("text", "dev-en/part.txt", b""),
]
FIELDS = [b"", b" ", b"0", b"1", b"neutral", b"ENTAILMENT", b"contradiction", b"-", b"-1", b"nan", b"the dog", b"\"a",
          b"\xef\xbb\xbf", b"\x00", b"\r", b"\xff\xfe", b"\xed\xa0\x80", "狗\u2028猫".encode(), b"\x1c", b"a" * 3000,
          b"premise", b"label"]
lines = st.lists(st.lists(st.sampled_from(FIELDS) | st.binary(max_size=8), max_size=6).map(b"\t".join), max_size=12)
good_lines = st.lists(st.sampled_from([b"the dog\ta cat\tneutral", b"a\tb\t0", b"a\tb", b"1\ta\tb\tc\t0", b"0\ta\tb",
                                       b"n\tthe dog\ta dog\tneutral", b"en\tneutral\ta\tb",
                                       b"de\t-\ta\tb", b'{"gold_label": "e", "sentence1": "a", "sentence2": "b"}']),
                      min_size=1, max_size=8)


@st.composite
def benchmark_files(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """(task, file name, content): random lines, or sound ones that were damaged."""
    task, name, header = draw(st.sampled_from(FILES))
    end = draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))
    content = header + end.join(draw(lines | good_lines)) + draw(st.sampled_from([b"", end]))
    return task, name, draw(damaged_bytes(content)) if draw(st.booleans()) else content


def read(folder: Path, task: str, name: str, content: bytes) -> tuple[list[int], Counter[str]]:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    skipped: Counter[str] = Counter()
    ids: list[int] = []
    for source in find_sources(TASKS[task], folder):
        own: list[int] = []
        for batch in read_cell(source, TASKS[task], skipped):
            labels = batch.columns.get("label", [])
            assert all(-1 <= label < len(TASKS[task].labels) for label in labels)
            own += batch.ids
        assert own == sorted(set(own))
        ids += own
    return ids, skipped


@fuzzed(200)
@given(benchmark_files())
def test_every_row_is_read_or_counted(case: tuple[str, str, bytes]) -> None:
    task, name, content = case
    with scratch() as folder:
        found = accepted(lambda: read(folder, task, name, content))
    if found is not None:
        ids, skipped = found
        lines = content.decode().removeprefix("\ufeff").split("\n")
        while lines and not lines[-1].strip() and "\t" not in lines[-1]:  # blank lines at the end are no rows
            lines.pop()
        header = any(name == file and expected for _, file, expected in FILES)
        assert len(ids) + skipped.total() == max(0, len(lines) - header)


@fuzzed(25)
@given(benchmark_files())
def test_a_build_gives_whole_cells_or_none(tokenizer_folder: Path, case: tuple[str, str, bytes]) -> None:
    task, name, content = case
    with scratch() as folder:
        (folder / "raw" / name).parent.mkdir(parents=True)
        (folder / "raw" / name).write_bytes(content)
        words = ["build", task, "--source", str(folder / "raw"), "--tokenizer", str(tokenizer_folder),
                 "--out", str(folder / "out")]
        check_build(words, folder / "out")


def check_build(words: list[str], out: Path) -> None:
    code = run_command(data_prep.__main__.main, words)
    cells = find_cells(out)
    assert bool(cells) == (code == 0)
    for cell in cells:
        open_cell(cell, verify="sha256")
    assert not list(out.glob("*/*/.*")), "a temporary folder was left behind"
    assert code == 0 or not out.exists(), "something was written before the input was refused"


# --- folders that stand in for the hub ------------------------------------------------------------------------------
VALUES: list[Any] = ["the dog", "", None, 1, -1, 2, 5, -7, 10**18, 10**30, True, 0.5, "neutral", "-", "NEUTRAL", [],
                     ["a"], {"a": 1}, "a\tb\nc", "\x00", "狗" * 50]
ROW = {"premise": "the dog", "hypothesis": "a dog", "label": 1}


@st.composite
def hub_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """(ending, content) of a split as JSON Lines or CSV."""
    odd = st.fixed_dictionaries({}, optional={name: st.sampled_from(VALUES) for name in (*ROW, "extra")})
    rows = [ROW, *draw(st.lists(st.just(ROW) | odd, max_size=3))]
    ending = draw(st.sampled_from(["jsonl", "csv"]))
    if ending == "jsonl":
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    else:
        cells = [[str(row.get(name, "")) for name in ROW] for row in rows]
        content = "".join(",".join(row) + "\n" for row in [list(ROW), *cells]).encode()
    return ending, draw(damaged_bytes(content)) if draw(st.booleans()) else content


@fuzzed(12)
@given(hub_files())
@example(("jsonl", b'{"premise": 1, "hypothesis": 2, "label": 1}\n'))
@example(("jsonl", b'{"premise": "a", "hypothesis": "b", "label": -7}\n'))
@example(("jsonl", b'{"premise": ["a"], "hypothesis": {"b": 1}, "label": 1}\n'))
@example(("csv", b"premise,hypothesis,label\n1,2,0\n3,4,1\n"))
def test_a_folder_like_the_hubs(tokenizer_folder: Path, case: tuple[str, bytes]) -> None:
    ending, content = case
    with scratch() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        (folder / "hub").mkdir()
        (folder / "hub" / f"train.{ending}").write_bytes(content)
        (folder / "hub" / "README.md").write_text(
            f"---\nconfigs:\n- config_name: mnli\n  data_files:\n  - split: train\n    path: train.{ending}\n---\n")
        check_build(["build", "mnli", "--source", f"hub:{folder / 'hub'}", "--tokenizer", str(tokenizer_folder),
                     "--out", str(folder / "out"), "--splits", "train"], folder / "out")


# --- lists of neighbours --------------------------------------------------------------------------------------------
words = st.sampled_from(["dog", "cat", "", " ", "a b", "\ud800", "x\ty", "x\ny", "\0", "DOG"]) | st.text(max_size=4)
json_trees = st.recursive(words | st.none() | st.integers() | st.floats(), lambda inner: st.lists(inner, max_size=3)
                          | st.dictionaries(words, inner, max_size=3), max_leaves=8)
json_files = (json_trees | st.dictionaries(words, st.lists(words, max_size=3), max_size=3)).map(
    lambda tree: json.dumps(tree).encode())
neighbour_files = st.one_of(
    st.tuples(st.just("n.json"), json_files), st.tuples(st.just("n.json"), json_files.flatmap(damaged_bytes)),
    st.tuples(st.sampled_from(["n.txt", "n.json"]), st.binary(max_size=60)),
    st.tuples(st.just("n.txt"), st.lists(words, max_size=6).map(
        lambda found: " \n".join(found).encode(errors="surrogatepass"))))


@fuzzed(150)
@given(neighbour_files)
@example(("n.json", b"[" * 200_000))
@example(("n.json", b'{"a":' * 200_000))
@example(("n.json", b'{"dog": ["\\ud800"]}'))
@example(("n.json", b'{"dog": [' + b"9" * 10_000 + b"]}"))
def test_lists_of_neighbours(tokenizer_folder: Path, case: tuple[str, bytes]) -> None:
    name, content = case
    with scratch() as folder:
        (folder / name).write_bytes(content)
        found = accepted(lambda: load_neighbours(folder / name))
    if found is not None:
        assert all(others and word not in others for word, others in found.items())
        copies = Copies(Synonyms(found), 2, 0, ("first", "second"))
        batch, _ = copies(pair_batch([0], ["the Dog DOG cat"], ["dog x"], [0]))
        backend = BACKEND.setdefault("", load_tokenizer(str(tokenizer_folder)).backend_tokenizer)
        KINDS["pair"].encode(batch, backend, 16, InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"))


BACKEND: dict[str, Any] = {}


@cache
def archive(kind: str) -> bytes:
    """A sound archive of a file of xnli."""
    content = b"".join(b"the dog %d\ta cat\tneutral\n" % row for row in range(200))
    if kind == "gz":
        return gzip.compress(content, mtime=0)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("train-en.tsv", content)
        opened.writestr("notes/x.xml", b"<x/>")
    return packed.getvalue()


@fuzzed(150)
@given(st.sampled_from(["zip", "gz"]), st.data())
def test_damaged_archives(kind: str, data: st.DataObject) -> None:
    """Read whole or refused, and named in one line; nothing is written beside them."""
    with scratch() as folder:
        name = "x.zip" if kind == "zip" else "train-en.tsv.gz"
        (folder / name).write_bytes(data.draw(damaged_bytes(archive(kind))))
        accepted(lambda: [
            list(read_cell(source, TASKS["xnli"], Counter())) for source in find_sources(TASKS["xnli"], folder)])
        assert [file.name for file in folder.iterdir()] == [name]
