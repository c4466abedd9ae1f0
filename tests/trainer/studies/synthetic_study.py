"""Made-up studies: a graph, and evaluated runs of its cells with known effects, written by the ordinary writers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import special

from tests.trainer.report.synthetic_runs import digest, row
from trainer.results.outcomes import outcomes_path, write_outcomes
from trainer.results.predictions import predictions_path
from trainer.results.scores import RESULTS_FILE, ResultRow, merge_rows
from trainer.studies.graph import RUNS, CellNodes, Graph, Node
from trainer.studies.schema import Level, Study
from trainer.studies.states import Ending, State, write_ending

LEVELS = {"plain": "plain", "noise": "random noise", "pgd": "PGD"}
LANGUAGES = {"en": 1.2, "de": 1.0, "tr": 0.7, "zh": 0.75, "sw": 0.45}
TOKENS = {"en": 100, "de": 110, "tr": 120, "zh": 90, "sw": 140}
"""Per example, of every cell."""
EXAMPLES = 500
NAMES = list(LANGUAGES)


def make_study(seeds: Sequence[int] = (0, 1, 2), levels: Mapping[str, str] = LEVELS, **changes: object) -> Study:
    """A study of one factor, `method`, and one stage, `target`."""
    content: dict[str, object] = {
        "title": "Robust training", "question": "Does robust training help?", "hypothesis": "It does, most far away.",
        "limits": ["One encoder."], "seeds": list(seeds),
        "factors": {"method": {key: Level(label=label) for key, label in levels.items()}},
        "stages": {"target": {"recipe": "nli_small", "evaluate": ["--tasks xnli"]}},
        "comparisons": [{"factor": "method", "base": "plain"}], **changes}
    return Study.model_validate(content)


def make_graph(study: Study, failed: Mapping[tuple[str, int], list[str]] = {}) -> Graph:
    """A graph with a training and an evaluation per cell; `failed`: replaced trainings by level and seed."""
    nodes: dict[str, Node] = {}
    cells = []
    for level in study.chosen_levels("method"):
        for seed in study.seeds:
            replaced = failed.get((level, seed), [])
            used = seed + 1000 * len(replaced)
            run = f"target-{level}-seed{used}-abc123"
            names = [run, f"evaluate1-{run}"]
            nodes[run] = Node(run, "train", digest(run), ("trainer", "train"), f"{RUNS}/{run}", (), "target", level)
            nodes[names[1]] = Node(names[1], "evaluate", digest(names[1]), ("trainer", "evaluate"),
                                   f"{RUNS}/{run}/eval", (run,), "target")
            cells.append(CellNodes({"method": level}, seed, {"target": run}, {"target": [names[1]]},
                                   {"target": list(replaced)} if replaced else {}))
    return Graph(nodes, cells)


def end(out: Path, graph: Graph, name: str, state: State = "done") -> None:
    write_ending(out, graph.nodes[name], Ending(digest=graph.nodes[name].digest, state=state, code=0, seconds=1.0,
                                                started="2026-01-01T00:00:00+0000", host="here"))


def write_runs(out: Path, graph: Graph, effect: Callable[[str, str], float], *,
               skip: Sequence[tuple[str, int]] = (), tasks: Mapping[str, float] = {"xnli": 0.0},
               luck: float = 0.03, average: bool = False) -> None:
    """Write all runs but those of `skip` (level, seed), and the manifests of their cells.

    effect: of level and language, on the probit scale (0.1 is about 3 points). tasks: with what they lower all scores.
    """
    for cell in graph.cells:
        level, run = cell.levels["method"], cell.runs["target"]
        if (level, cell.seed) in skip:
            continue
        path = out / RUNS / run
        rows = [row_of(path, level, cell.seed, task, language, effect(level, language) - lower, luck)
                for task, lower in tasks.items() for language in LANGUAGES]
        rows += [oracle_row(path, level, cell.seed, language) for language in LANGUAGES]
        merge_rows(path / "eval" / RESULTS_FILE, rows)
        for name in (run, cell.evaluations["target"][0]):
            end(out, graph, name)
    for task in tasks:
        for language, tokens in TOKENS.items():
            folder = out / "shards" / task / "test" / language
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "manifest.json").write_text(json.dumps({"parallel": True, "rows": 100, "tokens": 100 * tokens}))


def row_of(path: Path, level: str, seed: int, task: str, language: str, effect: float, luck: float) -> ResultRow:
    """A row and its outcomes: hard examples are hard for every run and language; a seed's luck is partly common."""
    at, of = NAMES.index(language), list(LEVELS).index(level) if level in LEVELS else sum(level.encode())
    hard = np.random.default_rng(7).normal(size=EXAMPLES)
    own = np.random.default_rng([8, at]).normal(size=EXAMPLES)
    run, residual = np.random.default_rng([9, of, seed]), np.random.default_rng([10, of, seed, at])
    shift = luck * (run.normal() + residual.normal())
    right = (hard + 0.5 * own + 0.4 * residual.normal(size=EXAMPLES)) / 1.2 < LANGUAGES[language] + effect + shift
    name = outcomes_path(task, "test", language)
    write_outcomes(path / "eval" / name, [f"{i:04}" for i in range(EXAMPLES)], right)
    return row(level, 40 + seed, language, run=path.name, task=task, value=float(right.mean()), n=EXAMPLES,
               outcomes=name, predictions=predictions_path(task, "test", language), model="/somewhere/e5",
               cell_sha256=digest(f"{task} {language}"), checkpoint=digest(path.name))


def oracle_row(path: Path, level: str, seed: int, language: str) -> ResultRow:
    value = float(special.ndtr(LANGUAGES[language])) + 0.01
    return row(level, 40 + seed, language, run=path.name, selection="oracle", value=value, n=0, checkpoint="",
               model="/somewhere/e5")
