"""The run record, `<run>/run.json`: what ran, on which data, with which versions, and how it ended.

The only file that writes or reads it. Unknown fields are kept; fields that records of earlier versions lack have a
default here.
"""

from __future__ import annotations

import importlib.metadata
import platform
import socket
import subprocess
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from data_prep.base.errors import InputError
from data_prep.base.files import first_error, read_json, write_json
from trainer.results.scores import Count, Label, MetricName, Printed, Settings, Sha256, WeightsHash
from trainer.runs.folder import DONE, FAILED, RECORD

COMMIT_FILE = "COMMIT"  # in a snapshot of the code, which has no history to ask
PACKAGES = ("torch", "deepspeed", "transformers", "datasets", "tokenizers", "numpy")
CellName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+-]+/[A-Za-z0-9_+-]+/[A-Za-z0-9_+-]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Best(_Part):
    """The best evaluation of one dev cell."""

    value: float
    step: Count


class Selection(_Part):
    """The evaluation that chose `best/`."""

    step: Count
    cell: CellName | None = None
    """None where the run has no selection cell and keeps its last step."""
    metric: str = ""
    value: float | None = None


class DevCell(_Part):
    """A dev cell by content."""

    rows_sha256: Sha256 = ""
    chance: float | None = Field(default=None, ge=0, le=1)
    """Share of the most frequent class."""
    task: str = ""
    """Of a mixture, the task whose head predicts it."""


class TaskRecord(_Part):
    """One of the tasks of a mixture."""

    kind: Label
    labels: list[str]
    metric: MetricName
    metrics: list[MetricName] = []
    rows: Count = 0
    """Training rows."""
    share: float = Field(default=1.0, ge=0, le=1)
    """Probability of its draw."""
    loss_weight: float = 1.0


class TokenizerRecord(_Part):
    """The tokenizer that the shards were built with."""

    name: str
    fingerprint: str
    vocab_size: int


class RunRecord(_Part):
    """The content of run.json, from the start of training on."""

    name: str
    label: Label
    method: str
    seed: Count
    kind: Label
    labels: list[str]
    metric: MetricName
    max_length: int = Field(ge=5, lt=2**31)
    mask_ratio: float = Field(ge=0, le=1, validation_alias=AliasChoices("mask_ratio", "mask_share"))
    tokenizer: TokenizerRecord
    train_languages: list[str]
    shards_root: str
    """As the recipe says it; `shards_path` is absolute."""
    shards_path: str | None = None
    started_in: str | None = None
    """Working directory of training, relative to the run's folder; None if unknown."""
    suite: Printed | None = None
    """Suite that it is to be evaluated on (`evaluation.suite`)."""
    status: Literal["running", "done", "collapsed", "diverged"] = "done"
    task: str = ""
    train_cells: list[str] = []
    rows_sha256: dict[str, str] = {}
    """Of every training and dev cell, by name."""
    tasks: dict[str, TaskRecord] = {}
    """Of a mixture, in the order of its training cells; `task`, `kind`, `labels` and `metric` are those of `best/`."""
    best_task: str = ""
    """The one of them whose head `best/` holds; the others' are in `best/heads/`."""
    drawn_shares: dict[str, float] = {}
    """Share of the drawn parts of steps by task, when training ended."""
    dev_cells: dict[CellName, DevCell] = {}
    settings: Settings = {}
    """Settings that determine the run except its seed (`trainer.runs.identity`)."""
    recipe_digest: str = ""
    origin_run: WeightsHash = ""
    weights_from: dict[str, Any] = {}
    max_steps: Count | None = Field(default=None, validation_alias=AliasChoices("max_steps", "updates"))
    """Length of the run."""
    world_size: Count | None = None
    zero_stage: Count | None = None
    device: str = ""
    precision: Printed = ""
    kernels: Printed = ""
    slurm_job: str | None = None
    host: str = ""
    started: str = ""
    versions: dict[str, str] = {}
    # The outcome, once training has ended.
    selection: Selection | None = None
    oracle_by_cell: dict[CellName, Best] = {}
    at_chance: bool | None = None
    """True if the best model is not significantly above chance; None where chance is unknown."""
    chance: float | None = None
    site_norm: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    examples: Count | None = None
    wall_seconds: float | None = None
    why: str = ""
    """Why training was given up."""

    def head_of(self, task: str, kind: str, labels: list[str]) -> str | None:
        """The task whose head predicts cells of `task`: that of its name, else the first of this kind and these labels.

        None where none fits; "" in a run of one task that fits.
        """
        if not self.tasks:
            return "" if (kind, labels) == (self.kind, self.labels) else None
        fitting = [name for name, one in self.tasks.items() if (one.kind, one.labels) == (kind, labels)]
        return next((name for name in (task, task.partition("+")[0], *fitting) if name in fitting), None)

    def task_record(self, head: str) -> TaskRecord:
        """Kind, labels and metric behind a head, as `head_of` names it."""
        return self.tasks.get(head) or TaskRecord(kind=self.kind, labels=self.labels, metric=self.metric)


class FinishedRecord(RunRecord):
    """The record of a run that has ended: its outcome is known."""

    selection: Selection
    oracle_by_cell: dict[CellName, Best]


def update_record(folder: Path, **fields: Any) -> None:
    """Merge `fields` of RunRecord into the record of the run in `folder`, replaced atomically.

    Raises pydantic.ValidationError, and writes nothing, where the outcome is no RunRecord.
    """
    before = read_record(folder)
    known = before.model_dump(exclude_unset=True) if before else {
        "host": socket.gethostname(), "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "versions": versions()}
    write_json(folder / RECORD, RunRecord.model_validate({**known, **fields}).model_dump(exclude_unset=True))


def read_record(folder: Path) -> RunRecord | None:
    """The record of the run in `folder`, whatever its state; None where there is none or it is damaged."""
    try:
        return RunRecord.model_validate(read_json(folder / RECORD))
    except ValidationError:
        return None


def read_finished(folder: Path, *, failed: bool = False) -> FinishedRecord:
    """The record of a finished run; with `failed`, also of one that collapsed or diverged.

    Raises InputError where there is none, the run has not ended, or the record is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected a run's")
    gave_up = failed and read_json(folder / RECORD).get("status") in FAILED
    if not (folder / RECORD).is_file() or not ((folder / DONE).is_file() or gave_up):
        raise InputError(f"{folder} is not a finished run (no {DONE}); `python -m trainer train {folder}` goes on")
    try:
        return FinishedRecord.model_validate_json((folder / RECORD).read_bytes())
    except OSError as error:
        raise InputError(f"{folder / RECORD} cannot be read ({error.strerror})") from None
    except ValidationError as error:
        raise InputError(f"{folder / RECORD}: {first_error(error)}; train the run again, or copy its folder again"
                         ) from None


def doubtful_end(run: Path) -> str:
    """Why the model of an ended run may be of no use to another; empty where nothing speaks against it."""
    record = read_record(run)
    if record is not None and record.status in FAILED:
        return record.status
    return "ended at chance on its dev cell" if record is not None and record.at_chance else ""


def versions() -> dict[str, str]:
    """Versions of Python, the packages that shape results, and the commit of the code where it is known."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    found["commit"] = commit()
    return found


def commit() -> str:
    """The commit of this code, from git or from the snapshot's COMMIT file; "unknown" where neither says."""
    root = Path(__file__).parent.parent.parent
    if (root / COMMIT_FILE).is_file():
        return (root / COMMIT_FILE).read_text(encoding="utf-8").strip()
    try:
        head = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
                              capture_output=True, text=True, timeout=10, check=False, process_group=0)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return head.stdout.strip() or "unknown"
