"""Commands `python -m trainer toy data` and `toy languages`: the artificial world as nodes of a study.

Input: an output folder and a seed. Output: raw benchmark files, or a model folder, each renamed into place whole and
with a record of its arguments (`toy.json`), by which the same command is known to be finished and another one refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.base.files import file_sha256, put_in_place, read_json, working_folder
from data_prep.base.lock import held_beside
from trainer.demo import RECORD
from trainer.demo.languages import languages as demo_languages
from trainer.demo.languages import study_languages
from trainer.demo.write import describe_languages, write_world
from trainer.demo.write_tasks import StudySizes, write_study_world
from trainer.runs.folder import WEIGHTS

FORMAT = 1
TASKS = ("all", "demo")


def data(out: str, *, seed: int = 0, sizes: str | None = None, tasks: str = "all") -> None:
    """Write raw benchmark files of an artificial world to OUT, a folder per task, as `data_prep build` reads them.

    seed: of the languages and the rows. sizes: comma list of NAME=ROWS, e.g. `documents=20000,pairs=16000`; names are
    documents, rich_documents, text_dev, easier_pairs, easier_dev, pairs, dev, test, harder_pairs, sentiment,
    similarity, tagged, translations, unlabelled, held_out. tasks: all, or demo for only the files of
    `trainer demo`, in its languages.
    """
    if tasks not in TASKS:
        raise InputError(f"--tasks must be {' or '.join(TASKS)}, found {tasks!r}")
    folder, chosen = Path(out), parse_sizes(sizes)
    record = {"format": FORMAT, "seed": seed, "sizes": asdict(chosen), "tasks": tasks}
    with held_beside(folder, "toy"):
        if _finished(folder, record):
            return
        with working_folder(folder, "toy") as working:
            spoken = demo_languages(seed) if tasks == "demo" else study_languages(seed)
            if tasks == "demo":
                write_world(working, seed, spoken, chosen)
            else:
                write_study_world(working, seed, spoken, chosen)
            describe_languages(working, spoken)
            (working / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")
            put_in_place(working, folder)
    print(f"{folder} is written")


def languages(pretrained: str, out: str, *, seed: int = 0) -> None:
    """Copy the model at PRETRAINED, a folder, to OUT with distance languages and neighbours in its vocabulary.

    seed: of their directions; that of the data.
    """
    weights = Path(pretrained) / WEIGHTS
    if not weights.is_file():
        raise InputError(f"{weights} is missing; expected the folder of a finished model, as RUN/best")
    folder = Path(out)
    record = {"format": FORMAT, "seed": seed, "weights": file_sha256(weights)}
    with held_beside(folder, "toy"):
        if _finished(folder, record):
            return
        from trainer.demo.distance import extend_by_distance  # imports torch, which takes seconds

        done = extend_by_distance(Path(pretrained), folder, seed, record)
    print(f"{folder} is written: {done.tokens} tokens added, mean norm of the English rows {done.mean_norm:.2f}")


def parse_sizes(words: str | None) -> StudySizes:
    """Default sizes with those of `words` (see `data`). Raises InputError for a wrong name or number."""
    known = [field.name for field in fields(StudySizes) if isinstance(field.default, int)]
    given: dict[str, int] = {}
    for word in (words or "").split(",") if words is not None else ():
        name, _, count = (part.strip() for part in word.partition("="))
        if name not in known or name in given or not count.isdecimal() or not 1 <= int(count) <= 10**7:
            raise InputError(f"--sizes: found {word!r}, expected NAME=ROWS, each name once, 1 to 10,000,000 rows; "
                             f"names: {', '.join(known)}")
        given[name] = int(count)
    return replace(StudySizes(), **given)


def _finished(folder: Path, record: Mapping[str, Any]) -> bool:
    """True, with a message, for a folder made with the arguments in `record`; raises InputError for another one."""
    if not folder.exists():
        return False
    found = read_json(folder / RECORD)
    if found == record:
        print(f"{folder} is finished")
        return True
    differing = [key for key in record if found.get(key) != record[key]] if found else []
    raise InputError(f"{folder} exists, {f'made with another {differing[0]}' if differing else f'without {RECORD}'}; "
                     "choose another OUT, or remove it")
