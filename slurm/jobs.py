"""Kinds of jobs, and the checks of their command lines before submission.

Input: a kind and the words behind it, those of the command that the job will run. Output: `Work`: the folder that the
job belongs to, and the arguments of its script. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import yaml

from data_prep.base.cli import check_arguments
from data_prep.base.command_table import Command, Commands, LazyCommand, declared
from data_prep.base.errors import InputError
from data_prep.commands import COMMANDS as PREPARE
from data_prep.shards.manifest import MANIFEST_FILE
from trainer.commands import COMMANDS as TRAIN
from trainer.config import Recipe, load_recipe
from trainer.config.load import dump, find_recipe, merged
from trainer.config.renamed import rename_overrides
from trainer.results.scores import RESULTS_FILE
from trainer.robust import methods_with
from trainer.runs import folder as run_dir


@dataclass(frozen=True)
class Work:
    """Description of one job."""

    kind: str
    name: str
    """Name of the job in the queue."""
    home: Path
    """Folder whose `slurm/` keeps the record: a run, or the folder of the runs if the job belongs to no single one."""
    words: Sequence[str]
    """Arguments of the script; `RECIPE` stands for the path of the recipe's snapshot."""
    recipe: tuple[str, str] | None = None
    """Name of the file that keeps a snapshot of the recipe, and its text."""
    elements: int | None = None
    """Number of array elements; None for a single job."""
    runs: Sequence[Path] = ()
    """Runs that the job trains."""
    needs: Sequence[Path] = ()
    """Inputs that must exist when the job starts."""
    done: bool = False
    """True if all its trainings are done."""


RECIPE = "\0recipe"  # cannot occur in a command line


def prepare(words: Sequence[str], runs: Path) -> Work:
    """COMMAND ...: data preparation, with the words of `python -m data_prep`."""
    command: Command | LazyCommand | Commands = PREPARE
    chosen, rest = ["prepare"], list(words)
    while isinstance(command, Mapping):
        word = rest.pop(0) if rest else "nothing"
        if word not in command:
            raise InputError(f"{' '.join(chosen)}: expected a command of python -m data_prep ({', '.join(command)}), "
                             f"found {word!r}")
        command = command[word]
        chosen.append(word)
    plain, _ = check_arguments(declared(command), rest, " ".join(chosen))
    return Work("prepare", "-".join([*chosen, *plain]), runs, words)


def training(kind: str) -> Callable[[Sequence[str], Path], Work]:
    """Planner of a training, under one of its two kinds."""
    def plan(words: Sequence[str], runs: Path) -> Work:
        """RECIPE [--dotted.key=value ...]: a training, with the words of `python -m trainer train`."""
        source, given = _recipe_words(kind, words)
        recipe = load_recipe(source, given)
        recipe = recipe if "name" in given else run_dir.as_begun(recipe, source)
        home = run_dir.run_dir_of(recipe)
        return Work(kind, str(recipe.name), home, [RECIPE], (f"{Path(source).stem}.yaml", dump(recipe)), runs=[home],
                    needs=_inputs(recipe), done=run_dir.inspect(recipe) == "done")

    return plan


def evaluate(words: Sequence[str], runs: Path) -> Work:
    """RUN --tasks ... [--languages en,de,sw]: an element of an array per language, or (--generalized) per task;
    or RUN --suite NAME, a single job."""
    plain, flags = _check_trainer_command("evaluate", words)
    if "tasks" not in flags and "suite" not in flags:
        raise InputError("evaluate: missing tasks; name --tasks, or a --suite")
    # As in evaluate.sbatch: pairs of languages need all languages in one job.
    by_task = "languages" not in flags or any(word.startswith("--generalized") for word in words)
    elements = None if "suite" in flags else len(flags["tasks" if by_task else "languages"].split(","))
    run = Path(plain[0] if plain else flags["run"])
    return Work("evaluate", f"evaluate-{run.name}", run, words, elements=elements,
                needs=[run / run_dir.RECORD])


def sweep(words: Sequence[str], runs: Path) -> Work:
    """RECIPE --seeds 1,2,3 --methods plain,pgd [--dotted.key=value ...]: a training per seed and robust method.

    Of the settings in `robust`, each method takes those that it has.
    """
    source, given = _recipe_words("sweep", words)
    try:
        seeds, methods = given.pop("seeds").split(","), given.pop("methods").split(",")
    except KeyError as error:
        raise InputError(f"sweep: missing --{error.args[0]}, a list with commas between") from None
    if fixed := sorted(given.keys() & {"name", "seed", "label", "method", "robust.method"}):
        raise InputError(f"sweep: every run gets its own {fixed[0]}, found --{fixed[0]}; leave it out")
    stem = Path(source).stem
    recipes = [load_recipe(source, {**given, "seed": seed, "method": method, "label": method,
                                    "name": f"{stem}-{method}-seed{seed}"},
                           announce=method == methods[0] and seed == seeds[0])
               for method, seed in product(methods, seeds)]
    idle = [key for key in rename_overrides(given)[0]
            if key.startswith("robust.") and not {*methods} & {*methods_with(key.removeprefix("robust."))}]
    if idle:
        raise InputError(f"sweep: none of {', '.join(methods)} has {idle[0]}; leave it out")
    # Not as the first method fills it in: to the others, its defaults would be settings.
    robust = merged(find_recipe(source), given, announce=False).get("robust", {})
    snapshot = yaml.safe_dump({**yaml.safe_load(dump(recipes[0])), "robust": robust}, sort_keys=False)
    states = [run_dir.inspect(recipe) for recipe in recipes]
    return Work("sweep", f"sweep-{stem}", Path(recipes[0].output), [",".join(seeds), ",".join(methods), RECIPE],
                (f"{stem}.yaml", snapshot), len(recipes), [run_dir.run_dir_of(recipe) for recipe in recipes],
                _inputs(recipes[0]), done=set(states) == {"done"})


def report(words: Sequence[str], runs: Path) -> Work:
    """RUN RUN ... [--out report]: a report, with the words of `python -m trainer report`."""
    plain, _ = _check_trainer_command("report", words)
    return Work("report", "report", runs, words, needs=[Path(run) / "eval" / RESULTS_FILE for run in plain])


KINDS: Mapping[str, Callable[[Sequence[str], Path], Work]] = {
    "prepare": prepare,
    "intermediate": training("intermediate"),
    "robust": training("robust"),
    "evaluate": evaluate,
    "sweep": sweep,
    "report": report,
}


def _recipe_flags(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split a training's command line into plain words, and flags with their values (checked by the recipe)."""
    plain: list[str] = []
    flags: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise InputError(f"--{name} needs a value")
            value = rest.pop(0)
        name = name if "." in name else name.replace("-", "_")
        if name in flags:
            raise InputError(f"--{name} is given twice")
        flags[name] = value
    return plain, flags


def _recipe_words(kind: str, words: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Recipe and settings of a training's command line. Raises InputError unless there is one recipe."""
    plain, given = _recipe_flags(words)
    if "then" in given:
        raise InputError(f"{kind}: --then is not for jobs; submit an evaluation behind it, in a chain or with --after")
    source = given.pop("recipe", None)
    plain = [source, *plain] if source is not None else plain
    if len(plain) != 1:
        raise InputError(f"{kind}: expected one RECIPE, found {' '.join(map(repr, plain)) or 'none'}")
    return plain[0], given


def _inputs(recipe: Recipe) -> list[Path]:
    """Inputs of a training: its cells (their root if named by a pattern), and the run it starts from."""
    cells = [*recipe.data.train, *recipe.data.dev]
    named = [Path(recipe.data.shards, cell, MANIFEST_FILE) for cell in cells if "*" not in cell]
    return [Path(recipe.data.shards), *named, *([Path(recipe.init_from)] if recipe.init_from else [])]


def _check_trainer_command(name: str, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    return check_arguments(declared(TRAIN[name]), words, name)
