"""Record of an average of weights, `average.json` beside them: what was averaged, by step and hash."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data_prep.base.errors import InputError
from data_prep.base.files import first_error
from trainer.results.averages import words_of
from trainer.results.scores import Count, Settings, Sha256
from trainer.runs.folder import AVERAGE

AVERAGE_FILE = "average.json"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Averaged(_Part):
    """One of the models that were averaged."""

    run: str
    """Name of its run."""
    seed: Count
    step: Count
    weights: dict[str, Sha256]
    """Hash by file."""


class AverageRecord(_Part):
    """The content of average.json."""

    settings: Settings
    """`average.last`, `average.runs` or both: what an average adds to the settings of its runs."""
    averaged: list[Averaged] = Field(min_length=1)
    """In the order of summation: steps or seeds ascending."""

    @property
    def step(self) -> int:
        """The last step averaged."""
        return max(one.step for one in self.averaged)

    @property
    def words(self) -> str:
        """Suffix of an average in the label of its runs, e.g. "average of last 3"."""
        return words_of(self.settings)


def read_average(folder: Path) -> AverageRecord | None:
    """The record of the average in `folder`; None where there is none. Raises InputError for a damaged one."""
    path = folder / AVERAGE_FILE
    if not path.is_file():
        return None
    try:
        return AverageRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path}: {first_error(error)}; remove {folder} and average again") from None


def average_of(run: Path) -> AverageRecord:
    """The record of `<run>/average/`. Raises InputError where the run has none."""
    if (record := read_average(run / AVERAGE)) is None:
        raise InputError(f"{run} has no {AVERAGE}/; make it with `python -m trainer average {run}`")
    return record
