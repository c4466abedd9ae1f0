"""The documents cannot drift: commands, recipes, files and links exist, and commands take the flags that are shown."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from data_prep.base.cli import check_arguments
from data_prep.base.command_table import Commands, resolve
from data_prep.commands import COMMANDS as PREPARE
from data_prep.kinds import KINDS as TASK_KINDS
from data_prep.tasks import TASKS
from slurm import submit
from slurm.jobs import KINDS
from tests.command_tables import chosen, entries
from trainer.__main__ import take_local_rank
from trainer.commands import COMMANDS as TRAIN
from trainer.config import load_recipe
from trainer.model.encoders import FAMILIES
from trainer.robust import METHODS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLUSTER = (ROOT / "slurm/README.md").read_text(encoding="utf-8")
BESIDE = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
          for package in ("data_prep", "trainer", "slurm") for path in sorted((ROOT / package).rglob("*.md"))}
"""Documents beside the code, by path."""
DOCUMENTS = {"README.md": README, **BESIDE}


def shell_lines(text: str = README) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    return [line.strip() for block in blocks for line in block.split("\n") if line.strip()]


def project_commands() -> list[tuple[str, list[str]]]:
    """("trainer", ["train", "xnli_pgd", ...]) for every line that starts one of our programs, whatever launches it."""
    found = []
    for line in [line for text in DOCUMENTS.values() for line in shell_lines(text)]:
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
        assert pairs.pop("--then", "evaluate") == "evaluate"
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


@pytest.mark.parametrize("document", [*DOCUMENTS, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_files_and_links_exist(document: str) -> None:
    """A link is relative to its document; a part of a page is named as GitHub names headings."""
    folder, text = (ROOT / document).parent, (ROOT / document).read_text(encoding="utf-8")
    if document != "CHANGELOG.md":  # which names what once was
        for name in re.findall(r"`((?:trainer|data_prep|ds_configs|slurm|tests)/[\w./]*)`", text):
            assert (ROOT / name).exists() or "/X." in name, name
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
                for heading in re.findall(r"^#+ (.*)$", prose, flags=re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        path, _, part = target.partition("#")
        assert target.startswith("https://") or (folder / path).exists(), target
        assert path or part in headings, target


def test_every_document_beside_the_code_is_linked() -> None:
    assert not [path for path in BESIDE if f"]({path})" not in README]


def table(heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its head."""
    lines = README.partition(f"\n{heading}\n")[2].split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start + 2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_files_of_the_publishers_are_read_under_these_names() -> None:
    task, found = "", set()
    for name, files, _ in table("### 1. Prepare the data"):
        task = name or task
        for file in re.findall(r"`([^`]+)`", files):
            assert any(layout.match(file) for layout in TASKS[task].layouts), (task, file)
            found.add(task)
    assert found == {"xnli", "mnli", "pawsx", "panx", "udpos", "xquad"}


def named(heading: str) -> set[str]:
    return {name for row in table(heading) for name in re.findall(r"`([^`]+)`", row[0])}


def test_tables_name_every_method_kind_family_and_study() -> None:
    assert named("## Methods") >= set(METHODS)
    assert named("## Tasks") == set(TASK_KINDS)
    assert named("## Encoders") == set(FAMILIES)
    assert named("## Studies: a research question in one command") == {
        path.stem for path in (ROOT / "trainer/studies").glob("*.yaml")} - {"demo"}


def test_what_finds_the_way_are_commands() -> None:
    commands = {" ".join(words) for words, _ in entries(TRAIN)}
    shown = [text for _, cell in table("## Find your way") for text in re.findall(r"`([^`]+)`", cell)
             if not re.match(r"--|COMMAND|source", text)]
    assert len(shown) > 15
    assert not [text for text in shown if not commands & {text.split()[0], " ".join(text.split()[:2])}]


def test_the_citation_has_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"version = {{{project['version']}}}" in README
    assert f"author = {{{{{project['name']}}}}}" in README
