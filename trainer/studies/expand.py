"""Expansion of a study into a graph: placeholders filled in, recipes merged, inputs found, digests taken.

Input: a `Study`, its folder, and the trainings that failed. Output: a `Graph`.

A node's digest covers its command with every path replaced by what lies there: the digest of the node that makes it, or
of the content of files from outside. A training's covers the settings of its recipe that are no defaults instead,
without those that change nothing that is learned (`trainer.settings.FREE_SETTINGS`): the same training is the same
node in whatever words, and stays it when a later version adds a setting.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Set
from itertools import product
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from trainer.config import Recipe, load_recipe
from trainer.config.load import find_recipe
from trainer.runs.folder import BEST
from trainer.runs.identity import evaluated_steps, evaluation_interval
from trainer.settings import FREE_SETTINGS
from trainer.studies.cell import OpenCell
from trainer.studies.contents import Contents
from trainer.studies.graph import RECIPES, RUNS, SHARDS, SHARDS_PREFIX, CellNodes, Graph, Node, digest_of
from trainer.studies.schema import RETRY_STRIDE, Stage, Step, Study

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)(?:\.(id|x))?\}")
FORMAT = 1  # of digests; to be raised where a default changes or a command means something else
ID_DIGITS = 6


def build_graph(study: Study, folder: Path, out: Path, contents: Contents, failed: Set[str]) -> Graph:
    """The graph of `study` in the folder `out`.

    folder: that of the study's file, where its recipes are looked for. failed: digests of trainings that collapsed or
    diverged; while `study.retries` allows, each is replaced by one of a new seed.
    Raises InputError for a placeholder or recipe that is not there, and nodes that need each other.
    """
    expansion = Expansion(study, folder, out, contents, failed)
    cells = [expansion.cell(dict(zip(study.factors, levels, strict=True)), seed)
             for levels in product(*map(study.chosen_levels, study.factors)) for seed in study.seeds
             if not _excluded(study, dict(zip(study.factors, levels, strict=True)))]
    if not cells:
        raise InputError("the study excludes all its cells")
    return Graph(expansion.nodes, cells, expansion.recipes)


def _excluded(study: Study, levels: dict[str, str]) -> bool:
    return any(all(levels[factor] in names for factor, names in entry.items()) for entry in study.exclude)


class Expansion:
    """Nodes of a study so far, by name."""

    def __init__(self, study: Study, folder: Path, out: Path, contents: Contents, failed: Set[str]) -> None:
        self.nodes: dict[str, Node] = {}
        self.recipes: dict[str, str] = {}
        self._study, self._folder, self._out = study, folder, out
        self._contents, self._failed = contents, failed
        self._by_digest: dict[str, Node] = {}
        self._recipes: dict[str, Recipe] = {}
        self._by_output: dict[tuple[str, str], Node] = {}

    def cell(self, levels: dict[str, str], seed: int) -> CellNodes:
        """All nodes of one cell."""
        cell = OpenCell(levels, seed)
        evaluations: dict[str, list[str]] = {}
        for name, stage in self._study.stages.items():
            run = self._run(name, cell)
            if stage.evaluate and (stands := run or self._stand_in(stage, cell)) is not None:
                cell.runs[name] = stands
                evaluations[name] = self._evaluations(name, stands, cell)
        runs = {name: run.name for name, run in cell.runs.items() if run is not None}
        return CellNodes(levels, seed, runs, evaluations, cell.failed)

    # -- trainings

    def _stand_in(self, stage: Stage, cell: OpenCell) -> Node | None:
        """The training that is evaluated in place of a skipped `stage`: the one that it would have started from."""
        names = [found[1] for found in PLACEHOLDER.finditer(stage.start or "")] or [stage.start]
        return next((self._run(name, cell) for name in names if name in self._study.stages), None)

    def _run(self, name: str, cell: OpenCell) -> Node | None:
        """The training of stage `name`; None where the cell skips it."""
        if name not in cell.runs:
            with cell.expanding(name):
                skipped = any(name in self._study.factors[factor][level].skip for factor, level in cell.levels.items())
                cell.runs[name] = None if skipped else self._training(name, cell)
        return cell.runs[name]

    def _training(self, name: str, cell: OpenCell) -> Node:
        stage = self._study.stages[name]
        first = cell.seed if stage.seed is None else stage.seed
        for attempt in range(self._study.retries + 1):
            node = self._attempt(name, stage, cell, first + attempt * RETRY_STRIDE)
            if node.digest not in self._failed or attempt == self._study.retries:
                return node
            cell.failed.setdefault(name, []).append(node.name)
        raise RuntimeError("unreachable: the last attempt is returned")

    def _attempt(self, name: str, stage: Stage, cell: OpenCell, seed: int) -> Node:
        overrides, needs = self._settings(name, stage, cell)
        words = {**overrides, "seed": str(seed), "data.shards": str(self._out / SHARDS)}
        recipe_file = self._recipe_file(stage.recipe)
        key = json.dumps([str(recipe_file), words], sort_keys=True)
        if key not in self._recipes:
            self._recipes[key] = load_recipe(str(recipe_file), {**words, "name": "name"}, announce=False)
        recipe = self._recipes[key]
        _check_average(name, stage.average, recipe)
        needs += self._makers([*recipe.data.train, *recipe.data.dev], cell, f"stage {name}")
        needs = list({node.name: node for node in needs}.values())
        digest = digest_of("train", self._identity(recipe, needs, stage), sorted(node.digest for node in needs))
        run = f"{self._title(name, cell)}-seed{seed}-{digest[:ID_DIGITS]}"
        flags = {"name": run, "label": self._label(name, cell), "output": str(self._out / RUNS), **words}
        return self._add(Node(
            run, "train", digest,
            ("trainer", "train", self._snapshot(recipe_file), *(f"--{k}={v}" for k, v in flags.items())),
            f"{RUNS}/{run}", tuple(node.name for node in needs), name, recipe.robust.method, _examples(recipe)))

    def _settings(self, name: str, stage: Stage, cell: OpenCell) -> tuple[dict[str, str], list[Node]]:
        """(dotted key -> text of the recipe, nodes that it needs), origin included."""
        values = dict(stage.set)
        for factor, level in cell.levels.items():
            values |= self._study.factors[factor][level].set.get(name, {})
        needs: list[Node] = []
        given = {key: self._fill(_text(value), cell, needs) for key, value in values.items()}
        start = self._origin(stage, cell)
        if start is not None:
            if start in self._study.stages:
                run = self._run(start, cell)
                assert run is not None, "a skipped stage is no origin"
                needs.append(run)
                given["init_from"] = str(self._out / run.output)
            else:
                given["model.name"] = self._fill(start, cell, needs)
        if stage.average is not None:
            given["checkpoint.snapshots"] = str(stage.average)
        return given, needs

    def _origin(self, stage: Stage, cell: OpenCell) -> str | None:
        """Stage or model that `stage` starts from, past those that the cell skips."""
        start = stage.start
        while start in self._study.stages and self._run(start, cell) is None:
            start = self._study.stages[start].start
        return start

    def _identity(self, recipe: Recipe, needs: list[Node], stage: Stage) -> Any:
        """The recipe with its origin by content, without settings that change nothing that is learned."""
        tree = recipe.model_dump(mode="json", exclude_defaults=True)
        for path in (*FREE_SETTINGS, ("label",)):
            section = tree
            for key in path[:-1]:
                section = section.get(key, {})
            section.pop(path[-1], None)
        tree.setdefault("robust", {})["method"] = recipe.robust.method  # the default in each method's own section
        if recipe.init_from is not None and self._inside(recipe.init_from):
            tree["init_from"] = "run"  # one of `needs`
        elif recipe.init_from is not None:
            tree["init_from"] = self._content(str(Path(recipe.init_from, BEST)))
        if recipe.model.name is not None:
            inside = self._inside(recipe.model.name)  # one of `needs`
            tree["model"]["name"] = "node" if inside else self._content(recipe.model.name)
        tree["engine"] = tree.get("engine", {}) | {"config": self._content(recipe.engine.config)}
        return [FORMAT, tree, stage.average, *(["dynamics"] if recipe.logging.dynamics else [])]  # both are outputs

    def _snapshot(self, file: Path) -> str:
        """Path of the study's own copy of a recipe, which a node reads whatever becomes of the file meanwhile."""
        text = file.read_text(encoding="utf-8")
        name = f"{file.stem}-{digest_of(text)[:ID_DIGITS]}.yaml"
        self.recipes[name] = text
        return str(self._out / RECIPES / name)

    def _recipe_file(self, source: str) -> Path:
        for folder in (self._folder / RECIPES, self._folder):
            if (file := folder / f"{source.removesuffix('.yaml')}.yaml").is_file():
                return file
        return find_recipe(source).absolute()

    def _title(self, stage: str, cell: OpenCell) -> str:
        """`stage-level-level` with the levels that have a say in the stage."""
        factors = [factor for factor in self._study.factors if self._matters(factor, stage)]
        return "-".join([stage, *(cell.levels[factor] for factor in factors)])

    def _label(self, stage: str, cell: OpenCell) -> str:
        named = [factor for factor in self._study.factors
                 if self._matters(factor, stage) and len(self._study.chosen_levels(factor)) > 1]
        labels = [self._study.factors[factor][cell.levels[factor]].label or cell.levels[factor] for factor in named]
        return ", ".join(labels) or stage

    def _matters(self, factor: str, stage: str, seen: tuple[str, ...] = ()) -> bool:
        """True where levels of `factor` differ in `stage`, or in what it starts from or reads."""
        levels = self._study.factors[factor].values()
        if any(stage in level.set or stage in level.skip for level in levels):
            return True
        if stage in self._study.stages:
            own = self._study.stages[stage]
            texts = [own.recipe, own.start or "", *map(_text, own.set.values())]
            texts += [_text(value) for every in self._study.factors.values() for level in every.values()
                      for value in level.set.get(stage, {}).values()]
            before = [own.start] if own.start in self._study.stages else []
        else:
            texts, before = [self._study.steps[stage].command, self._study.steps[stage].output], []
        names = {found[1] for text in texts for found in PLACEHOLDER.finditer(text)}
        before += [name for name in names if name in self._study.stages or name in self._study.steps]
        return factor in names or any(self._matters(factor, str(name), (*seen, stage))
                                      for name in before if name not in (*seen, stage))

    # -- averages and evaluations

    def _evaluations(self, name: str, run: Node, cell: OpenCell) -> list[str]:
        """Names of the evaluation nodes of a run; one after the other, as they write into one folder."""
        stage, before, found = self._study.stages[name], [run], []
        weights: tuple[str, ...] = ()
        if stage.average is not None:
            digest = digest_of("average", run.digest, stage.average)
            before = [self._add(Node(
                f"average-{run.name}", "average", digest,
                ("trainer", "average", str(self._out / run.output), "--last", str(stage.average)),
                f"{run.output}/average", (run.name,), name))]
            weights = ("--weights", "best,average")
        for number, flags in enumerate(stage.evaluate, start=1):
            words = tuple(self._words(flags, cell, needs := list(before)))
            tasks = [f"{task}/*/*" for task in _value(words, "--tasks").split(",") if task]
            needs += self._makers(tasks, cell, f"evaluation {number} of stage {name}")
            needs = list({node.name: node for node in needs}.values())
            before = [self._reading("evaluate", f"evaluate{number}", run, needs, words, weights)]
            found.append(before[0].name)
        if stage.diagnose is not None and all(cell.levels.get(asked.factor) == asked.base
                                              for asked in self._study.comparisons):
            words = tuple(self._words(stage.diagnose, cell, before))
            found.append(self._reading("diagnose", "diagnose", run, before, words).name)
        return found

    def _reading(self, command: str, title: str, run: Node, needs: list[Node], words: tuple[str, ...],
                 weights: tuple[str, ...] = ()) -> Node:
        """Node of a command that reads a finished run and writes into its `eval/`."""
        digest = digest_of(command, FORMAT, [node.digest for node in needs], list(map(self._content, words)))
        return self._add(Node(
            f"{title}-{run.name}", command, digest, ("trainer", command, str(self._out / run.output), *words, *weights),
            f"{run.output}/eval", tuple(node.name for node in needs), run.stage))

    # -- steps

    def _makers(self, cells: list[str], cell: OpenCell, reader: str) -> list[Node]:
        """Nodes of the steps that make the tasks of `cells` (`task/split/language`); InputError for one of no step."""
        outputs = {f"{SHARDS_PREFIX}{name.partition('/')[0]}" for name in cells}
        found = []
        for name, step in self._study.steps.items():
            # A template that may give one of the outputs: others are not filled in, which could need this very run.
            parts = [re.escape(part) for part in PLACEHOLDER.sub("\0", step.output).split("\0")]
            pattern = re.compile("[A-Za-z0-9_+.-]+".join(parts))
            if any(pattern.fullmatch(output) for output in outputs):
                node = self._step(name, cell)
                if node.output in outputs:
                    found.append(node)
        if absent := sorted(outputs - {node.output for node in found}):
            raise InputError(f"{reader} reads {absent[0].removeprefix(SHARDS_PREFIX)}, which no step makes; expected a "
                             f"step with `output: {absent[0]}`")
        return found

    def _step(self, name: str, cell: OpenCell) -> Node:
        step = self._study.steps[name]
        with cell.expanding(name):
            needs = [self._step(other, cell) for other in step.needs]
            output = self._fill(step.output, cell, needs)
            words = self._words(step.command, cell, needs, output=str(self._out / output))
            unnamed = self._words(step.command, cell, [], output="output", by_digest=True)
        needs = list({node.name: node for node in needs}.values())
        digest = digest_of("step", FORMAT, output, list(map(self._content, unnamed)),
                           sorted(node.digest for node in needs))
        if output.startswith(SHARDS_PREFIX):
            words += ["--out", str(self._out / SHARDS)] if "--out" not in words and "--shards" not in words else []
        node = self._add(Node(f"{self._step_title(name, step, cell)}-{digest[:ID_DIGITS]}", "prepare", digest,
                              tuple(words), output, tuple(node.name for node in needs)))
        if self._by_output.setdefault((name, output), node) is not node:
            raise InputError(f"step {name} makes {output} in two ways; name what differs in its `output`, e.g. "
                             f"{output}{{FACTOR}}, or put {{{name}.id}} into what reads it")
        return node

    def _step_title(self, name: str, step: Step, cell: OpenCell) -> str:
        used = {found[1] for found in PLACEHOLDER.finditer(step.output)}
        parts = [cell.levels[factor] for factor in self._study.factors if factor in used]
        return "-".join([name, *parts, *([f"seed{cell.seed}"] if "seed" in used else [])])

    # -- text

    def _words(self, text: str, cell: OpenCell, needs: list[Node], **how: Any) -> list[str]:
        """Words of a command line, split before they are filled in: what a placeholder stands for is one word."""
        return [self._fill(word, cell, needs, **how) for word in shlex.split(text)]

    def _fill(self, text: str, cell: OpenCell, needs: list[Node], *, output: str = "", by_digest: bool = False) -> str:
        """`text` with its placeholders replaced; nodes behind them are appended to `needs`.

        by_digest: paths below the study's folder are replaced by digests of the nodes that make them.
        """
        def node_path(node: Node, part: str) -> str:
            needs.append(node)
            if part == "id":
                return node.digest[:ID_DIGITS]
            return node.digest if by_digest else str(self._out / node.output)

        def replace(found: re.Match[str]) -> str:
            name, part = found[1], found[2] or ""
            study = self._study
            owners = {"id": (*study.steps, *study.stages), "x": (*study.factors,)}
            if part and name not in owners[part]:
                raise InputError(f"placeholder {found[0]}: no .{part} of {name}; it belongs to "
                                 f"{', '.join(owners[part]) or 'nothing here'}")
            if name in study.steps:
                return node_path(self._step(name, cell), part)
            if name in study.stages:
                run = self._run(name, cell)
                if run is None:
                    raise InputError(f"{{{name}}}: a cell that skips the stage {name} has no run of it")
                return node_path(run, part)
            if name in study.factors:
                x = study.factors[name][cell.levels[name]].x
                if part == "x" and x is None:
                    raise InputError(f"placeholder {found[0]}: level {cell.levels[name]} of {name} has no x")
                return f"{x:g}" if part == "x" else cell.levels[name]
            if name in study.parameters:
                return str(study.parameters[name])
            folders = {"out": self._out, "shards": self._out / SHARDS, "runs": self._out / RUNS}
            if name in folders:
                return name if by_digest else str(folders[name])
            if name in ("output", "seed"):
                return output if name == "output" else str(cell.seed)
            known = [*study.parameters, *study.factors, *study.steps, *study.stages, *folders, "output", "seed"]
            raise InputError(f"placeholder {found[0]}: no such name; names: {', '.join(known)}")

        return PLACEHOLDER.sub(replace, text)

    def _content(self, word: str) -> str:
        """Digest of the content where `word` is a path from outside the study, or ends in one behind `=`; else it.

        Paths within the study are relative to it, so that a study may be moved.
        """
        head, equals, tail = word.rpartition("=")
        if not ("/" in tail or Path(tail).suffix) or not os.path.exists(tail):
            return word.replace(f"{self._out}{os.sep}", "")
        if self._inside(tail):
            return f"{head}{equals}{Path(tail).resolve().relative_to(self._out.resolve())}"
        return f"{head}{equals}{self._contents.digest(Path(tail))}"

    def _inside(self, path: str) -> bool:
        return Path(path).resolve().is_relative_to(self._out.resolve())

    def _add(self, node: Node) -> Node:
        """The node of this digest; the first one keeps its name."""
        known = self._by_digest.setdefault(node.digest, node)
        if known is node:
            self.nodes[node.name] = node
        return known


def _text(value: Any) -> str:
    """A YAML value as the text of a recipe's override."""
    as_json = value is None or isinstance(value, bool | list | dict)
    return json.dumps(value, ensure_ascii=False) if as_json else str(value)


def _value(words: tuple[str, ...], flag: str) -> str:
    """Value of `flag` in a command line; empty without it."""
    parts = [part for word in words for part in (word.split("=", 1) if word.startswith(f"{flag}=") else [word])]
    return parts[parts.index(flag) + 1] if flag in parts[:-1] else ""


def _examples(recipe: Recipe) -> int | None:
    return None if recipe.schedule.max_steps is None else recipe.schedule.max_steps * recipe.batch.size


def _check_average(stage: str, average: int | None, recipe: Recipe) -> None:
    """Raise InputError where a training evaluates less often than snapshots of it are to be averaged."""
    steps = recipe.schedule.max_steps
    if average is not None and steps is not None:
        found = len(evaluated_steps(evaluation_interval(recipe, steps), steps, steps))
        if found < average:
            raise InputError(f"stage {stage}: average: {average} needs as many evaluations, and {steps} steps have "
                             f"{found}; lower it, or set evaluation.every_steps to {steps // average}")
