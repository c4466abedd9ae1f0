"""The demo's chain: what it refuses before it writes, what it resumes, and how a failing command is shown.

The chain as a whole runs in CI as the README's first command.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from data_prep.base.cli import check_arguments, resolve
from data_prep.base.errors import InputError
from data_prep.commands import COMMANDS as PREPARE
from tests.command_tables import chosen
from trainer.commands import COMMANDS as TRAIN
from trainer.config import load_recipe
from trainer.demo import chain
from trainer.demo.chain import METHODS, RECIPES, Stage, demo


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(InputError, match="holds no demo"):
        demo(out=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_demo_of_another_seed_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text(json.dumps({"format": chain.FORMAT, "seed": 3}), encoding="utf-8")
    with pytest.raises(InputError, match="another --out"):
        demo(out=str(tmp_path), seed=4)


def test_a_demo_of_another_version_is_left_alone(tmp_path: Path) -> None:
    """Models made before English words had neighbours: a message, and not a run that fails halfway."""
    marker = tmp_path / "demo.json"
    marker.write_text('{"format": 1, "seed": 0}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"format 1, .* expected 3; choose another --out"):
        demo(out=str(tmp_path), methods="rs_da")
    marker.write_text('["format"]', encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        demo(out=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]


def test_unknown_methods_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    for methods, found in (("plain,fgsm", "no method 'fgsm'"), (" , ", "no method given")):
        with pytest.raises(InputError, match=f"{found}; expected a comma list of plain, random_noise, rs_da, pgd"):
            demo(out=str(tmp_path / "out"), methods=methods)
    assert not list(tmp_path.iterdir())


def commands(folder: Path, methods: Sequence[str]) -> list[tuple[str, ...]]:
    return [words for stage in chain._stages(folder, 7, methods) for branch in stage.branches for words in branch]


def test_methods_join_a_finished_demo(tmp_path: Path) -> None:
    """Only what is asked for is trained, what is evaluated is not evaluated again, the report holds all there is."""
    for name in ("plain", "pgd"):
        (tmp_path / f"runs/{name}-seed7/eval").mkdir(parents=True)
        (tmp_path / f"runs/{name}-seed7/eval/results.jsonl").touch()
    (tmp_path / "runs/freelb-seed7").mkdir()  # stopped before its evaluation
    planned = commands(tmp_path, ["plain", "smart"])
    trained = [Path(words[2]).stem for words in planned if words[:2] == ("trainer", "train")]
    assert trained == ["mlm", "intermediate", "smart", "plain"]
    assert [Path(words[2]).name for words in planned if words[1] == "evaluate"] == ["smart-seed7"]
    assert [Path(word).name for word in planned[-1][2:-2]] == ["plain-seed7", "pgd-seed7", "smart-seed7"]


def test_rows_are_augmented_for_rs_da_alone(tmp_path: Path) -> None:
    """... with commands that the ordinary programs take."""
    assert not any("augment" in words for words in commands(tmp_path, ["plain", "pgd"]))
    planned = commands(tmp_path, METHODS)
    assert sum("augment" in words for words in planned) == 1
    for program, *words in planned:
        command, rest = chosen(PREPARE if program == "data_prep" else TRAIN, words)
        check_arguments(resolve(command), rest, words[0])


def test_methods_differ_in_the_method_only() -> None:
    """The comparison is fair: same updates, same everything but `robust` and the label; RS-DA differs in its rows."""
    needed = {"init_from": "runs/intermediate"}
    recipes = {name: load_recipe(str(RECIPES / f"{name}.yaml"), needed).model_dump() for name in METHODS}
    for name, recipe in recipes.items():
        assert recipe["label"] == name
        assert recipe["robust"]["method"] == ("plain" if name == "rs_da" else name)
        if name == "rs_da":
            assert recipe["data"].pop("train") == ["xnli+synonyms/train/en"]
            recipe["data"]["train"] = ["xnli/train/en"]
            assert recipe["robust"] == recipes["plain"]["robust"]
        differing = {key for key in recipe if recipe[key] != recipes["plain"][key]}
        assert differing <= {"robust", "label", "name"}


def test_a_failing_command_is_named_with_its_log(tmp_path: Path) -> None:
    stage = Stage("", ((("data_prep", "build", "xnli"),), (("data_prep", "tasks"),)))
    message = r"`python -m data_prep build xnli` failed: error: .*missing source.*07\.1\.log"
    with pytest.raises(InputError, match=message):
        chain._run_branches(stage, tmp_path / "logs" / "07.log")
    assert "paraphrase" in (tmp_path / "logs" / "07.2.log").read_text(encoding="utf-8")


def test_ctrl_c_ends_what_is_under_way_and_begins_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command is `python -m timeit STATEMENT`; of two branches one waits for a core."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    run = ("timeit", "-n", "1", "-r", "1")
    first = (*run, f"import time; open({str(tmp_path / 'began')!r}, 'w').close(); time.sleep(300)")
    later = (*run, f"open({str(tmp_path / 'later')!r}, 'w').close()")
    pressed = signal.signal(signal.SIGINT, signal.default_int_handler)

    def press() -> None:
        while not (tmp_path / "began").exists():
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            chain._run_branches(Stage("two", ((first, later), (later,))), tmp_path / "logs" / "01.log")
    finally:
        signal.signal(signal.SIGINT, pressed)
    assert not (tmp_path / "later").exists()
