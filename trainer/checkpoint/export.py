"""`python -m trainer export RUN --out DIR [--task T] [--overwrite]`: a run's best model as a transformers folder.

Input: `<run>/best/`. Output: DIR with config.json, model.safetensors and the tokenizer's files, loadable without this
project through `AutoModelForSequenceClassification.from_pretrained` (or `AutoModelForMaskedLM`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.base.files import put_in_place
from data_prep.base.lock import working_path
from trainer.data.tasks import nearest
from trainer.kinds import KINDS
from trainer.model.encoders import FAMILIES
from trainer.model.folder import refuse_to_replace
from trainer.model.heads import load_head
from trainer.model.pretrained import load_model, read_config
from trainer.runs.average import average_of
from trainer.runs.folder import AVERAGE, BEST, DONE, FAILED, HEADS, WEIGHTS
from trainer.runs.record import doubtful_end, read_record


def export(run: str, *, out: str, task: str | None = None, weights: str = "best", overwrite: bool = False) -> int:
    """Copy a run's best checkpoint to OUT as a plain transformers folder.

    task: of a run of several tasks, the one whose head to export (default: that of the selection cell). weights: best,
    or average, the mean of its last snapshots (`trainer average`).

    A run that is unfinished, collapsed, diverged or at chance is exported with a warning that says so.
    Raises InputError if the run has no best checkpoint or a damaged one, if OUT exists and --overwrite is not given or
    OUT is no model, and if another process is writing OUT.
    """
    if weights not in (BEST, AVERAGE):
        raise InputError(f"--weights must be {BEST} or {AVERAGE}, found {weights!r}")
    best, target = Path(run) / weights, Path(out)
    if weights == AVERAGE:
        average_of(Path(run))
    if not (best / WEIGHTS).is_file():
        raise InputError(f"{best} holds no model; expected the folder of a run that has been evaluated at least once")
    read_config(str(best), "export")  # which also looks at the weights beside it
    head = _head(Path(run), task)
    refuse_to_replace(target, overwrite)
    with working_path(target, "export") as temporary:
        refuse_to_replace(target, overwrite)  # another process may have finished it meanwhile
        temporary.mkdir()
        left: tuple[str, ...] = ()
        if head is not None:
            left = ("config.json", WEIGHTS)
            model = _with_head(best, *head)
            model.save_pretrained(temporary, save_original_format=False)
        for file in sorted(best.iterdir()):
            # A link may lead to what was never meant to be given away.
            if file.is_file() and not file.is_symlink() and file.name not in left:
                shutil.copyfile(file, temporary / file.name)
        put_in_place(temporary, target, overwrite)
    print(f"{target}: load it with transformers' from_pretrained")
    if warning := _doubt(Path(run)):
        print(f"warning: {warning}", flush=True)
    return 0


def _head(run: Path, task: str | None) -> tuple[str, str, str] | None:
    """(kind of the head of `best/`, `task`, its kind); None for the head of `best/`."""
    record = read_record(run)
    tasks = record.tasks if record is not None else {}
    if task is None or record is None or task == (record.best_task or record.task):
        return None
    if task not in tasks:
        raise InputError(f"--task {task}: no task of {run}; {nearest(task, tasks or [record.task])}")
    return tasks[record.best_task].kind, task, tasks[task].kind


def _with_head(best: Path, own: str, task: str, kind: str) -> Any:
    """The model of `task`, of this kind, on the encoder of the model in `best`, of kind `own`."""
    config = read_config(str(best), "export")
    family = FAMILIES[config.model_type]
    first, _ = load_model(family.auto_class(KINDS[own].head), str(best), config, "export", local_files_only=True)
    folder = best / HEADS / task
    of_head = read_config(str(folder), "export", check_weights=False)
    return load_head(first, of_head, family.auto_class(KINDS[kind].head), folder / WEIGHTS)


def _doubt(run: Path) -> str:
    """Warning on an unfinished or failed run, or one at chance; empty for a sound one."""
    record, doubt = read_record(run), doubtful_end(run)
    if doubt in FAILED:
        chosen = record.selection if record is not None else None
        step = "its best step so far" if chosen is None else f"step {chosen.step}"
        return f"training of {run} {doubt}; this is the model of {step}, of a failed run"
    if not (run / DONE).is_file():
        return (f"{run} is unfinished (no {DONE}): this is the best model so far, not that of the whole training; "
                "train it to its end and export it again")
    return f"{run} {doubt}: this model is no better than always naming one class" if doubt else ""
