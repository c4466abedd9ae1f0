"""Renders a job script: its template (`slurm/<kind>.sbatch`) with the site's options and the job's words filled in.

Input: the work, options of sbatch, the folder of the job's record. Output: the script's text, which runs the snapshot
of the code in that folder and nothing else of the project.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.base.errors import InputError
from slurm.jobs import RECIPE, Work
from slurm.submission import CODE

TEMPLATES = Path(__file__).parent
PLACE = "code=. record=\n"
"""The line of a template that a rendered script has something else for."""
_OPTION = re.compile(r"#SBATCH --([a-z-]+)(?:=(\S*))?\n")
_VALUE = re.compile(r"[^\s\"'\\\x00-\x1f\x7f]+")  # sbatch reads quotes and backslashes in the script's head


def render(work: Work, options: Mapping[str, str | None], record: Path, lives: int | None = None) -> str:
    """The script of `work`.

    options: of sbatch, by their long names, in place of the template's or beside them; None takes one out, "" is a
    switch. record: absolute; the code's snapshot is its `code/`. lives: how often the job may start.
    Raises InputError for a value that the head of a script cannot hold.
    """
    text = (TEMPLATES / f"{work.kind}.sbatch").read_text(encoding="utf-8")
    number = "%A_%a" if work.elements is not None else "%j"
    head: dict[str, str | None] = dict(_OPTION.findall(text))
    head |= {"job-name": re.sub(r"[^\w.+-]", "_", work.name), "output": f'"{quoted(record)}/{number}.out"'}
    if work.elements is not None:
        head["array"] = f"0-{work.elements - 1}"
    for name, value in options.items():
        if value and not _VALUE.fullmatch(value):
            raise InputError(f"--{name} {value!r} cannot stand in a job script: no blanks, quotes or backslashes")
        head[name] = value
    lines = "".join(f"#SBATCH --{name}{'=' if value else ''}{value}\n" for name, value in head.items()
                    if value is not None)
    comments, _, rest = text.partition("#SBATCH ")
    program = _OPTION.sub("", "#SBATCH " + rest)
    return comments + lines + program.replace(PLACE, _place(work, record, lives))


def quoted(path: Path) -> str:
    """`path` for the head of a script, where sbatch fills in what stands behind `%`, and reads double quotes."""
    text = str(path)
    if found := re.search(r"[\"\\\x00-\x1f\x7f]", text):
        raise InputError(f"{text!r}: a job script cannot name a folder with {found[0]!r} in it; rename it, or work in "
                         "another one")
    return text.replace("%", "%%")


def _place(work: Work, record: Path, lives: int | None) -> str:
    """What stands in place of PLACE: where code and record lie, and the words that the script is given."""
    words: Sequence[str] = [str(record / work.recipe[0]) if word == RECIPE and work.recipe else word
                            for word in work.words]
    for word in words:
        if re.search(r"[\x00-\x1f\x7f]", word):
            raise InputError(f"{word!r}: a control character on the command line; leave it out")
    allowed = "" if lives is None else f" lives_allowed={lives}"
    return ("# Filled in by slurm.submit. The code is a snapshot.\n"
            f"code={shlex.quote(str(record / CODE))} record={shlex.quote(str(record))}{allowed}\n"
            f"set -- {shlex.join(words)}\n")
