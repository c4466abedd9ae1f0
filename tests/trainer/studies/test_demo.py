"""`python -m trainer demo`: the study behind it, what it refuses before it writes, and what it says.

The demo as a whole runs in CI as the README's first command.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.base.cli import check_arguments
from data_prep.base.command_table import resolve
from data_prep.base.errors import InputError
from data_prep.commands import COMMANDS as PREPARE
from tests.command_tables import chosen
from trainer.commands import COMMANDS as TRAIN
from trainer.config import Recipe, load_recipe
from trainer.studies import demo as demo_module
from trainer.studies import expand
from trainer.studies.contents import Contents
from trainer.studies.demo import FOLDER, TITLES, demo, demo_study
from trainer.studies.graph import Graph, Node
from trainer.studies.load import dump
from trainer.studies.states import write_graph

ALL = "plain,random_noise,rs_da,pgd,freelb,smart"


def graph_of(folder: Path, methods: str, seed: int = 0) -> Graph:
    return expand.build_graph(demo_study(folder, seed, methods), FOLDER, folder, Contents(folder), frozenset())


def recipes(folder: Path, graph: Graph, stage: str) -> dict[str, Recipe]:
    """By label."""
    write_graph(folder, graph)
    found = [load_recipe(node.words[2], dict(word[2:].split("=", 1) for word in node.words[3:]))
             for node in graph.nodes.values() if (node.kind, node.stage) == ("train", stage)]
    return {recipe.label: recipe for recipe in found}


@pytest.mark.parametrize(("file", "content", "message"), [
    ("thesis.tex", "years of work", "exists and holds no demo; choose another --out"),
    ("demo.json", '{"format": 3, "seed": 0}', "made by an earlier version of this program; choose another --out"),
    ("study.yaml", "title: [", "study.yaml cannot be read as a study"),
    ("study.yaml", None, "holds a demo of seed 3, not 0; choose another --out or --seed"),
])
def test_a_folder_that_holds_something_else_is_left_alone(
    file: str, content: str | None, message: str, tmp_path: Path
) -> None:
    text = dump(demo_study(tmp_path, 3, "plain")) if content is None else content
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        demo(out=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert (tmp_path / file).read_text(encoding="utf-8") == text


def test_the_folder_of_another_study_is_left_alone(tmp_path: Path) -> None:
    other = demo_study(tmp_path, 0, "plain").model_copy(update={"title": "Shots"})
    (tmp_path / "study.yaml").write_text(dump(other), encoding="utf-8")
    with pytest.raises(InputError, match="holds another study, 'Shots'"):
        demo(out=str(tmp_path))


def test_unknown_methods_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    for methods, found in (("plain,fgsm", "no method 'fgsm'"), (" , ", "no method given")):
        with pytest.raises(InputError, match=f"{found}; expected a comma list of plain, random_noise, rs_da, pgd"):
            demo(out=str(tmp_path / "out"), methods=methods)
    assert not list(tmp_path.iterdir())


def test_methods_join_a_demo(tmp_path: Path) -> None:
    """Its nodes stay the same, with their labels: the new method's are trained and evaluated, no more."""
    before = graph_of(tmp_path, "plain")
    (tmp_path / "study.yaml").write_text(dump(demo_study(tmp_path, 0, "plain")), encoding="utf-8")
    assert demo_study(tmp_path, 0, "smart, pgd").chosen_levels("method") == ["plain", "pgd", "smart"]
    after = graph_of(tmp_path, "pgd")
    assert before.nodes.items() <= after.nodes.items()
    new = [node for name, node in after.nodes.items() if name not in before.nodes]
    assert [(node.kind, node.method) for node in new] == [("train", "pgd"), ("evaluate", "")]


def test_rows_are_augmented_for_rs_da_alone(tmp_path: Path) -> None:
    """... with commands that the ordinary programs take."""
    assert not any("augment" in node.words for node in graph_of(tmp_path, "plain,pgd").nodes.values())
    planned = [node.words for node in graph_of(tmp_path, ALL).nodes.values()]
    assert sum("augment" in words for words in planned) == 1
    for program, *words in planned:
        command, rest = chosen(PREPARE if program == "data_prep" else TRAIN, words)
        check_arguments(resolve(command), rest, words[0])


def test_a_seed_is_that_of_the_world_and_of_every_training(tmp_path: Path) -> None:
    for node in graph_of(tmp_path, ALL, seed=7).nodes.values():
        text = " ".join(node.words).replace("--seed=", "--seed ")
        assert ("--seed 7" in text) == (node.kind == "train" or node.output in ("raw", "model", "shards/xnli+synonyms"))
        assert "--seed" not in text.replace("--seed 7", "")


def test_methods_differ_in_the_method_only(tmp_path: Path) -> None:
    """The comparison is fair: same updates, same everything but `robust` and the label; RS-DA differs in its rows."""
    targets = recipes(tmp_path, graph_of(tmp_path, ALL), "target")
    found = {label: recipe.model_dump() for label, recipe in targets.items()}
    assert ",".join(found) == ALL
    for name, recipe in found.items():
        assert recipe["robust"]["method"] == ("plain" if name == "rs_da" else name)
        if name == "rs_da":
            assert recipe["data"].pop("train") == ["xnli+synonyms/train/en"]
            recipe["data"]["train"] = ["xnli/train/en"]
            assert recipe["robust"] == found["plain"]["robust"]
        differing = {key for key in recipe if recipe[key] != found["plain"][key]}
        assert differing <= {"robust", "label", "name"}
        assert (recipe["schedule"]["max_steps"], recipe["batch"]["size"]) == (2500, 32)
        assert recipe["robust"].get("ascent_steps", 3) == (1 if name == "smart" else 3)
        ramp = [recipe["robust"].get(f"ramp_{end}") for end in ("start", "end")]
        assert name in ("plain", "rs_da") or ramp == [0.3, 0.7]


def test_every_kind_of_step_has_a_title_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce = demo_module._announcer()
    nodes = graph_of(tmp_path, ALL).nodes.values()
    for node in nodes:
        announce(node)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in TITLES.values()] == sorted(TITLES.values(), key=lines.index)
    assert sum(line.startswith("  $ python -m ") for line in lines) == len(nodes)


def test_a_failing_command_is_shown_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """... and the same command tries it again; then the end is that of a finished demo."""
    def one_node(*words: str) -> Graph:
        return Graph({"raw-1": Node("raw-1", "prepare", "1", words, "raw")}, [])

    folder = tmp_path / "out"
    monkeypatch.setattr(demo_module, "_report", lambda study, graph, out: int(not (out / "raw").exists()))
    with monkeypatch.context() as patch:
        patch.setattr(expand, "build_graph", lambda *_: one_node("data_prep", "build", "xnli"))
        assert demo(out=str(folder)) == 1
    said = capsys.readouterr().out
    log = folder / "logs" / "raw-1.log"
    assert f"\n{TITLES['raw']}\n  $ python -m data_prep build xnli\n  FAILED raw-1" in said
    (line,) = [line for line in said.splitlines() if "FAILED" in line]
    assert "exit code 2: error: " in line
    assert "missing source" in line
    assert line.endswith(f"(all of it in {log})")
    assert "tensorboard" not in said
    words = ("trainer", "toy", "data", str(folder / "raw"), "--tasks", "demo", "--sizes",
             "documents=8,text_dev=2,easier_pairs=9,easier_dev=3,pairs=9,dev=3,test=3")
    monkeypatch.setattr(expand, "build_graph", lambda *_: one_node(*words))
    assert demo(out=str(folder)) == 0
    said = capsys.readouterr().out
    assert f"{folder}/report/report.html" in said
    assert said.endswith(f"tensorboard --logdir {folder}\n")
