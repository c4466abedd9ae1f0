"""Expansion of studies into graphs: what is shared, what names a node, and what is refused. No command is run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep.base.errors import InputError
from tests.trainer.studies.small_study import RECIPE, STUDY, write_study
from trainer.config.schema import CheckpointSection, OptimizerSection, Recipe
from trainer.studies.contents import Contents
from trainer.studies.expand import build_graph
from trainer.studies.graph import Graph, Node
from trainer.studies.load import load_study

Plan = Callable[..., Graph]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Builds the graph of the small study with other keys, in the folder `out`."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/train-en.tsv").write_text("a\tb\tneutral\n")
    (tmp_path / "tokenizer").mkdir()

    def build(*, out: str = "out", failed: frozenset[str] = frozenset(), recipe: str = RECIPE, size: str = "toy",
              **changes: Any) -> Graph:
        path = write_study(tmp_path / "study", **changes)
        (tmp_path / "study/tiny.yaml").write_text(recipe)
        given = {name: str(tmp_path / name) for name in ("source", "tokenizer")}
        study = load_study(path, size, {key: given[key] for key in given if key in study_parameters(changes)})
        return build_graph(study, path.parent, tmp_path / out, Contents(tmp_path / out), failed)

    return build


def study_parameters(changes: dict[str, Any]) -> dict[str, Any]:
    return changes.get("parameters", STUDY["parameters"])  # type: ignore[no-any-return]


def stages(**changes: Any) -> dict[str, Any]:
    """The stages with other keys of `target`."""
    found = copy.deepcopy(STUDY["stages"])
    found["target"] |= changes
    return {"stages": found}


def of_kind(graph: Graph, kind: str, stage: str = "") -> list[Node]:
    return [node for node in graph.nodes.values() if node.kind == kind and stage in ("", node.stage)]


def digests(graph: Graph) -> set[str]:
    return {node.digest for node in graph.nodes.values()}


# --- sharing ----------------------------------------------------------------------------------------------------------
def test_forty_cells_share_an_intermediate_model(plan: Plan) -> None:
    levels = {f"m{number}": {"set": {"target": {"optimizer.lr": number / 1000}}} for number in range(1, 9)}
    graph = plan(factors={"rate": levels}, seeds=[0, 1, 2, 3, 4], comparisons=[{"factor": "rate", "base": "m1"}])
    assert len(graph.cells) == 40
    (base,) = of_kind(graph, "train", "base")
    targets = of_kind(graph, "train", "target")
    assert len(targets) == len({node.name for node in targets}) == 40
    assert all(base.name in node.needs and f"--init_from={base.output}" not in node.words for node in targets)
    assert {cell.runs["base"] for cell in graph.cells} == {base.name}
    assert graph.unshared("train", "base") == graph.unshared("prepare") == 40
    assert len(of_kind(graph, "prepare")) == 1


def test_each_node_stands_behind_those_it_needs(plan: Plan) -> None:
    seen: set[str] = set()
    for node in plan().nodes.values():
        assert set(node.needs) <= seen
        seen.add(node.name)


def test_a_graph_is_read_as_it_was_written(plan: Plan) -> None:
    graph = plan()
    assert Graph.load(graph.dump()).dump() == graph.dump()


def test_what_a_cell_skips(plan: Plan) -> None:
    """A level without the intermediate stage starts where that would have started."""
    later = {"recipe": "tiny", "set": {"model.random": None}}
    chain = {"first": {"recipe": "tiny"}, "second": {**later, "start": "first"},
             "third": {**later, "start": "second", "evaluate": ["--tasks xnli"]}}
    factors = {"path": {"all": {}, "short": {"skip": ["second"]}, "none": {"skip": ["first", "second"],
                                                                          "set": {"third": {"model.random": "tiny"}}}}}
    graph = plan(stages=chain, factors=factors, comparisons=[{"factor": "path", "base": "all"}])
    found = {cell.levels["path"]: cell.runs for cell in graph.cells}
    assert {path: list(runs) for path, runs in found.items()} == {
        "all": ["first", "second", "third"], "short": ["first", "third"], "none": ["third"]}
    assert found["all"]["second"] in graph.nodes[found["all"]["third"]].needs
    assert found["short"]["first"] in graph.nodes[found["short"]["third"]].needs
    assert len({runs["third"] for runs in found.values()}) == 3
    with pytest.raises(InputError, match=r"\{second\}: a cell that skips the stage second has no run of it"):
        plan(stages=chain | {"third": chain["third"] | {"evaluate": ["--tasks xnli --neighbours {second}/x"]}},
             factors=factors, comparisons=[{"factor": "path", "base": "all"}])


def test_exclude_and_levels(plan: Plan) -> None:
    factors = {"method": STUDY["factors"]["method"], "size": {"a": {"x": 1}, "b": {"x": 2}}}
    graph = plan(factors=factors, exclude=[{"method": ["pgd"], "size": ["b"]}])
    assert [tuple(cell.levels.values()) for cell in graph.cells] == [("plain", "a"), ("plain", "b"), ("pgd", "a")]
    assert len(of_kind(graph, "train", "target")) == 2, "levels that change nothing share their runs"
    graph = plan(factors=factors, levels={"size": ["b"], "method": ["pgd", "plain"]})
    assert [tuple(cell.levels.values()) for cell in graph.cells] == [("pgd", "b"), ("plain", "b")]
    with pytest.raises(InputError, match="excludes all its cells"):
        plan(exclude=[{"method": ["plain", "pgd"]}])


@pytest.mark.skipif("snapshots" not in CheckpointSection.model_fields, reason="runs keep no snapshots to average")
def test_averages_and_evaluations_of_a_run_come_one_after_the_other(plan: Plan) -> None:
    graph = plan(**stages(average=2, evaluate=["--tasks xnli --splits dev", "--tasks xnli --splits dev --generalized"]))
    average, *_ = of_kind(graph, "average")
    run = graph.nodes[average.needs[0]]
    assert (average.words[:2], average.words[3:]) == (("trainer", "average"), ("--last", "2"))
    assert average.words[2].endswith(run.output)
    assert "--checkpoint.snapshots=2" in run.words
    first, second = (node for node in of_kind(graph, "evaluate") if node.output == f"{run.output}/eval")
    assert average.name in first.needs
    assert first.name in second.needs
    assert first.words[-2:] == ("--weights", "best,average")


def test_an_average_needs_as_many_evaluations(plan: Plan) -> None:
    often = {"schedule.max_steps": 350, "evaluation.every_steps": 117}
    assert of_kind(plan(**stages(average=3, set=often)), "average")
    with pytest.raises(InputError, match=r"stage target: average: 3 needs as many evaluations, and 350 steps have 2; "
                                         r".* set evaluation\.every_steps to 116"):
        plan(**stages(average=3, set=often | {"evaluation.every_steps": 175}))


# --- digests ----------------------------------------------------------------------------------------------------------
def test_distances_are_measured_in_the_runs_at_the_base(plan: Plan) -> None:
    factor, comparison = STUDY["comparisons"][0]["factor"], STUDY["comparisons"][0]
    graph = plan(**stages(diagnose="--tasks xnli --splits dev --noise_scales 0"))
    measured = of_kind(graph, "diagnose")
    assert len(measured) == len(of_kind(graph, "train", "target")) // len(STUDY["factors"][factor])
    for node in measured:
        assert f"-{comparison['base']}-" in node.name
        assert node.words[:2] == ("trainer", "diagnose")
        assert node.words[-6:] == ("--tasks", "xnli", "--splits", "dev", "--noise_scales", "0")
        assert [graph.nodes[name].kind for name in node.needs] == ["evaluate"]  # both write into eval/


def test_the_same_training_in_other_words(plan: Plan) -> None:
    graph = plan()
    same = [
        plan(out="elsewhere"),
        plan(recipe=RECIPE + "optimizer: {lr: 1.0e-5}\n".replace("1.0e-5", default_rate())),
        plan(recipe=RECIPE.replace("every_steps: 1}", "every_steps: 3}") + "label: other\n"),
        plan(recipe=RECIPE.replace("dev: [xnli/dev/en]", "dev: [xnli/dev/en], workers: 2")),
        plan(recipe=RECIPE.replace("{size: 8}", "{size: 8, micro_batch_size: 2}")),
        plan(title="Another title", factors={"method": {"plain": {"label": "none"}, "pgd": {
            "set": {"target": {"robust.method": "pgd"}}}}}),
    ]
    for other in same:
        assert {node.digest for node in of_kind(other, "train")} == {node.digest for node in of_kind(graph, "train")}
    assert digests(same[0]) == digests(graph), "a study may be moved"


def test_outputs_of_a_training_are_part_of_it(plan: Plan) -> None:
    """A run without dynamics, or without snapshots, is not taken for one that others read them of."""
    runs = [of_kind(plan(**stages(**changes)), "train", "target") for changes in (
        {}, {"set": {"model.random": None, "logging.dynamics": True}}, {"average": 2})]
    assert len({node.digest for nodes in runs for node in nodes}) == 6


def default_rate() -> str:
    return repr(OptimizerSection().lr)


def test_another_training(plan: Plan, tmp_path: Path) -> None:
    graph = plan()
    others = [
        plan(seeds=[1]), plan(recipe=RECIPE.replace("max_steps: 4", "max_steps: 5")),
        plan(recipe=RECIPE.replace("{size: 8}", "{size: 4}")),
        plan(factors={"method": {"plain": {"set": {"target": {"method": "smart"}}}, "pgd": {
            "set": {"target": {"method": "freelb"}}}}}),
    ]
    targets = [{node.digest for node in of_kind(other, "train", "target")} for other in (graph, *others)]
    assert len(set.union(*targets)) == sum(map(len, targets)) == 10
    (tmp_path / "source/train-en.tsv").write_text("a\tc\tneutral\n")
    assert not digests(plan()) & digests(graph), "other data"


def test_methods_at_their_defaults_are_not_one(plan: Plan) -> None:
    methods = ("plain", "pgd", "smart", "freelb", "random_noise")
    graph = plan(factors={"method": {name: {"set": {"target": {"method": name}}} for name in methods}})
    assert {node.method for node in of_kind(graph, "train", "target")} == set(methods)


def test_a_new_setting_renames_nothing(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    before, dump = digests(plan()), Recipe.model_dump

    def with_a_new_key(self: Recipe, **how: Any) -> dict[str, Any]:
        found = dump(self, **how)
        return found if how.get("exclude_defaults") else found | {"new": 1}

    monkeypatch.setattr(Recipe, "model_dump", with_a_new_key)
    assert digests(plan()) == before


def test_the_recipe_of_a_run_is_the_studys_own_copy(plan: Plan, tmp_path: Path) -> None:
    graph = plan()
    (name,) = graph.recipes
    assert graph.recipes[name] == RECIPE
    assert {node.words[2] for node in of_kind(graph, "train")} == {str(tmp_path / "out/recipes" / name)}


# --- placeholders -----------------------------------------------------------------------------------------------------
def steps(command: str, output: str = "shards/xnli") -> dict[str, Any]:
    return {"steps": {"xnli": {"command": command, "output": output}}}


def test_placeholders_are_words(plan: Plan, tmp_path: Path) -> None:
    command = "data_prep build xnli --source '{source}/a b' --tokenizer {tokenizer} --note {method}-{method.x}-{seed}"
    factors = {"method": {"plain": {"x": 2}, "pgd": {"x": 0.5}}}
    graph = plan(**steps(command, "shards/xnli"), factors={"method": {"plain": {"x": 2}}}, seeds=[3])
    (step,) = of_kind(graph, "prepare")
    assert step.words == ("data_prep", "build", "xnli", "--source", f"{tmp_path}/source/a b", "--tokenizer",
                          str(tmp_path / "tokenizer"), "--note", "plain-2-3", "--out", str(tmp_path / "out/shards"))
    with pytest.raises(InputError, match="step xnli makes shards/xnli in two ways; name what differs in its `output`"):
        plan(**steps(command), factors=factors)


@pytest.mark.parametrize(("command", "words"), [
    ("data_prep build {sorce}", r"placeholder \{sorce\}: no such name; names: source, tokenizer, method, xnli, base"),
    ("data_prep build {method.x}", r"placeholder \{method.x\}: level plain of method has no x"),
    ("data_prep build {source.id}", r"placeholder \{source.id\}: no .id of source; it belongs to xnli, base, target"),
    ("data_prep build {target}", "xnli -> target.*: needs itself|needs itself"),
    ("data_prep build {xnli}", "xnli -> xnli: needs itself"),
])
def test_placeholders_that_are_wrong(plan: Plan, command: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        plan(**steps(command))


def test_data_that_no_step_makes(plan: Plan) -> None:
    with pytest.raises(InputError, match=r"stage base reads mnli, which no step makes; expected a step with `o"):
        plan(recipe=RECIPE.replace("xnli/train", "mnli/train"))
    with pytest.raises(InputError, match="evaluation 1 of stage target reads pawsx"):
        plan(**stages(evaluate=["--tasks xnli,pawsx"]))


# --- retries ----------------------------------------------------------------------------------------------------------
def test_a_collapsed_training_gets_a_new_seed(plan: Plan) -> None:
    graph = plan(retries=1)
    plain, pgd = (graph.nodes[cell.runs["target"]] for cell in graph.cells)
    again = plan(retries=1, failed=frozenset({plain.digest}))
    first, second = again.cells
    retried = again.nodes[first.runs["target"]]
    assert "--seed=1000" in retried.words
    assert first.failed == {"target": [plain.name]}
    assert second.failed == {}
    assert second.runs["target"] == pgd.name
    assert plain.name in again.nodes
    assert plain.name not in {node.name for node in again.wanted}
    assert retried.name in again.nodes[first.evaluations["target"][0]].needs
    last = plan(retries=1, failed=frozenset({plain.digest, retried.digest})).cells[0]
    assert (last.runs["target"], last.failed) == (retried.name, {"target": [plain.name]}), "no more seeds"
    assert plan(failed=frozenset({plain.digest})).cells[0].failed == {}


def test_a_shared_training_that_collapsed_is_replaced_for_all(plan: Plan) -> None:
    base = plan().cells[0].runs["base"]
    graph = plan(retries=2, failed=frozenset({plan().nodes[base].digest}))
    assert {cell.runs["base"] for cell in graph.cells} != {base}
    assert len({cell.runs["base"] for cell in graph.cells}) == 1
    assert all(cell.failed == {"base": [base]} for cell in graph.cells)
