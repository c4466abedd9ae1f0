"""The README cannot drift: its commands, recipes, files and links exist, and its commands take the flags it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from data_prep.__main__ import COMMANDS as PREPARE
from data_prep.cli import Commands, check_arguments
from trainer.__main__ import take_local_rank
from trainer.commands import COMMANDS as TRAIN
from trainer.config import load_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shell_lines() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    return [line.strip() for block in blocks for line in block.split("\n") if line.strip()]


def project_commands() -> list[tuple[str, list[str]]]:
    """("trainer", ["train", "xnli_pgd", ...]) for every line that starts one of our programs, whatever launches it."""
    found = []
    for line in shell_lines():
        words = shlex.split(line)
        for place, word in enumerate(words):
            if word in ("trainer", "data_prep") and words[place - 1] in ("-m", "--module"):
                found.append((word, words[place + 1 :]))
    return found


@pytest.mark.parametrize(("program", "words"), project_commands(), ids=lambda value: " ".join(value)[:60])
def test_commands_exist_and_take_these_flags(program: str, words: list[str]) -> None:
    table: Commands = TRAIN if program == "trainer" else PREPARE
    words = take_local_rank(words)
    command = table[words[0]]
    assert callable(command)
    check_arguments(command, words[1:], words[0])
    if words[0] == "train":
        pairs = dict(zip(words[2::2], words[3::2], strict=True))
        load_recipe(words[1], {flag.removeprefix("--"): value for flag, value in pairs.items()})


def test_the_two_commands_come_first() -> None:
    pip = [line for line in shell_lines() if line.startswith("pip install -r requirements.txt && ")]
    assert pip == ["pip install -r requirements.txt && python -m trainer demo",
                   "pip install -r requirements.txt && python -m pytest"]
    assert project_commands()[0] == ("trainer", ["demo"])


def test_files_and_links_exist() -> None:
    for name in re.findall(r"`((?:trainer|data_prep|ds_configs|slurm|tests)/[\w./]*)`", README):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
