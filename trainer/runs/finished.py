"""Reads the `run.json` of a run that has ended, the door from training to what comes after: evaluate and diagnose.

Input: a run's folder, perhaps someone else's. Output: the record, checked as far as it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data_prep.base.errors import InputError
from data_prep.base.files import first_error, read_json
from trainer.results.scores import Count, Label, Printed, Settings, Sha256, WeightsHash
from trainer.runs.folder import DONE, RECORD

FAILED = ("collapsed", "diverged")
CellName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+-]+/[A-Za-z0-9_+-]+/[A-Za-z0-9_+-]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Selection(_Part):
    step: Count
    cell: CellName | None = None


class _Best(_Part):
    value: float
    step: Count


class _DevCell(_Part):
    rows_sha256: Sha256
    chance: float | None = Field(ge=0, le=1)


class _Tokenizer(_Part):
    name: str
    fingerprint: str
    vocab_size: int


class _Record(_Part):
    """The fields of a record that others read."""

    name: str
    label: Label
    method: str
    seed: Count
    kind: Literal["pair", "mlm"]
    labels: list[str]
    metric: str
    max_length: int = Field(ge=5, lt=2**31)
    mask_share: float = Field(ge=0, le=1)
    tokenizer: _Tokenizer
    shards_root: str
    shards_path: str | None = None
    train_languages: list[str]
    selection: _Selection
    oracle_by_cell: dict[CellName, _Best]
    site_norm: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    # Records of earlier versions lack what follows.
    status: Literal["running", "done", "collapsed", "diverged"] = "done"
    settings: Settings = {}
    origin_run: WeightsHash = ""
    dev_cells: dict[CellName, _DevCell] = {}
    precision: Printed = ""
    kernels: Printed = ""


def read_record(folder: Path, failed: bool = False) -> dict[str, Any]:
    """The record of a finished run; with `failed`, also of one that training gave up (collapsed or diverged).

    Raises InputError where there is none, the run has not ended, or the record is damaged.
    """
    done = (folder / DONE).is_file()
    gave_up = read_json(folder / RECORD).get("status") in FAILED
    if not (folder / RECORD).is_file() or not (done or (failed and gave_up)):
        raise InputError(f"{folder} is not a finished run (no {DONE}); run `python -m trainer train` to its end first")
    try:
        return _Record.model_validate_json((folder / RECORD).read_bytes()).model_dump()
    except OSError as error:
        raise InputError(f"{folder / RECORD} cannot be read ({error.strerror})") from None
    except ValidationError as error:
        raise InputError(f"{folder / RECORD}: {first_error(error)}; train the run again, or copy its folder "
                         "again") from None
