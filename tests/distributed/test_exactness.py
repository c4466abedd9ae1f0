"""Rule 1: an update is the gradient of the mean over the global batch, whatever the method, site, ranks, accumulation
and ZeRO stage.

Every case trains through the product and is compared with `tests/oracle.py`, a plain single-process loop written
from the papers' equations. By default a covering subset runs; the whole matrix with its errors:

    python -m pytest tests/distributed/test_exactness.py -m full -rP
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data_prep.shards.template import InputTemplate
from tests import oracle
from tests.random_cells import PLAIN, write_random_cell
from trainer.config import load_recipe
from trainer.distributed.ranks import free_port
from trainer.robust import settings_for

# The fixtures train all cases of a number of ranks in one go, minutes of work that the first test to ask waits for.
pytestmark = pytest.mark.timeout(3000)

ROOT = Path(__file__).parents[2]
# Divergences start far from zero, where their gradient is a small difference that rounding is large beside: trades at
# half of the radius, smart on the sphere (from half, one case is off by 1.4e-5).
METHODS = {
    "plain": {},
    "pgd": {"ascent_steps": "2", "start": "uniform", "start_radius": "0.7", "clean_weight": "1.0"},
    "fgm": {},
    "freelb": {"ascent_steps": "3", "clean_weight": "0.5"},
    "smart": {"ascent_steps": "2", "start_radius": "1.0", "bregman_weight": "2.0", "bregman_momentum": "0.5"},
    "trades": {"ascent_steps": "2", "start_radius": "0.5"},
    "random_noise": {"draws": "2"},
    "r3f": {"draws": "2", "noise": "gaussian"},
    "mixup": {"mixing_alpha": "1.0"},
}
SITES = ("word_embeddings", "embeddings", "layer:1")
STAGES = (0, 1, 2, 3)
WORLDS = (1, 2)
ACCUMULATION = (1, 4)
BATCH = 8
FIRST_METHODS = ("plain", "pgd", "random_noise")
UPDATES = 10
START_UPDATES = 40
RTOL = 1e-5  # of a tensor's largest entry
FLOOR = 0.02  # a tensor's largest entry counts as at least this: key biases of attention are zero but for rounding
ADAM_LOSS_RTOL = 2e-4
HALF_RTOL = 2e-2  # of each tensor's norm, in bf16 and fp16


VARIANTS = {
    "bf16": {"engine.precision": "bf16"},
    "fp16": {"engine.precision": "fp16"},
    "offload": {},  # the configuration's name is made of the stage
    "checkpointing": {"model.gradient_checkpointing": "true"},
    "frozen": {"model.freeze_word_embeddings": "true"},
    "overlap": {},  # the shipped configuration with overlap_comm the other way
    "span_qa": {"data.train": "[squad/train/en]"},
    "regression": {"data.train": "[stsb/train/en]"},
    "tagging": {"data.train": "[udpos/train/en]"},
    "few_words": {"data.train": "[mnli/train/en]", "optimizer.weight_decay": "1.0"},
}
OTHER_DATA = ("span_qa", "regression", "tagging", "few_words")
"""Variants that train another kind of task, which the oracle does too, or on rows that do not read every word: the
product trains without the others' embeddings, the oracle with all."""


@dataclass(frozen=True)
class Case:
    """One run of the matrix."""

    method: str
    site: str
    stage: int
    world: int
    accumulation: int
    optimizer: str = "sgd"
    variant: str = ""
    """A way of running other than ds_configs/zero<stage>.json in fp32: a key of VARIANTS."""

    def __str__(self) -> str:
        site = self.site.replace(":", "")
        name = f"{self.method}-{site}-z{self.stage}-w{self.world}-a{self.accumulation}-{self.optimizer}"
        return name + (f"-{self.variant}" if self.variant else "")

    def overrides(self) -> dict[str, str]:
        """The recipe's keys of this case, as typed on the command line."""
        values = {
            "name": str(self), "optimizer.name": self.optimizer,
            "engine.config": f"zero{self.stage}" + ("_offload" if self.variant == "offload" else ""),
            "optimizer.lr": "0.1" if self.optimizer == "sgd" else "0.001", "optimizer.max_grad_norm": "0.5",
            **{f"robust.{key}": value for key, value in settings_for(
                self.method, {"site": self.site, "epsilon": "1.0", **METHODS[self.method]}).items()},
            **VARIANTS.get(self.variant, {})}
        return values | {"batch.micro_batch_size": str(BATCH // self.world // self.accumulation)}

    @property
    def oracle(self) -> Case:
        """The same training in the plainest way: what the oracle's run depends on."""
        same = self.variant if self.variant in ("frozen", *OTHER_DATA) else ""
        return Case(self.method, self.site, 0, 1, 1, self.optimizer, same)


MATRIX = [Case(method, site, stage, world, accumulation) for method in METHODS for site in SITES for stage in STAGES
          for world in WORLDS for accumulation in ACCUMULATION]
BF16_MATRIX = [Case(method, site, stage, 2, 4, "sgd", "bf16") for method in METHODS for site in SITES
               for stage in (1, 2, 3)]


def _covers(case: Case) -> bool:
    """The subset: three methods in every way of execution, the others once per stage with sites and worlds turning."""
    if case.method in FIRST_METHODS:
        return case.site == "word_embeddings" or (case.stage, case.world, case.accumulation) in (
            (1, 2, 4), (3, 2, 1))
    turn = list(METHODS).index(case.method) + case.stage
    return (case.site, case.world, case.accumulation) == (
        SITES[turn % 3], WORLDS[turn % 2], ACCUMULATION[turn // 2 % 2])


SUBSET = [case for case in MATRIX if _covers(case)]
# Other ways of running, each with a method of one backward and with one of several per micro-batch.
OTHER_WAYS = [Case(method, "embeddings", stage, world, accumulation, "sgd", variant) for method in ("pgd", "freelb")
              for variant, stages, world, accumulation in (
                  ("bf16", (1, 2, 3), 1, 2), ("fp16", (1, 2, 3), 1, 2), ("offload", (2, 3), 1, 2),
                  ("checkpointing", (0, 3), 1, 2), ("frozen", (0, 2, 3), 1, 2), ("overlap", (1, 2, 3), 2, 2),
                  ("", (0, 2, 3), 4, 2))
              for stage in stages]
OF_OTHER_DATA = [Case("smart", "word_embeddings", 2, 2, 1, "sgd", data) for data in OTHER_DATA]
OF_OTHER_DATA += [Case("pgd", "word_embeddings", stage, 2, 1, "sgd", "few_words") for stage in STAGES]
ADAMW = [Case(method, "word_embeddings", stage, world, 1, "adamw")
         for method in METHODS for stage in STAGES for world in WORLDS if method in FIRST_METHODS or stage == world]


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exactness")
    start, path = write_recipes(root, "random: tiny")
    run_on_ranks(1, [start], root / "start.json")
    return path


def write_recipes(
    root: Path, model: str, template: InputTemplate = PLAIN, updates: int = UPDATES, kind: str = "pair",
) -> tuple[list[object], Path]:
    """(case that trains the start, recipe of the cases) of the random model that `model` describes, with shards.

    A fresh model says 1/3 to everything and feels no method: the cases start from one that has learnt a little.
    """
    write_random_cell(root / "shards", "xnli/train/en", 60, template=template, kind=kind)
    write_random_cell(root / "shards", "mnli/train/en", 60, template=template, used=45)
    write_random_cell(root / "shards", "squad/train/en", 60, kind="span_qa", template=template)
    write_random_cell(root / "shards", "stsb/train/en", 60, kind="regression", template=template)
    write_random_cell(root / "shards", "udpos/train/en", 60, kind="tagging", template=template)
    common = (f"output: {root / 'runs'}\nseed: 7\ndata: {{shards: {root / 'shards'}, train: [xnli/train/en]}}\n"
              f"batch: {{size: {BATCH}}}\nlogging: {{every_steps: 1}}\n"
              "evaluation: {every_steps: 100}\ncheckpoint: {every_steps: 100}\n")
    start, path = root / "start.yaml", root / "exact.yaml"
    start.write_text(common + f"model: {{{model}, dropout: 0.0}}\noptimizer: {{lr: 0.003}}\n"
                     f"schedule: {{max_steps: {START_UPDATES}}}\n", encoding="utf-8")
    path.write_text(common + f"model: {{name: {root / 'runs/start/best'}, dropout: 0.0}}\n"
                    f"schedule: {{max_steps: {updates}}}\n", encoding="utf-8")
    return [str(start), {"name": "start"}, None], path


class Runs:
    """Trains cases, all of one number of ranks in one start, and the oracle's runs, each once."""

    def __init__(self, recipe_file: Path) -> None:
        self.recipe_file = recipe_file
        self.folder = recipe_file.parent / "runs"
        self._oracles: dict[Case, tuple[dict[str, torch.Tensor], list[float]]] = {}

    def train(self, cases: list[Case]) -> None:
        for world in sorted({case.world for case in cases}):
            words = [self.words(case) for case in cases if case.world == world]
            run_on_ranks(world, words, self.recipe_file.with_name(f"cases-{world}-{len(words)}.json"))

    def words(self, case: Case) -> list[object]:
        """The case for `run_on_ranks`."""
        return [str(self.recipe_file), case.overrides() | self.engine_config(case), None]

    def engine_config(self, case: Case) -> dict[str, str]:
        """The shipped configuration, at ZeRO 3 with every weight taken apart, and as the case asks.

        DeepSpeed leaves weights of up to 100,000 numbers whole on every rank at ZeRO 3, which all of the tests' are.
        """
        name = case.overrides()["engine.config"]
        config = json.loads((ROOT / f"ds_configs/{name}.json").read_text(encoding="utf-8"))
        zero = config["zero_optimization"]
        if case.stage == 3:
            zero["stage3_param_persistence_threshold"] = 0
        if case.variant == "fp16":  # low enough that no update overflows, which the oracle would not skip
            config["fp16"]["initial_scale_power"] = 10
        if case.variant == "overlap":
            zero["overlap_comm"] = not zero["overlap_comm"]
        file = self.recipe_file.with_name(f"{name}-{case.variant}.json")
        file.write_text(json.dumps(config), encoding="utf-8")
        return {"engine.config": str(file)}

    def oracle(self, case: Case) -> tuple[dict[str, torch.Tensor], list[float]]:
        """(parameters, losses) of the plain loop."""
        if case.oracle not in self._oracles:
            self._oracles[case.oracle] = oracle.train(load_recipe(str(self.recipe_file), case.oracle.overrides()))
        return self._oracles[case.oracle]

    def losses(self, case: Case) -> list[float]:
        lines = (self.folder / str(case) / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
        return [record["train/loss"] for record in map(json.loads, filter(None, lines)) if "train/loss" in record]

    def check_parameters(self, case: Case) -> None:
        """Parameters and losses equal the oracle's; prints the largest error, which -rP shows."""
        error = self.error(case)
        if case.variant not in ("bf16", "fp16"):
            assert error <= RTOL
            return
        expected, losses = self.oracle(case)
        for key, value in self.parameters(case).items():  # to the two or three digits they have, over whole tensors
            assert (value - expected[key]).norm() <= HALF_RTOL * expected[key].norm().clamp(min=0.1), key
        assert self.losses(case) == pytest.approx(losses, rel=HALF_RTOL)

    def parameters(self, case: Case) -> dict[str, torch.Tensor]:
        return load_file(self.folder / str(case) / "best" / "model.safetensors")

    def error(self, case: Case) -> float:
        """The largest relative error of the case's parameters and losses; printed apart."""
        expected, losses = self.oracle(case)
        error, of_losses = largest_error(self.parameters(case), expected), relative_error(self.losses(case), losses)
        print(f"{case}: largest relative error {error:.1e}, of losses {of_losses:.1e}")
        return max(error, of_losses)


def run_on_ranks(world: int, cases: list[list[object]], file: Path) -> None:
    file.write_text(json.dumps(cases), encoding="utf-8")
    port = str(free_port())
    command = [sys.executable, str(ROOT / "tests/distributed/run_cases.py"), str(file)]
    logs = [file.with_suffix(f".rank{rank}.log") for rank in range(world)]
    processes = []
    for rank, log in enumerate(logs):
        env = os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        with log.open("w", encoding="utf-8") as stream:
            processes.append(subprocess.Popen(command, env=env, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT))
    codes = [process.wait(timeout=6000) for process in processes]
    assert codes == [0] * world, "\n".join(log.read_text(encoding="utf-8")[-3000:] for log in logs)


@pytest.fixture(scope="session")
def runs(recipe_file: Path) -> Runs:
    return Runs(recipe_file)


@pytest.fixture(scope="session")
def subset(runs: Runs) -> Runs:
    runs.train(SUBSET + ADAMW + OTHER_WAYS + OF_OTHER_DATA)
    return runs


@pytest.fixture(scope="session")
def matrix(runs: Runs) -> Runs:
    runs.train(MATRIX + BF16_MATRIX)
    return runs


@pytest.mark.parametrize("case", SUBSET + OTHER_WAYS + OF_OTHER_DATA, ids=str)
def test_parameters_equal_the_plain_loop(subset: Runs, case: Case) -> None:
    subset.check_parameters(case)


@pytest.mark.full
@pytest.mark.timeout(7000)
@pytest.mark.parametrize("case", MATRIX + BF16_MATRIX, ids=str)
def test_the_whole_matrix_equals_the_plain_loop(matrix: Runs, case: Case) -> None:
    matrix.check_parameters(case)


@pytest.mark.parametrize("case", ADAMW, ids=str)
def test_adamw_loss_curve_equals_the_plain_loop(subset: Runs, case: Case) -> None:
    _, losses = subset.oracle(case)
    assert subset.losses(case) == pytest.approx(losses, rel=ADAM_LOSS_RTOL)
    assert losses[0] != pytest.approx(losses[-1], rel=10 * ADAM_LOSS_RTOL), "the model must learn for this to say much"


def test_the_subset_covers_every_method_with_every_stage_and_site() -> None:
    assert {(case.method, case.stage) for case in SUBSET} == {(m, stage) for m in METHODS for stage in STAGES}
    assert {(case.method, case.site) for case in SUBSET} == {(m, site) for m in METHODS for site in SITES}
    assert {(case.stage, case.world, case.accumulation) for case in SUBSET} == {
        (stage, world, accumulation) for stage in STAGES for world in WORLDS for accumulation in ACCUMULATION}


def test_methods_and_training_move_the_parameters(runs: Runs) -> None:
    """The comparison could not fail if methods made no difference or training stood still."""
    found = {method: runs.oracle(Case(method, "word_embeddings", 0, 1, 1))[0] for method in METHODS}
    still = Case("plain", SITES[0], 0, 1, 1).overrides() | {"optimizer.lr": "1e-12"}
    found["start"] = oracle.train(load_recipe(str(runs.recipe_file), still))[0]
    names = list(found)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            assert largest_error(found[one], found[other]) > 30 * RTOL, (one, other)


# The method that each planted fault harms, and how it is run: one rank suffices to see all of them.
PLANTED = {
    "naive_boundary": Case("freelb", "word_embeddings", 1, 1, 1),
    "missing_mask": Case("pgd", "word_embeddings", 0, 1, 1),
    "epsilon_guards_a_division": Case("pgd", "word_embeddings", 0, 1, 1),
    "noise_by_position": Case("random_noise", "word_embeddings", 0, 1, 4),
    "ascent_leaks_into_the_update": Case("pgd", "word_embeddings", 0, 1, 1),
}


@pytest.fixture(scope="session")
def planted(runs: Runs) -> Runs:
    # The faults are planted into the reference, so that is what has to run; all other cases run the backend of `auto`.
    words = [[str(runs.recipe_file), {**case.overrides(), "name": fault, "kernels": "reference"}, fault]
             for fault, case in PLANTED.items()]
    run_on_ranks(1, words, runs.recipe_file.with_name("planted.json"))
    return runs


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_faults_are_caught(planted: Runs, fault: str) -> None:
    expected, _ = planted.oracle(PLANTED[fault])
    found = load_file(planted.folder / fault / "best" / "model.safetensors")
    assert largest_error(found, expected) > 30 * RTOL


@pytest.mark.parametrize(("method", "stage"), [("pgd", 3), ("freelb", 1), ("smart", 2)])
def test_an_overflow_in_fp16_leaves_no_trace(runs: Runs, method: str, stage: int) -> None:
    """With a loss scale far too high every ascent and every update overflows: nothing may move, or become NaN."""
    config = json.loads((ROOT / f"ds_configs/zero{stage}.json").read_text(encoding="utf-8"))
    config["fp16"]["initial_scale_power"] = 40
    file = runs.recipe_file.with_name(f"overflow{stage}.json")
    file.write_text(json.dumps(config), encoding="utf-8")
    case = Case(method, "embeddings", stage, 1, 1, "sgd", "fp16")
    name = f"overflow-{method}"
    run_on_ranks(1, [[str(runs.recipe_file), {**case.overrides(), "engine.config": str(file), "name": name}, None]],
                 file.with_suffix(".cases"))
    found = load_file(runs.folder / name / "best" / "model.safetensors")
    start = load_file(runs.folder / "start" / "best" / "model.safetensors")
    assert found.keys() == start.keys()
    for key, value in found.items():
        torch.testing.assert_close(value, start[key], rtol=1e-3, atol=1e-4)  # the start, rounded to fp16
    lines = (runs.folder / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line).get("train/gradient_norm") for line in lines} == {None}


def relative_error(found: list[float], expected: list[float]) -> float:
    """The largest difference of two curves, in shares of the second."""
    return max(abs(one - other) / abs(other) for one, other in zip(found, expected, strict=True))


def largest_error(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The largest difference over all tensors, each relative to its largest entry."""
    return max(float((found[k] - expected[k]).abs().max() / expected[k].abs().max().clamp(min=FLOOR)) for k in found)
