"""The READMEs cannot drift: commands, recipes, files and links exist, and commands take the flags that are shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from data_prep.base.cli import Commands, check_arguments, resolve
from data_prep.commands import COMMANDS as PREPARE
from slurm import submit
from slurm.jobs import KINDS
from tests.command_tables import chosen
from trainer.__main__ import take_local_rank
from trainer.commands import COMMANDS as TRAIN
from trainer.config import load_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLUSTER = (ROOT / "slurm/README.md").read_text(encoding="utf-8")


def shell_lines(text: str = README) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    return [line.strip() for block in blocks for line in block.split("\n") if line.strip()]


def project_commands() -> list[tuple[str, list[str]]]:
    """("trainer", ["train", "xnli_pgd", ...]) for every line that starts one of our programs, whatever launches it."""
    found = []
    for line in shell_lines() + shell_lines(CLUSTER):
        words = shlex.split(line, comments=True)
        for place, word in enumerate(words):
            if word in ("trainer", "data_prep") and words[place - 1] in ("-m", "--module"):
                found.append((word, words[place + 1 :]))
    return found


@pytest.mark.parametrize(("program", "words"), project_commands(), ids=lambda value: " ".join(value)[:60])
def test_commands_exist_and_take_these_flags(program: str, words: list[str]) -> None:
    table: Commands = TRAIN if program == "trainer" else PREPARE
    words = take_local_rank(words)
    command, rest = chosen(table, words)
    check_arguments(resolve(command), rest, words[0])
    if words[0] == "train":
        pairs = dict(zip(words[2::2], words[3::2], strict=True))
        load_recipe(words[1], {flag.removeprefix("--"): value for flag, value in pairs.items()})


def submissions() -> list[list[str]]:
    """What stands behind `python -m slurm.submit`, and the lines of the chain."""
    lines = [line.removeprefix("python -m slurm.submit ") for line in shell_lines() + shell_lines(CLUSTER)
             if line.startswith("python -m slurm.submit ")]
    (chain,) = re.findall(r"```text\n(prepare .*?)```", CLUSTER, flags=re.DOTALL)
    return [shlex.split(line) for line in [*lines, *chain.splitlines()]]


@pytest.mark.parametrize("words", submissions(), ids=lambda words: " ".join(words)[:60])
def test_jobs_can_be_submitted_so(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin/none")
    (tmp_path / "chain.txt").write_text("prepare tasks\n")
    assert submit.main([*words, *([] if "--dry_run" in words else ["--dry_run"])]) == 0


def test_scripts_given_to_sbatch_take_these_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [shlex.split(line) for line in shell_lines(CLUSTER) if line.startswith("sbatch ")]
    assert len(lines) == len(list((ROOT / "slurm").glob("*.sbatch")))
    monkeypatch.chdir(tmp_path)
    for words in lines:
        (place,) = [number for number, word in enumerate(words) if word.startswith("slurm/")]
        kind, rest = Path(words[place]).stem, words[place + 1 :]
        assert (ROOT / words[place]).is_file()
        if kind == "study":  # a node of a study, which `study submit` has written
            assert (ROOT / f"{rest[0].replace('.', '/')}.py").is_file()
            assert len(rest) == 3
            continue
        KINDS[kind](rest if kind != "sweep" else [rest[2], "--seeds", rest[0], "--methods", rest[1]], Path("runs"))


def test_the_two_commands_come_first() -> None:
    pip = [line for line in shell_lines() if line.startswith("pip install -r requirements.txt && ")]
    assert pip == ["pip install -r requirements.txt && python -m trainer demo",
                   "pip install -r requirements.txt && python -m pytest"]
    assert project_commands()[0] == ("trainer", ["demo"])


def test_files_and_links_exist() -> None:
    for name in re.findall(r"`((?:trainer|data_prep|ds_configs|slurm|tests)/[\w./]*)`", README + CLUSTER):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
