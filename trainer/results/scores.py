"""Result rows: the door between `evaluate` and `report`, one JSON line per evaluated cell.

A *cell* is what one score belongs to: a task, a split, a setting (standard, generalized or smoothed), the language of
the first text, the language of the second, how the checkpoint was chosen, and the noise where there was any.

Input and output: `<run>/eval/results.jsonl`. No torch here: reports run on a laptop.
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
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from data_prep.base.errors import InputError
from trainer.results.jsonl import merge_keyed, read_keyed

FORMAT_VERSION: Literal[1] = 1
NO_LABEL = "no label"
MISSING = "missing: "  # the reason follows
RESULTS_FILE = "results.jsonl"

RowKey = tuple[str, str, str, str, str, str, str, str]

_NAME = re.compile(r"[A-Za-z0-9_+-]+")


def checked_name(name: str, what: str = "a name") -> str:
    """`name` if it is safe as one part of a file name: letters, digits, ``-``, ``_`` and ``+`` only.

    Tasks, splits and languages become file names, so a name with a dot or a slash could leave its folder.
    Raises InputError otherwise.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{what} may hold letters, digits, '-', '_' and '+' only, found {name!r}")
    return name


def _is_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("may hold letters, digits, '-', '_' and '+' only")
    return value


def _is_inside(value: str) -> str:
    """A path relative to the run's `eval/` folder that stays within it."""
    parts = value.split("/")
    if not value.isprintable() or "\\" in value or any(part in ("", ".", "..") for part in parts):
        raise ValueError("must be a relative path inside the run's eval folder")
    return value


Name = Annotated[str, AfterValidator(_is_name)]
PathInside = Annotated[str, AfterValidator(_is_inside)]
# Beyond what is ever measured, and small enough that sums, squares and figures of a report stay finite.
Count = Annotated[int, Field(ge=0, lt=2**63)]
Length = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
LARGEST_VALUE = 1e30
Label = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=200)]
Printed = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=10_000)]
Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
"""sha256 in hex; empty where it is not known."""
Setting = bool | Annotated[int, Field(ge=-(2**63), lt=2**63)] | Annotated[float, Field(allow_inf_nan=False)] | Printed
Settings = Annotated[dict[Printed, Setting | None], Field(max_length=200)]
"""What a run's numbers depend on but the seed, by dotted name; see `trainer.runs.identity`."""
WeightsHash = Annotated[str, Field(pattern=r"^([0-9a-f]{16})?$")]
Ending = Literal["done", "collapsed", "diverged"]
ROUNDING = 1e-9  # of accuracies and their means
TAKEN_FOR_BETTER = 0.05  # probability that a guesser is taken for better than chance


def recipe_digest(settings: Mapping[str, Setting | None]) -> str:
    """16 hex digits that runs share which differ in their seed only; empty where nothing is known of the recipe.

    A setting that is null counts as one that is absent.
    """
    if not settings:
        return ""
    given = {key: value for key, value in settings.items() if value is not None}
    text = json.dumps(given, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def chance_limit(chance: float, n: int, chosen_from: int = 1) -> float:
    """The highest accuracy on `n` examples that is no better than `chance`, the share of the most frequent class.

    A guesser, or the best of `chosen_from` guessers, goes beyond it with probability 0.05 (Bonferroni's bound, normal
    approximation). With `n` 0 nothing is known of the sampling error: the limit is `chance` itself.
    """
    error = math.sqrt(chance * (1 - chance) / n) if n else 0.0
    return chance + NormalDist().inv_cdf(1 - TAKEN_FOR_BETTER / max(1, chosen_from)) * error


def is_at_chance(accuracy: float, chance: float, n: int, chosen_from: int = 1) -> bool:
    """Whether an accuracy is no better than chance, see `chance_limit`."""
    return accuracy <= chance_limit(chance, n, chosen_from) + ROUNDING


def file_in(eval_folder: Path, name: str) -> Path:
    """The file that a row names, a checked relative path. Raises InputError where links lead out of `eval_folder`."""
    path = eval_folder / name
    if not os.path.realpath(path).startswith(os.path.realpath(eval_folder) + os.sep):
        raise InputError(f"{path} leads out of its run by a link; put the file itself there")
    return path


class SmoothingRecord(BaseModel):
    """How a cell was smoothed, and what came of it; see `trainer.evaluate.smoothing` for the terms.

    Shares and means are over all examples of the cell.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    site: str = Field(min_length=1)
    """Where the noise was added: a `robust.site`."""
    sigma: float = Field(gt=0, le=1e6)
    """Standard deviation of the noise per coordinate, an absolute length at the site."""
    samples: int = Field(ge=1, lt=2**32)
    """Noisy passes per example behind each certificate."""
    selection_samples: int = Field(ge=1, lt=2**32)
    """Noisy passes per example, others than those, that chose the class to certify."""
    alpha: float = Field(gt=0, lt=1)
    """Each certificate is wrong with at most this probability."""
    seed: Count
    """Seed of the noise."""
    abstained: float = Field(ge=0, le=1)
    """Share of examples without a certificate."""
    vote: float | None = Field(default=None, ge=0, le=1)
    """Accuracy of the majority vote, abstentions counted as wrong; None without labels."""
    vote_abstained: float = Field(ge=0, le=1)
    """Share of examples whose majority vote is too close to call."""
    mean_radius: Length | None = None
    """Mean certified radius, 0 for what is wrong or without a certificate; None without labels."""
    median_radius: Length | None = None
    """Median of the same: half of the examples are right, and certified at least this far."""
    token_norm: Length
    """Mean L2 norm of a content token's vector at the site: what sigma is to be judged against."""
    width: int = Field(ge=1, lt=2**31)
    """Numbers in a token's vector: its noise has norm sigma * sqrt(width)."""
    certified: PathInside
    """The file of certificates per example, relative to the run's `eval/` folder."""

    @property
    def noise(self) -> str:
        """What tells the noise of this cell from that of others: site and sigma."""
        return f"{self.site} {self.sigma!r}"


class ResultRow(BaseModel):
    """One score, or the reason why there is none.

    Raises pydantic's ValidationError where a value and its note contradict each other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    run: str
    """The run's name."""
    label: Label
    """What the run is called in reports, e.g. "plain" or "pgd"; runs that differ in their seed only share it."""
    method: str
    """The robust method: a key of the trainer's METHODS."""
    seed: Count
    task: Name
    kind: str
    """The task's kind: "pair" or "mlm"."""
    metric: str
    """A key of `trainer.metrics.METRICS`."""
    split: Name
    setting: Literal["standard", "generalized", "smoothed"] = "standard"
    """Generalized: the two texts of a pair are taken from two languages. Smoothed: randomized smoothing; the value is
    the share of examples that are right and certified, at any radius."""
    language: Name
    """The language of the first text (the premise), or of the only one."""
    language_2: Name
    """The language of the second text (the hypothesis); equal to `language` in the standard setting."""
    value: float | None
    """The metric: accuracy as a fraction 0..1, perplexity as it is; None where `note` says why."""
    note: str = ""
    """Empty for a score, else "no label" or "missing: <reason>"."""
    n: Count
    """Examples scored (or predicted, where there is no label); 0 in oracle rows."""
    excluded: Count = 0
    """Generalized: examples left out, because a row is absent in one language or the two labels differ."""
    step: Count
    """The training step of the checkpoint."""
    selection: Literal["best", "oracle"] = "best"
    """"best": the checkpoint chosen on the dev cell `chosen_on`; "oracle": the best one for this very language."""
    predictions: PathInside | None = None
    """The prediction file, relative to the run's `eval/` folder."""
    outcomes: PathInside | None = None
    """The file of right and wrong per example, relative to `eval/`; None where there is no label."""
    language_info: dict[str, str] = Field(default_factory=dict)
    """Name, family, script, resource and morphology of `language`; "unknown" where unknown."""
    train_languages: list[str] = Field(default_factory=list)
    """The languages whose labels the run was trained on."""
    smoothing: SmoothingRecord | None = None
    """Smoothed rows: the noise, and what it certified."""
    settings: Settings = Field(default_factory=dict)
    """What the run's training depended on but the seed; empty in rows of earlier versions."""
    origin_run: WeightsHash = ""
    """Hash of the weights that the run began with, those of an earlier run (`init_from`); empty without one. The
    settings name that run's recipe instead: chains that start from two seeds of one stage are seeds of one recipe."""
    ended: Ending = "done"
    """How training ended; a run that collapsed or diverged is a failed seed."""
    chosen_on: Printed | None = None
    """The dev cell `task/split/language` that chose the checkpoint, empty for the last step; None where unknown."""
    checkpoint: Sha256 = ""
    """Hash of the weights that were evaluated; empty in oracle rows, whose weights are not kept."""
    cell_sha256: Sha256 = ""
    """Hash of the content of the cell's rows (generalized: of both cells')."""
    precision: Printed = ""
    """Number format of weights and activations in the evaluation (oracle rows: in training)."""
    kernels: Printed = ""
    """Backend of the perturbation kernels in training."""
    chance: float | None = Field(default=None, ge=0, le=1)
    """Accuracy of always naming the cell's most frequent class; None where there is no such thing, or it is unknown."""

    @model_validator(mode="after")
    def _consistent(self) -> ResultRow:
        if self.value is None:
            if self.note != NO_LABEL and not self.note.startswith(MISSING):
                raise ValueError(f"no value, so note must be {NO_LABEL!r} or start with {MISSING!r}")
        elif self.note:
            raise ValueError("a value and a note that says there is none")
        elif not abs(self.value) <= LARGEST_VALUE:
            raise ValueError(f"value is not a number up to {LARGEST_VALUE:g}")
        elif self.metric == "accuracy" and not 0 <= self.value <= 1:
            raise ValueError("accuracy is a fraction from 0 to 1")
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
    def failed(self) -> bool:
        """Whether the run is a failed seed: training collapsed or diverged."""
        return self.ended != "done"

    @property
    def chance_limit(self) -> float | None:
        """The highest score that is no better than naming the most frequent class, see `chance_limit`; None where that
        is not known.

        On the dev cell that chose the checkpoint, the score is the best of all that it was chosen from.
        """
        if self.value is None or self.chance is None:
            return None
        chose = self.setting == "standard" and f"{self.task}/{self.split}/{self.language}" == self.chosen_on
        evaluations = self.settings.get("selection.evaluations") if chose else None
        return chance_limit(self.chance, self.n, evaluations if isinstance(evaluations, int) else 1)

    @property
    def at_chance(self) -> bool:
        """Whether the score is no better than naming the most frequent class."""
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
    """The rows of a `results.jsonl`, in file order. Raises InputError, see `read_keyed`."""
    return read_keyed(path, ResultRow, "result row", "evaluate the run again")


def merge_rows(path: Path, new_rows: Iterable[ResultRow]) -> list[ResultRow]:
    """Rewrite `path` with its rows and `new_rows`, a new row taking the place of an old one with its key.

    Returns what was written. Raises InputError where the present file holds something else (it is left as it is).
    """
    return merge_keyed(path, read_rows, new_rows, "evaluate")
