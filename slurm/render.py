"""Render a job script: the template `slurm/<kind>.sbatch`, with sbatch options and the job's arguments filled in.

Input: the work, sbatch options, the folder of the job's record. Output: the text of the script, which runs only the
snapshot of the code in that folder.
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
"""Line of a template that is replaced in a rendered script."""
_OPTION = re.compile(r"#SBATCH --([a-z-]+)(?:=(\S*))?\n")
_VALUE = re.compile(r"[^\s\"'\\\x00-\x1f\x7f]+")  # sbatch interprets quotes and backslashes in the script's head


def render(work: Work, options: Mapping[str, str | None], record: Path, lives: int | None = None) -> str:
    """Text of the script of `work`.

    options: of sbatch by long name, overriding or extending the template's; None removes one, "" is a switch. record:
    absolute path; `code/` in it holds the snapshot. lives: how often the job may start, with its requeues. Raises
    InputError for a value that cannot stand in the head of a script.
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
    """Escape `path` for the head of a script, where sbatch expands `%` and interprets double quotes."""
    text = str(path)
    if found := re.search(r"[\"\\\x00-\x1f\x7f]", text):
        raise InputError(f"{text!r}: a job script cannot name a folder with {found[0]!r} in it; rename it, or work in "
                         "another one")
    return text.replace("%", "%%")


def _place(work: Work, record: Path, lives: int | None) -> str:
    """Replacement of PLACE: paths of code and record, and the arguments of the script."""
    words: Sequence[str] = [str(record / work.recipe[0]) if word == RECIPE and work.recipe else word
                            for word in work.words]
    for word in words:
        if re.search(r"[\x00-\x1f\x7f]", word):
            raise InputError(f"{word!r}: a control character on the command line; leave it out")
    allowed = "" if lives is None else f" lives_allowed={lives}"
    return ("# Filled in by slurm.submit. The code is a snapshot.\n"
            f"code={shlex.quote(str(record / CODE))} record={shlex.quote(str(record))}{allowed}\n"
            f"set -- {shlex.join(words)}\n")
