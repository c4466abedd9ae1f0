"""Loader of a finished run for predictions on sentences: `load_run`."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from data_prep.shards.tokenizers import tokenizer_dir, tokenizer_fingerprint
from data_prep.tasks import TASKS
from data_prep.tokenizer import load_tokenizer
from trainer.config.load import load_recipe
from trainer.data.tasks import nearest
from trainer.evaluate.inputs import load_heads
from trainer.kinds import UNTRAINED, named_kind
from trainer.model.folder import TOKENIZER_FILES
from trainer.predict.model import TaskModel, predictable
from trainer.robust.settings import BallSettings, MethodSettings, ball_of
from trainer.runs.average import average_of
from trainer.runs.folder import AVERAGE, BEST, CONFIG
from trainer.runs.record import FinishedRecord, doubtful_end, read_finished

_log = logging.getLogger(__name__)
PEEKED_ROWS = 100


def load_run(run: str | Path, *, task: str | None = None, weights: str = BEST) -> TaskModel:
    """The model of a finished run with its tokenizer, on a GPU where there is one, without dropout.

    task: of a mixture, the one whose head predicts (default: that of `best/`). weights: best, or average (of `trainer
    average`). Perturbations have the site, norm and scope of the run's method, and the unit that training measured.
    Nothing is downloaded. Raises InputError for a run without weights or tokenizer, a damaged one, an unknown task, and
    a kind of task that predicts nothing of a text.
    """
    folder = Path(run)
    record = read_finished(folder, failed=True)
    if weights not in (BEST, AVERAGE):
        raise InputError(f"--weights must be {BEST} or {AVERAGE}, found {weights!r}")
    if weights == AVERAGE:
        average_of(folder)
    head = _head(folder, record, task)
    about, name = record.task_record(head), head or record.task or "own"
    predictable(about.kind)
    tokenizer = _tokenizer(folder, record)
    models, _ = load_heads(folder, record, "fp32", (), [head], name=weights)
    model = models[head].model
    model.eval()
    if doubt := doubtful_end(folder):
        _log.warning("%s %s; take its predictions with care", folder, doubt)
    robust = _robust(folder)
    texts = None if name.partition("+")[0] in TASKS else _texts_in_cells(record, name)
    return TaskModel(
        model, tokenizer, kind=about.kind, labels=about.labels, max_length=record.max_length, task=name, texts=texts,
        ball=None if robust is None else ball_of(robust),
        site_norm=record.site_norm if isinstance(robust, BallSettings) and robust.relative else None)


def _head(folder: Path, record: FinishedRecord, task: str | None) -> str:
    """Key of the head among those of `load_heads`; "" in a run of one task."""
    if task is None:
        return record.best_task if record.tasks else ""
    if task in (record.tasks or [record.task]):
        return task if record.tasks else ""
    if task in TASKS and TASKS[task].kind in UNTRAINED:
        named_kind(TASKS[task].kind)  # which says what scores it
    raise InputError(f"--task {task}: no task of {folder}; {nearest(task, list(record.tasks) or [record.task])}")


def _tokenizer(folder: Path, record: FinishedRecord) -> object:
    """The tokenizer beside the weights, else beside the shards. Raises InputError where it is not the run's."""
    places = [folder / BEST, tokenizer_dir(record.shards_path or record.shards_root, record.tokenizer.fingerprint)]
    found = next((place for place in places if any((place / file).is_file() for file in TOKENIZER_FILES)), None)
    if found is None:
        raise InputError(f"{folder / BEST} holds no tokenizer, nor do the shards of the run ({places[1]}); copy that "
                         f"of the shards ({record.tokenizer.name}) into the folder")
    loaded = load_tokenizer(str(found))
    if (fingerprint := tokenizer_fingerprint(loaded)) != record.tokenizer.fingerprint:
        raise InputError(f"{found} holds tokenizer {fingerprint[:12]}, the run was trained with "
                         f"{record.tokenizer.fingerprint[:12]} ({record.tokenizer.name}); copy the run's folder again")
    return loaded


def _robust(folder: Path) -> MethodSettings | None:
    """`robust` of the run's merged recipe; None where there is no recipe."""
    if not (folder / CONFIG).is_file():
        return None
    return load_recipe(str(folder / CONFIG), announce=False).robust


def _texts_in_cells(record: FinishedRecord, task: str) -> int | None:
    """Number of texts in the first rows of a training cell of own data; None where the cells are not there."""
    for cell in (Path(*Path(path).parts[-3:]) for path in record.train_cells):
        with suppress(InputError, KeyError, OSError):
            if cell.parts[0].partition("+")[0] == task.partition("+")[0]:
                seconds = open_cell(Path(record.shards_path or record.shards_root) / cell).table["second_ids"]
                return 2 if any(len(ids) for ids in seconds.slice(0, PEEKED_ROWS).to_pylist()) else 1
    return None
