"""`python -m trainer completion bash`, or zsh: the completion script of this program."""

from __future__ import annotations

import sys
from pathlib import Path

from data_prep.base.completion import script
from trainer.commands import COMMANDS
from trainer.config.load import shipped_recipes
from trainer.config.manual import all_keys
from trainer.robust import METHODS
from trainer.runs.then import FOLLOW_UPS

STUDIES = Path(__file__).parent / "studies"


def completion(shell: str) -> None:
    """Print the completion script of SHELL, bash or zsh, for source <(python -m trainer completion bash)."""
    keys = list(all_keys())
    studies = sorted(path.stem for path in STUDIES.glob("*.yaml"))
    recipes = list(shipped_recipes())
    words = {
        "train": [*recipes, *(f"--{key.name}" for key in keys if "." in key.name)], "recipes": recipes,
        "keys": [key.name for key in keys],
        **{f"study {command}": studies for command in ("plan", "run", "submit")}}
    values = {f"--{key.name}": key.choices for key in keys if key.choices}
    values |= {"--method": tuple(METHODS), "--then": FOLLOW_UPS}
    sys.stdout.write(script(shell, "trainer", COMMANDS, words, values))
