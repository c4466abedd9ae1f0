"""Result rows, which `evaluate` writes and `report` reads: one JSON line per score, in `<run>/eval/results.jsonl`.

A score belongs to a task, a split, a setting (standard, generalized or smoothed), the languages of the first and the
second text, a way of choosing the checkpoint, a metric, and the noise of the smoothed setting: `ResultRow.key`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from data_prep.base.errors import InputError
from trainer.metrics import METRICS
from trainer.results.jsonl import merge_keyed, read_keyed
from trainer.settings import RENAMED

FORMAT_VERSION: Literal[1] = 1
NO_LABEL = "no label"
MISSING = "missing: "  # the reason follows
RESULTS_FILE = "results.jsonl"

RowKey = tuple[str, str, str, str, str, str, str, str]

_NAME = re.compile(r"[A-Za-z0-9_+-]+")


def checked_name(name: str, what: str = "a name") -> str:
    """`name`, safe as a part of a file name: letters, digits, ``-``, ``_`` and ``+`` only. Raises InputError otherwise.

    Tasks, splits and languages become file names; a name with a dot or a slash could leave its folder.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{what} may hold letters, digits, '-', '_' and '+' only, found {name!r}")
    return name


def _is_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("may hold letters, digits, '-', '_' and '+' only")
    return value


def _is_metric(value: str) -> str:
    if value not in METRICS:
        raise ValueError(f"must be one of {', '.join(METRICS)}")
    return value


def _under_new_names(settings: Any) -> Any:
    return {RENAMED.get(key, key): value for key, value in settings.items()} if isinstance(settings, dict) else settings


def _is_inside(value: str) -> str:
    """A path relative to the run's `eval/` folder that stays within it."""
    parts = value.split("/")
    if not value.isprintable() or "\\" in value or any(part in ("", ".", "..") for part in parts):
        raise ValueError("must be a relative path inside the run's eval folder")
    return value


Name = Annotated[str, AfterValidator(_is_name)]
MetricName = Annotated[str, AfterValidator(_is_metric)]
PathInside = Annotated[str, AfterValidator(_is_inside)]
# Bounds far beyond any measurement, within which the sums and squares of a report stay finite.
Count = Annotated[int, Field(ge=0, lt=2**63)]
Length = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
LARGEST_VALUE = 1e30
Label = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=200)]
Printed = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=10_000)]
Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
"""sha256 in hex; empty if unknown."""
Setting = bool | Annotated[int, Field(ge=-(2**63), lt=2**63)] | Annotated[float, Field(allow_inf_nan=False)] | Printed
Settings = Annotated[dict[Printed, Setting | None], Field(max_length=200), BeforeValidator(_under_new_names)]
"""Settings that determine a run except for its seed, by dotted name; see `trainer.runs.identity`."""
WeightsHash = Annotated[str, Field(pattern=r"^([0-9a-f]{16})?$")]
Ending = Literal["done", "collapsed", "diverged"]
ROUNDING = 1e-9  # tolerance for rounding of accuracies and their means
FALSE_POSITIVES = 0.05  # probability that a random guesser counts as better than chance


def recipe_digest(settings: Mapping[str, Setting | None]) -> str:
    """Digest (16 hex digits) of the settings, equal for runs that differ in their seed only; empty without settings.

    A setting that is null counts as absent. Renamed settings count under their old names, so that runs of the release
    before, and chains that begin with them, keep their digests.
    """
    if not settings:
        return ""
    old = {new: old for old, new in RENAMED.items()}
    given = {old.get(key, key): value for key, value in settings.items() if value is not None}
    text = json.dumps(given, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def chance_limit(chance: float, n: int, chosen_from: int = 1) -> float:
    """Highest accuracy on `n` examples that is not significantly above `chance`, the share of the most frequent class.

    One guesser, or the best of `chosen_from` guessers, exceeds it with probability 0.05 (Bonferroni correction, normal
    approximation). With n = 0 the sampling error is unknown, and the limit is `chance` itself.
    """
    error = math.sqrt(chance * (1 - chance) / n) if n else 0.0
    return chance + NormalDist().inv_cdf(1 - FALSE_POSITIVES / max(1, chosen_from)) * error


def is_at_chance(accuracy: float, chance: float, n: int, chosen_from: int = 1) -> bool:
    """True if an accuracy is not significantly above chance, see `chance_limit`."""
    return accuracy <= chance_limit(chance, n, chosen_from) + ROUNDING


def file_in(eval_folder: Path, name: str) -> Path:
    """Path of the file `name` of a row. Raises InputError if a link leads out of `eval_folder`."""
    path = eval_folder / name
    if not os.path.realpath(path).startswith(os.path.realpath(eval_folder) + os.sep):
        raise InputError(f"{path} leads out of its run by a link; put the file itself there")
    return path


class SmoothingRecord(BaseModel):
    """Settings and results of randomized smoothing on a cell; see `trainer.evaluate.smoothing` for the terms.

    Shares and means are over all examples of the cell.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    site: str = Field(min_length=1)
    """Site of the noise: a `robust.site`."""
    sigma: float = Field(gt=0, le=1e6)
    """Standard deviation of the noise per coordinate, absolute."""
    samples: int = Field(ge=1, lt=2**32)
    """Noisy passes per example behind each certificate."""
    selection_samples: int = Field(ge=1, lt=2**32)
    """Further noisy passes per example, which chose the class to certify."""
    alpha: float = Field(gt=0, lt=1)
    """Upper bound of the probability that a certificate is wrong."""
    seed: Count
    abstained: float = Field(ge=0, le=1)
    """Share of examples without a certificate."""
    vote: float | None = Field(default=None, ge=0, le=1)
    """Accuracy of the majority vote, abstentions counted as wrong; None without labels."""
    vote_abstained: float = Field(ge=0, le=1)
    """Share of examples whose top two classes are too close for a majority vote."""
    mean_radius: Length | None = None
    """Mean certified radius, 0 where wrong or not certified; None without labels."""
    median_radius: Length | None = None
    """Median of the same: half of the examples are right and certified for at least this radius."""
    token_norm: Length
    """Mean L2 norm of a content token's vector at the site, for comparison with sigma."""
    width: int = Field(ge=1, lt=2**31)
    """Width of a token's vector: its noise has norm sigma * sqrt(width)."""
    certified: PathInside
    """Certificate file, relative to the run's `eval/` folder."""

    @property
    def noise(self) -> str:
        """Site and sigma, which identify the noise of a row."""
        return f"{self.site} {self.sigma!r}"


class ResultRow(BaseModel):
    """One score, or the reason why there is none. Raises pydantic's ValidationError where fields are inconsistent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    run: str
    label: Label
    """Name of the recipe in reports, e.g. "plain" or "pgd", shared by runs that differ in their seed only."""
    method: str
    """Robust method: a key of `trainer.robust.METHODS`."""
    seed: Count
    task: Name
    kind: str
    """Kind of task: a key of `trainer.kinds.KINDS`."""
    metric: MetricName
    """A key of `trainer.metrics.METRICS`."""
    split: Name
    setting: Literal["standard", "generalized", "smoothed"] = "standard"
    """Generalized: the two texts of a pair are in two languages. Smoothed: randomized smoothing; the value is the share
    of examples that are right and certified, at any radius."""
    language: Name
    """Language of the first text (the premise), or of the only one."""
    language_2: Name
    """Language of the second text (the hypothesis); equal to `language` in the other settings."""
    value: float | None
    """Value of the metric, fractions from 0 to 1; None for the reason in `note`."""
    note: str = ""
    """"no label" or "missing: <reason>"; empty with a value."""
    n: Count
    """Number of examples scored, or predicted if there are no labels; 0 in oracle rows."""
    excluded: Count = 0
    """Generalized: examples left out because a row is missing in one language or its labels differ."""
    step: Count
    """Training step of the checkpoint."""
    selection: Literal["best", "average", "oracle"] = "best"
    """"best": the checkpoint chosen on the dev cell `chosen_on`; "average": the mean of the run's last snapshots
    (`average.last` in `settings`); "oracle": the best checkpoint on this row's own cell."""
    predictions: PathInside | None = None
    """Prediction file, relative to the run's `eval/` folder."""
    outcomes: PathInside | None = None
    """Outcome file (counts of the metric per example), relative to `eval/`; None without labels."""
    language_info: dict[str, str] = Field(default_factory=dict)
    """Name, family, script, resource level and morphology of `language`, or "unknown"."""
    train_languages: list[str] = Field(default_factory=list)
    """Languages of the training cells."""
    model: Printed = ""
    """Name of the initial model, for people: moved or renamed, it is the same to `settings`. Empty if unknown."""
    smoothing: SmoothingRecord | None = None
    """Smoothed rows only."""
    settings: Settings = Field(default_factory=dict)
    """Settings that determined the run except for its seed; empty in rows of earlier versions."""
    origin_run: WeightsHash = ""
    """Hash of the initial weights if they are those of an earlier run (`init_from`), else empty. `settings` name that
    run's recipe instead: chains that start from two seeds of one stage are seeds of one recipe."""
    ended: Ending = "done"
    """End of training; a run that collapsed or diverged is a failed seed."""
    chosen_on: Printed | None = None
    """Dev cell `task/split/language` that chose the checkpoint; empty for the last step, None if unknown."""
    checkpoint: Sha256 = ""
    """Hash of the evaluated weights; empty in oracle rows, whose weights are not kept."""
    cell_sha256: Sha256 = ""
    """Hash of the content of the cell's rows; of both cells' in the generalized setting."""
    precision: Printed = ""
    """Number format of weights and activations in the evaluation, in oracle rows that of training."""
    kernels: Printed = ""
    """Backend of the perturbation kernels in training."""
    joined_by: Annotated[str, Field(pattern=r"^(publisher|row [0-9]{1,18})?$")] | None = None
    """Names in the outcome file that mean the same sentence in other languages: "publisher", the publisher's keys;
    "row N", numbers in a source of N rows. Empty where rows are not known to be translations of other languages'; None
    in rows of earlier versions, whose names are taken for the same sentences."""
    chance: float | None = Field(default=None, ge=0, le=1)
    """Score of always predicting the cell's most frequent class; None where that is not defined or unknown."""

    @model_validator(mode="after")
    def _consistent(self) -> ResultRow:
        if self.value is None:
            if self.note != NO_LABEL and not self.note.startswith(MISSING):
                raise ValueError(f"no value, so note must be {NO_LABEL!r} or start with {MISSING!r}")
        elif self.note:
            raise ValueError("a value and a note that there is none")
        elif not abs(self.value) <= LARGEST_VALUE:
            raise ValueError(f"value is not a number up to {LARGEST_VALUE:g}")
        elif METRICS[self.metric].is_fraction and not 0 <= self.value <= 1:
            raise ValueError(f"{self.metric} is a fraction from 0 to 1")
        if self.setting != "generalized" and self.language != self.language_2:
            raise ValueError(f"the {self.setting} setting has one language")
        if (self.setting == "smoothed") != (self.smoothing is not None):
            raise ValueError("smoothed rows, and no others, have a record of the smoothing")
        if self.smoothing is not None:
            scores = (self.smoothing.vote, self.smoothing.mean_radius, self.smoothing.median_radius)
            if any((score is None) != (self.value is None) for score in scores):
                raise ValueError("vote, mean_radius and median_radius come with a value, and only with one")
        return self

    @property
    def recipe(self) -> str:
        """Digest of `settings`: equal for runs that differ in their seed only."""
        return recipe_digest(self.settings)

    @property
    def named_settings(self) -> Settings:
        """`settings` with the model's name, for display; empty where no settings are recorded."""
        return {"model": self.model, **self.settings} if self.model and self.settings else dict(self.settings)

    @property
    def failed(self) -> bool:
        """True if the run is a failed seed: training collapsed or diverged."""
        return self.ended != "done"

    @property
    def chance_limit(self) -> float | None:
        """Highest score not significantly above `chance`, see `trainer.results.scores.chance_limit`; None if unknown.

        On the dev cell that chose the checkpoint, the score is the best of all evaluations.
        """
        if self.value is None or self.chance is None:
            return None
        chose = self.setting == "standard" and f"{self.task}/{self.split}/{self.language}" == self.chosen_on
        evaluations = self.settings.get("selection.evaluations") if chose else None
        return chance_limit(self.chance, self.n, evaluations if isinstance(evaluations, int) else 1)

    @property
    def at_chance(self) -> bool:
        """True if the score is not significantly above `chance`."""
        limit = self.chance_limit
        return self.value is not None and limit is not None and self.value <= limit + ROUNDING

    @property
    def key(self) -> RowKey:
        """Identity of a row in its run: task, split, setting, language, language_2, selection, metric, noise."""
        noise = self.smoothing.noise if self.smoothing else ""
        return (self.task, self.split, self.setting, self.language, self.language_2, self.selection, self.metric, noise)

    @property
    def plain_key(self) -> RowKey:
        """Key of the row of the same cell and metric in the standard setting."""
        return (self.task, self.split, "standard", *self.key[3:-1], "")


def read_rows(path: Path) -> list[ResultRow]:
    """Rows of a `results.jsonl`, in file order. Raises InputError, see `read_keyed`."""
    return read_keyed(path, ResultRow, "result row", "evaluate the run again")


def merge_rows(path: Path, new_rows: Iterable[ResultRow]) -> list[ResultRow]:
    """Rewrite `path` with its rows and `new_rows`, which replace rows of equal key; returns all rows.

    Raises InputError, leaving the file as it is, where it holds anything else.
    """
    return merge_keyed(path, read_rows, new_rows, "evaluate")
