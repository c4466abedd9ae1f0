"""Every command is killed at random moments and started again: the same files as if nothing had happened, no more.

Two of one command at once: one does it, the other says in one line who does, and leaves; or both may, without loss.
"""

from __future__ import annotations

import random
import shutil
import signal
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from data_prep.commands import KEPT as PREPARE
from tests.chaos.lives import Life
from tests.data_prep.conftest import sentences
from tests.random_cells import write_random_cell
from tests.trainer.small_runs import run, write_recipe
from trainer.commands import KEPT as TRAIN
from trainer.results.diagnostics import read_diagnostics
from trainer.results.scores import read_rows

PAUSE = 0.02  # per change to the file system
SMOOTHING = ("--smoothing.samples", "10", "--smoothing.selection_samples", "2", "--smoothing.sigma", "0.1")
LABELS = ("neutral", "contradiction", "entailment")


@dataclass(frozen=True)
class Inputs:
    """What commands read; nothing is written there."""

    source: Path
    texts: Path
    neighbours: Path
    tokenizer: Path
    run: Path


@dataclass(frozen=True)
class Case:
    """A command: its words for a place of its own, and what is there when it starts."""

    words: Callable[[Inputs, Path], list[str]]
    prepare: Callable[[Inputs, Path], object] = lambda inputs, place: None
    again: bool = False
    """True if the command has run to its end in the place before."""


def _prepared(*command: str) -> Callable[[Inputs, Path], list[str]]:
    def words(inputs: Inputs, place: Path) -> list[str]:
        end = () if command[0] == "build" else ("--neighbours", str(inputs.neighbours), "--copies", "2")
        return ["data_prep", *command, "xnli", "--source", str(inputs.source), "--tokenizer", str(inputs.tokenizer),
                "--out", str(place / "out"), "--workers", "2", *end]

    return words


def _with_copied_run(inputs: Inputs, place: Path) -> None:
    shutil.copytree(inputs.run, place / "run")


def _on_the_run(*command: str) -> Callable[[Inputs, Path], list[str]]:
    return lambda inputs, place: ["trainer", command[0], str(place / "run"), "--tasks", "xnli", *command[1:]]


def _from_the_run(*command: str) -> Callable[[Inputs, Path], list[str]]:
    return lambda inputs, place: ["trainer", command[0], str(inputs.run), "--out", str(place / "out"), *command[1:]]


def _tokenizer(inputs: Inputs, place: Path) -> list[str]:
    return ["data_prep", "tokenizer", "--texts", str(inputs.texts), "--vocab_size", "90", "--out", str(place / "out")]


CASES = {
    "build": Case(_prepared("build")),
    "build again": Case(lambda inputs, place: [*_prepared("build")(inputs, place), "--overwrite"], again=True),
    "augment": Case(_prepared("augment", "synonyms")),
    "tokenizer": Case(_tokenizer),
    "tokenizer into an empty folder": Case(_tokenizer, lambda inputs, place: (place / "out").mkdir()),
    "evaluate": Case(_on_the_run("evaluate", "--generalized"), _with_copied_run),
    "evaluate smoothing": Case(_on_the_run("evaluate", *SMOOTHING), _with_copied_run),
    "diagnose": Case(_on_the_run("diagnose"), _with_copied_run),
    "report": Case(_from_the_run("report")),
    "report again": Case(_from_the_run("report"), again=True),
    "export": Case(_from_the_run("export")),
    "export again": Case(_from_the_run("export", "--overwrite"), again=True),
    "demo": Case(lambda inputs, place: ["trainer", "demo", "--out", str(place / "out")]),
}
ALONE = {"build": "out/xnli/dev/de", "augment": "out/xnli+synonyms/train/en", "tokenizer": "out", "report": "out",
         "export": "out", "demo": "out"}  # and what they say is in use
ONCE = ("tokenizer", "tokenizer into an empty folder", "export")  # a finished output is in their way


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Files, a tokenizer and an evaluated run."""
    root = tmp_path_factory.mktemp("chaos")
    (root / "source").mkdir()
    for name in ("train-en", "dev-en", "dev-de"):
        rows = enumerate(zip(sentences(60), sentences(60, 1), strict=True))
        lines = [f"{first}\t{second}\t{LABELS[i % 3]}\n" for i, (first, second) in rows]
        (root / "source" / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    (root / "texts.txt").write_text("\n".join(sentences(500)), encoding="utf-8")
    (root / "neighbours.txt").write_text("dog cat\nman woman\nyoung old\n", encoding="utf-8")
    for name, rows in (("train/en", 60), ("dev/en", 20), ("test/en", 20), ("test/de", 20)):
        write_random_cell(root / "shards", f"xnli/{name}", rows, seed=len(name) + rows)
    found = Inputs(root / "source", root / "texts.txt", root / "neighbours.txt", root / "tokenizer",
                   run(write_recipe(root, root / "shards"), "plain"))
    for words in (["data_prep", "tokenizer", "--texts", str(found.texts), "--vocab_size", "220", "--out",
                   str(found.tokenizer)], ["trainer", "evaluate", str(found.run), "--tasks", "xnli"]):
        assert Life(words, root / "said").end() == 0
    return found


@pytest.fixture
def places(inputs: Inputs, tmp_path: Path) -> Callable[[Case], Path]:
    """Makes fresh places for a case."""
    def make(case: Case) -> Path:
        place = tmp_path / f"{len(list(tmp_path.iterdir()))}" / "place"
        place.mkdir(parents=True)
        case.prepare(inputs, place)
        if case.again:
            words = [word for word in case.words(inputs, place) if word != "--overwrite"]
            assert Life(words, place.parent / "said").end() == 0
        return place

    return make


def tree(place: Path) -> dict[str, bytes | int]:
    """All files below `place`; of event files, which hold the time, only how many there are in a folder.

    Dead lock files are left out: they lock nothing, and there is at most one per output.
    """
    found: dict[str, bytes | int] = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if "tfevents" in name:
            name = f"{path.parent.relative_to(place)}/events{'.diagnose' if name.endswith('.diagnose') else ''}"
            found[name] = int(found.get(name, 0)) + 1
        elif not name.endswith(".lock") and not {"logs", "nodes"} & {*path.relative_to(place).parent.parts}:
            # the demo's logs grow with every life, and the records of its nodes hold times
            found[name] = path.read_bytes().replace(bytes(place), b"PLACE") if path.is_file() else b""
    return found


def kills(case: str, wanted: int, inputs: Inputs, places: Callable[[Case], Path]) -> Iterator[str]:
    """Kill the command, once or twice, and let it run; yields a line on what came of it, "same" if all is well."""
    chosen = CASES[case]
    place = places(chosen)
    started = time.monotonic()
    first = Life(chosen.words(inputs, place), place.parent / "said", PAUSE)
    assert first.end() == 0, first.words
    seconds, expected = time.monotonic() - started, tree(place)
    assert not [path for path in place.rglob("*") if path.name.startswith(".")]
    draw, done = random.Random(zlib.crc32(case.encode())), 0
    while done < wanted:
        place = places(chosen)
        words, said = chosen.words(inputs, place), place.parent / "said"
        for _ in range(draw.randint(1, 2)):
            done += Life(words, said, PAUSE).kill_after(draw.uniform(0.05, 1.0) * seconds)
        last = Life(words, said)
        ended, found = last.end(), tree(place)
        if ended != 0 and not (case in ONCE and "exists" in last.words):
            yield f"exit code {ended}: {last.words}"
        elif found != expected:
            differing = [name for name in {**found, **expected} if found.get(name) != expected.get(name)]
            yield f"differing: {sorted(differing)}"
        else:
            yield "same"


@pytest.mark.parametrize("case", CASES)
def test_killed_and_started_again(case: str, inputs: Inputs, places: Callable[[Case], Path]) -> None:
    assert {*kills(case, 3, inputs, places)} == {"same"}


@pytest.mark.parametrize("case", CASES)
def test_ctrl_c_ends_it_in_one_line(case: str, inputs: Inputs, places: Callable[[Case], Path]) -> None:
    """... at a change to the file system and at other moments, with all its processes; and it can be started again."""
    first, draw = places(CASES[case]), random.Random(zlib.crc32(case.encode()))
    started = time.monotonic()
    assert Life(CASES[case].words(inputs, first), first.parent / "said", PAUSE).end() == 0
    seconds, interrupted = time.monotonic() - started, 0
    for last in (draw.randint(1, 8), 0, 0):
        place = places(CASES[case])
        words = CASES[case].words(inputs, place)
        life = Life(words, place.parent / "said", PAUSE, last, number=signal.SIGINT)
        if not last:
            life.interrupt_after(draw.uniform(0.1, 0.8) * seconds)
        code = life.end()
        if code == 0 or life.words.startswith("interrupted before it began"):
            continue
        interrupted += 1
        assert code == 130, life.words
        assert "Traceback" not in life.words
        (line,) = [line for line in life.words.splitlines() if "interrupt" in line.lower()]
        assert line == f"interrupted by Ctrl-C; {(PREPARE | TRAIN)[words[1]]}"
        assert life.words.endswith(f"{line}\n")
        assert not [process for process in psutil.process_iter(["cmdline"])
                    if str(place) in " ".join(process.info["cmdline"] or ())]
        again = Life(words, place.parent / "said")
        assert again.end() == 0 or (case in ONCE and "exists" in again.words), again.words
        assert tree(place) == tree(first)
    assert interrupted


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_killed_often(case: str, inputs: Inputs, places: Callable[[Case], Path]) -> None:
    assert {*kills(case, 20, inputs, places)} == {"same"}


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_killed_at_every_change(case: str, inputs: Inputs, places: Callable[[Case], Path]) -> None:
    """... to the file system, in turn, until it ends before it is killed."""
    expected: dict[str, bytes | int] | None = None
    for last in range(0, 1000):
        place = places(CASES[case])
        words, said = CASES[case].words(inputs, place), place.parent / "said"
        if Life(words, said, last=last).end() == 0:
            if expected is not None:
                break
        else:
            life = Life(words, said)
            assert life.end() == 0 or (case in ONCE and "exists" in life.words), (last, life.words)
        expected = expected or tree(place)
        assert tree(place) == expected, last
    print(f"{case}: killed at {last - 1} changes")
    assert last > 5


@pytest.mark.full
def test_a_whole_demo_killed_again_and_again(inputs: Inputs, tmp_path: Path) -> None:
    """Trainings included: the same scores and weights."""
    found, draw = [], random.Random(5)
    for place, kills in (tmp_path / "undisturbed", 0), (tmp_path / "disturbed", 4):
        words = ["trainer", "demo", "--out", str(place / "out"), "--methods", "plain"]
        for _ in range(kills):
            assert Life(words, tmp_path / "said", whole=True).kill_after(draw.uniform(4, 16))
        assert (life := Life(words, tmp_path / "said", whole=True)).end() == 0, life.words
        found.append({name: content for name, content in tree(place).items() if "/raw/" in name or "/shards/" in name
                      or "best/" in name or "/eval/" in name or name.endswith(("report.md", "results.csv"))})
    assert len(found[0]) > 100
    assert found[0] == found[1]
    assert not [path for path in place.rglob("*") if ".tmp" in path.name]


@pytest.mark.parametrize("case", ALONE)
def test_two_at_once(case: str, inputs: Inputs, places: Callable[[Case], Path]) -> None:
    place = places(CASES[case])
    words = CASES[case].words(inputs, place)
    lives = [Life(words, place.parent / f"said{number}", 5 * PAUSE) for number in range(2)]
    codes = [life.end() for life in lives]
    assert sorted(codes) == [0, 2], [life.words for life in lives]
    loser, winner = lives[codes.index(2)], lives[codes.index(0)]
    (line,) = [line for line in loser.words.splitlines() if line.startswith("error: ")]
    assert f"error: {place / ALONE[case]} is in use" in line
    assert f"process {winner.process.pid} on {socket.gethostname()}, since 20" in line
    assert loser.words.splitlines()[-1] == line
    alone = places(CASES[case])
    assert Life(CASES[case].words(inputs, alone), alone.parent / "said").end() == 0
    assert tree(place) == tree(alone)


@pytest.mark.parametrize("command", ["evaluate", "diagnose"])
def test_a_run_measured_by_several_at_once(command: str, inputs: Inputs, tmp_path: Path) -> None:
    """A job per language: the rows of all are there, and the figures are of all of them."""
    _with_copied_run(inputs, tmp_path)
    (tmp_path / "run" / "eval" / "results.jsonl").unlink()
    words = _on_the_run(command)(inputs, tmp_path)
    lives = [Life([*words, "--languages", language], tmp_path / language, 5 * PAUSE) for language in ("en", "de")]
    assert [life.end() for life in lives] == [0, 0], [life.words for life in lives]
    if command == "evaluate":
        rows = read_rows(tmp_path / "run" / "eval" / "results.jsonl")
        assert sorted(row.language for row in rows if row.split == "test") == ["de", "en"]
    else:
        assert {row.language for row in read_diagnostics(tmp_path / "run/eval/diagnostics.jsonl")} == {"en", "de"}
        assert len(list((tmp_path / "run" / "tensorboard").glob("*.diagnose"))) == 1
    assert not list((tmp_path / "run").rglob(".*"))


def test_two_builds_of_different_languages_share_a_root(inputs: Inputs, tmp_path: Path) -> None:
    words = _prepared("build")(inputs, tmp_path)
    lives = [Life([*words, "--splits", "dev", "--languages", language], tmp_path / language, 5 * PAUSE)
             for language in ("en", "de")]
    assert [life.end() for life in lives] == [0, 0], [life.words for life in lives]
    assert sorted(path.name for path in (tmp_path / "out/xnli/dev").iterdir()) == ["de", "en"]
    assert len(list((tmp_path / "out/tokenizers").iterdir())) == 1
