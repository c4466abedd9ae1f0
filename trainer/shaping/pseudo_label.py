"""`python -m trainer pseudo_label RUN CELL... --name self [--confidence 0.9]`: self-training (arXiv 2109.00194).

Inputs: a run's `best/`, and cells whose texts are to be labelled; their gold labels are not read (but by --score).
Outputs: cells `<task>+<name>/train/<language>` of the rows that the model is sure of, with its labels, and with ids and
keys as they were. The manifest's `source` names cell, run, hash of its weights and settings, `skipped` the rows left
out by predicted class. All inputs are checked before the first prediction.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.progress import track

from data_prep.base.errors import InputError
from data_prep.shards.columns import COLUMN_TYPES
from data_prep.shards.manifest import MANIFEST_FILE, Manifest, read_manifest
from data_prep.shards.read import Cell
from data_prep.shards.write import refuse_to_replace, write_cell
from trainer.data.loader import CELL_PATTERN, Examples
from trainer.distributed.ranks import find_ranks
from trainer.evaluate.certainty import gold_counts, least_confidence
from trainer.evaluate.inputs import check_precision, comma_list, head_of, load_best, open_cells
from trainer.evaluate.outputs import checkpoint_sha256
from trainer.evaluate.predict import measure
from trainer.evaluate.shards_root import find_shards_root
from trainer.kinds import KINDS, named_kind
from trainer.kinds.kind import Kind
from trainer.results.numbers import PERCENT
from trainer.runs.record import FinishedRecord, read_finished


@dataclass(frozen=True)
class Choice:
    """Settings of the choice of rows."""

    confidence: float
    max_rows: int | None
    balanced: bool

    def __str__(self) -> str:
        most = "" if self.max_rows is None else f", at most {self.max_rows} rows"
        return f"confidence {self.confidence:g}{most}{', balanced' * self.balanced}"


def pseudo_label(
    run: str, *cells: str, name: str, confidence: float = 0.9, max_rows: int | None = None, balanced: bool = False,
    allow_test: bool = False, score: bool = False, shards: str | None = None, batch_size: int = 64,
    precision: str = "fp32",
) -> int:
    """Label cells with a run's best model and keep what it is sure of, as training cells of `<task>+<name>`.

    cells: task/split/language, in words of their own or with commas between, with gold labels or without; these are not
    read. confidence: least probability of the predicted class; of a sentence of words, of its least certain tag.
    max_rows: keep this many, the most confident. balanced: the same number per class. shards: folder of the cells, and
    of what is written. score: also print the accuracy of the kept labels, which looks at gold labels: not a number to
    choose settings by.

    allow_test: take cells of a test split. The next run then trains on the texts that it is scored on (transductive),
    and on their translations if they are parallel: its scores there do not compare with those of other runs. The texts
    of a dev cell likewise make the choice of a checkpoint on it optimistic.
    """
    folder, cells = Path(run), tuple(cell for words in cells for cell in comma_list(words))
    record = read_finished(folder)
    kind = _checked(record, cells, name, Choice(confidence, max_rows, balanced), allow_test, batch_size)
    check_precision(precision)
    root, choice = find_shards_root(folder, record, shards), Choice(confidence, max_rows, balanced)
    opened = [open_cells(root, task, split, [language], record)[0]
              for task, split, language in (cell.split("/") for cell in dict.fromkeys(cells))]
    for cell in opened:
        if head_of(cell, record) not in ("", record.best_task):
            raise InputError(f"{cell.path}: {folder} has several tasks, and pseudo_label takes the head of "
                             f"{record.best_task}; name cells of its kind and labels")
    weights = checkpoint_sha256(folder)[:12]
    drafts = {cell.path: _draft(cell.manifest, name, f"{record.name} ({weights}), {precision}, {choice}")
              for cell in opened}
    targets = {cell.path: root / drafts[cell.path].task / "train" / cell.manifest.language for cell in opened}
    if len(set(targets.values())) < len(targets):
        raise InputError("pseudo_label: two of the cells are of one task and language and would be written to one "
                         "cell; label them under two names")
    todo = [cell for cell in opened if not _is_done(targets[cell.path], drafts[cell.path])]
    if not todo:
        return 0
    model, device = load_best(folder, record, precision, [cell.manifest.language for cell in todo])
    for cell in track(todo, description=f"{record.name}: labelling", transient=True):
        decoded, least, counts = measure(
            model, Examples([cell], record.max_length), batch_size, device, find_ranks(),
            lambda logits, batch, cpu_batch: (kind.decode(logits, batch), least_confidence(kind, logits, cpu_batch),
                                              gold_counts(kind, logits, cpu_batch)))
        kept, skipped = choose(cell, decoded, least, choice, kind)
        written = write_cell(targets[cell.path], drafts[cell.path], [_labelled(cell, decoded, kept)],
                             closing=lambda skipped=skipped: {"skipped": skipped})  # type: ignore[misc]
        _report(targets[cell.path], written, counts[kept], score)
    return 0


def choose(cell: Cell, decoded: np.ndarray, least: np.ndarray, choice: Choice, kind: Kind
           ) -> tuple[np.ndarray, dict[str, int]]:
    """(rows of the cell to keep, ascending; numbers of examples left out by reason); windows stay together.

    decoded, least: prediction and confidence of each row. Raises InputError where nothing would be kept.
    """
    ids, first, example = np.unique(cell.table["id"].to_numpy(), return_index=True, return_inverse=True)
    sure = np.ones(len(ids))
    np.minimum.at(sure, example, least)
    # the class of each example, for balance and for reasons; one for all where an example has several
    classes = decoded[first].astype(np.int64) if kind.one_class else np.zeros(len(ids), dtype=np.int64)
    names = cell.manifest.labels if kind.one_class else [""]
    order = np.argsort(-sure, kind="stable")
    confident = order[sure[order] >= choice.confidence]
    if not len(confident):
        raise InputError(f"{cell.path}: no prediction reaches confidence {choice.confidence:g}, the highest is "
                         f"{sure.max():.4f}; lower --confidence")
    kept = confident[:choice.max_rows]
    if choice.balanced:
        of_class = [confident[classes[confident] == number] for number in range(len(names))]
        each = min(map(len, of_class)) if choice.max_rows is None else min(*map(len, of_class),
                                                                          choice.max_rows // len(names))
        if not each:
            fewest = names[int(np.argmin([len(rows) for rows in of_class]))]
            raise InputError(f"{cell.path}: --balanced leaves nothing: {min(map(len, of_class))} confident predictions "
                             f"of {fewest!r}; lower --confidence, raise --max_rows, or leave --balanced out")
        kept = np.concatenate([rows[:each] for rows in of_class])
    is_kept = np.isin(np.arange(len(ids)), kept)
    reasons = Counter[str]()
    for number, left in enumerate(names):
        of_it = (classes == number) & ~is_kept
        below = int((of_it & (sure < choice.confidence)).sum())
        what = f"{left}, " if left else ""
        reasons[f"{what}below confidence {choice.confidence:g}"] += below
        reasons[f"{what}beyond the number of rows"] += int(of_it.sum()) - below
    return np.flatnonzero(is_kept[example]), {reason: n for reason, n in reasons.items() if n}


def _checked(record: FinishedRecord, cells: tuple[str, ...], name: str, choice: Choice, allow_test: bool,
             batch_size: int) -> Kind:
    """The run's kind. Raises InputError for a kind or flags that do not fit."""
    kind = named_kind(record.kind)
    if kind.classes is None:
        fit = ", ".join(one for one, of in KINDS.items() if of.classes is not None)
        raise InputError(f"pseudo_label needs a model that predicts classes, found kind {record.kind}; kinds: {fit}")
    if choice.balanced and not kind.one_class:
        raise InputError(f"--balanced needs one class per example; a task of kind {record.kind} has none")
    if not 0 <= choice.confidence <= 1:
        raise InputError(f"--confidence must lie from 0 to 1, found {choice.confidence:g}")
    for flag, value in (("max_rows", choice.max_rows), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise InputError(f"--{flag} must be at least 1, found {value}")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
        raise InputError(f"--name must be letters, digits, - and _, found {name!r}")
    if not cells:
        raise InputError("pseudo_label: missing cells; name them as task/split/language behind the run")
    for cell in cells:
        if not CELL_PATTERN.fullmatch(cell) or "*" in cell:
            raise InputError(f"expected a cell as task/split/language, found {cell!r}")
        if cell.split("/")[1] == "test" and not allow_test:
            raise InputError(f"{cell} is a test cell: a run trained on its texts must not be scored on it as others "
                             "are; name unlabelled or training cells, or add --allow_test (see --help)")
    if (ranks := find_ranks()).world_size > 1:
        raise InputError(f"pseudo_label runs in one process, found {ranks.world_size} ranks; start it without a "
                         "launcher")
    return kind


def _draft(manifest: Manifest, name: str, by: str) -> Manifest:
    """Manifest of the labelled rows, without what is counted from them."""
    cell = f"{manifest.task}/{manifest.split}/{manifest.language}"
    return Manifest.model_validate({**manifest.model_dump(), **{
        "task": f"{manifest.task}+{name}", "split": "train", "parallel": False, "rows": 0, "further_windows": 0,
        "rows_sha256": "", "has_labels": False, "label_counts": {}, "tokens": 0, "shards": [], "skipped": {},
        "kept": {}, "source_sha256": manifest.rows_sha256, "revision": "",
        "source": f"{cell} labelled by {by}"}})


def _is_done(target: Path, draft: Manifest) -> bool:
    """True, with a line, for a cell finished from the same rows, run and settings. Raises InputError for another."""
    if not (target / MANIFEST_FILE).exists():
        refuse_to_replace(target)
        return False
    there = read_manifest(target)
    if (there.source, there.source_sha256) != (draft.source, draft.source_sha256):
        raise InputError(f"{target} is finished from {there.source!r}, but {draft.source!r} was requested; remove it, "
                         "or choose another --name")
    print(f"skipped  {target} (finished, {there.extent})")
    return True


def _labelled(cell: Cell, decoded: np.ndarray, rows: np.ndarray) -> pa.Table:
    """These rows of a cell with predictions for labels."""
    table = cell.take(rows)
    (name,) = (name for name, kind in cell.manifest.columns.items() if COLUMN_TYPES[kind].gold)
    place, field = table.schema.get_field_index(name), table.schema.field(name)
    return table.set_column(place, field, pa.array(list(decoded[rows]), type=field.type))


def _report(target: Path, manifest: Manifest, counts: np.ndarray, score: bool) -> None:
    """Print what was written, the kept share per class, and with `score` the share of right labels."""
    left = sum(manifest.skipped.values())
    print(f"written  {target}: {manifest.extent} of {manifest.examples + left:,}")
    for label in manifest.labels:
        if others := [n for reason, n in manifest.skipped.items() if reason.startswith(f"{label}, ")]:
            kept = manifest.label_counts[label]
            print(f"         {label}: kept {kept:,} of {kept + sum(others):,} "
                  f"({PERCENT.with_unit(kept / (kept + sum(others)))})")
    if score and counts[:, 2].sum():
        right = counts[:, 1].sum() / counts[:, 2].sum()
        print(f"         accuracy of the kept labels, by gold labels: {PERCENT.with_unit(right)}")
    elif score:
        print("         no gold labels to score the kept ones by")
