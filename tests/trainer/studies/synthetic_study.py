"""Made-up studies: a graph, and evaluated runs of its cells with known effects, written by the ordinary writers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from scipy import special

from tests.trainer.report.synthetic_runs import digest, row, settings
from trainer.results.outcomes import outcomes_path, write_outcomes
from trainer.results.predictions import predictions_path
from trainer.results.scores import RESULTS_FILE, ResultRow, merge_rows
from trainer.studies.graph import RUNS, CellNodes, Graph, Node
from trainer.studies.schema import Level, Study
from trainer.studies.states import Ending, State, write_ending

LEVELS = {"plain": "plain", "noise": "random noise", "pgd": "PGD"}
LANGUAGES = {"en": 1.2, "de": 1.0, "tr": 0.7, "zh": 0.75, "sw": 0.45}
"""Ability on the probit scale."""
TOKENS = {"en": 100, "de": 110, "tr": 120, "zh": 90, "sw": 140}
"""Per example, of every cell."""
EXAMPLES = 500
NAMES = list(LANGUAGES)


def make_study(seeds: Sequence[int] = (0, 1, 2), levels: Mapping[str, str] = LEVELS, **changes: object) -> Study:
    """A study of the factor `method` and the stage `target`."""
    content: dict[str, object] = {
        "title": "Robust training", "question": "Does robust training help?", "hypothesis": "It does, most far away.",
        "limits": ["One encoder."], "seeds": list(seeds),
        "factors": {"method": {key: Level(label=label) for key, label in levels.items()}},
        "stages": {"target": {"recipe": "nli_small", "evaluate": ["--tasks xnli"]}},
        "comparisons": [{"factor": "method", "base": "plain"}], **changes}
    return Study.model_validate(content)


def make_graph(study: Study, failed: Mapping[tuple[str, int], list[str]] = {}) -> Graph:
    """A graph with a training and an evaluation per cell; `failed`: replaced trainings by levels and seed."""
    nodes: dict[str, Node] = {}
    cells = []
    for levels, seed in product(product(*map(study.chosen_levels, study.factors)), study.seeds):
        name = "-".join(levels)
        replaced = failed.get((name, seed), [])
        run = f"target-{name}-seed{seed + 1000 * len(replaced)}-abc123"
        evaluation = f"evaluate1-{run}"
        nodes[run] = Node(run, "train", digest(run), ("trainer", "train"), f"{RUNS}/{run}", (), "target")
        nodes[evaluation] = Node(evaluation, "evaluate", digest(evaluation), ("trainer", "evaluate"),
                                 f"{RUNS}/{run}/eval", (run,), "target")
        cells.append(CellNodes(dict(zip(study.factors, levels, strict=True)), seed, {"target": run},
                               {"target": [evaluation]}, {"target": list(replaced)} if replaced else {}))
    return Graph(nodes, cells)


def end(out: Path, graph: Graph, name: str, state: State = "done") -> None:
    write_ending(out, graph.nodes[name], Ending(digest=graph.nodes[name].digest, state=state, code=0, seconds=1.0,
                                                started="2026-01-01T00:00:00+0000", host="here"))


def write_runs(out: Path, graph: Graph, effect: Callable[[str, str], float], *,
               skip: Sequence[tuple[str, int]] = (), tasks: Mapping[str, float] = {"xnli": 0.0},
               luck: float = 0.03, average: float | None = None) -> None:
    """Write all runs but those of `skip` (levels, seed), and the manifests of their cells.

    effect: of levels and language, on the probit scale (0.1 is about 3 points). tasks: with what they lower all scores.
    average: effect of averaging, None for runs without an average.
    """
    for cell in graph.cells:
        levels, run = "-".join(cell.levels.values()), cell.runs["target"]
        if (levels, cell.seed) in skip:
            continue
        path = out / RUNS / run
        rows = [row_of(path, levels, cell.seed, task, language, effect(levels, language) - lower, luck, selection)
                for task, lower in tasks.items() for language in LANGUAGES
                for selection in ("best", *(["average"] if average is not None else []))]
        rows += [oracle_row(path, levels, cell.seed, language) for language in LANGUAGES]
        merge_rows(path / "eval" / RESULTS_FILE, rows)
        for name in (run, cell.evaluations["target"][0]):
            end(out, graph, name)
    for task in tasks:
        for language, tokens in TOKENS.items():
            folder = out / "shards" / task / "test" / language
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "manifest.json").write_text(json.dumps({"parallel": True, "rows": 100, "tokens": 100 * tokens}))


def row_of(path: Path, levels: str, seed: int, task: str, language: str, effect: float, luck: float,
           selection: str) -> ResultRow:
    """A row and its outcomes: hard examples are hard for every run and language; a seed's luck is partly common."""
    at, of = NAMES.index(language), sum(levels.encode()) + (selection == "average")
    hard = np.random.default_rng(7).normal(size=EXAMPLES)
    own = np.random.default_rng([8, at]).normal(size=EXAMPLES)
    run, residual = np.random.default_rng([9, of, seed]), np.random.default_rng([10, of, seed, at])
    shift = luck * (run.normal() + residual.normal())
    right = (hard + 0.5 * own + 0.4 * residual.normal(size=EXAMPLES)) / 1.2 < LANGUAGES[language] + effect + shift
    average = {"average.last": 3} if selection == "average" else {}
    name = outcomes_path(f"{task}+average" if average else task, "test", language)
    write_outcomes(path / "eval" / name, [f"{i:04}" for i in range(EXAMPLES)], right)
    return row(levels, 40 + seed, language, run=path.name, task=task, value=float(right.mean()), n=EXAMPLES,
               outcomes=name, predictions=predictions_path(task, "test", language), model="/somewhere/e5",
               cell_sha256=digest(f"{task} {language}"), checkpoint=digest(path.name + selection),
               selection=selection, settings=settings(levels, **average))


def oracle_row(path: Path, levels: str, seed: int, language: str) -> ResultRow:
    value = float(special.ndtr(LANGUAGES[language])) + 0.01
    return row(levels, 40 + seed, language, run=path.name, selection="oracle", value=value, n=0, checkpoint="",
               model="/somewhere/e5")
