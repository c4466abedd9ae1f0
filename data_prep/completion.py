"""`python -m data_prep completion bash`, or zsh: the completion script of this program."""

from __future__ import annotations

import sys

from data_prep.base.completion import script
from data_prep.commands import COMMANDS
from data_prep.tasks import TASKS
from data_prep.tasks.suites import SUITES

OF_TASKS = ("build", "augment synonyms", "augment code_mix", "augment noise")


def completion(shell: str) -> None:
    """Print the completion script of SHELL, bash or zsh, for source <(python -m data_prep completion bash)."""
    words = {**{command: list(TASKS) for command in OF_TASKS}, "tasks": [*TASKS, *SUITES]}
    values = {"--suite": list(SUITES), "--source": ["hub"]}
    sys.stdout.write(script(shell, "data_prep", COMMANDS, words, values))
