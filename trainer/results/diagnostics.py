"""Diagnostic rows, the interface between `diagnose` and `report`: a JSON line per task, split and language of a run.

File: `<run>/eval/diagnostics.jsonl`. Distances are L2, as lengths at a layer, and relative to the mean L2 norm of
English content tokens there, the unit of a relative `robust.epsilon`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_prep.languages import same_language
from trainer.results.jsonl import merge_keyed, read_keyed
from trainer.results.scores import Count, Label, Length, Name

FORMAT_VERSION: Literal[1] = 1
DIAGNOSTICS_FILE = "diagnostics.jsonl"
ENGLISH = "en"

RowKey = tuple[str, str, str]


class Part(BaseModel):
    """Base of all parts of a row: immutable, without unknown keys or NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Place(Part):
    """Distances of a language's sentences to their English translations at one layer."""

    english_norm: float = Field(ge=1e-30, le=1e30)
    """Mean L2 norm of the content tokens of the whole English cell, the unit of relative distances."""
    token: Length
    """Mean over sentences of the mean L2 distance of a content token to the nearest one of the English sentence."""
    sentence: Length
    """Mean over sentences of the L2 distance between the means of the content tokens' vectors."""
    token_relative: Length
    """`token` / `english_norm`."""
    sentence_relative: Length
    """`sentence` / `english_norm`."""
    cosine: float = Field(ge=-1.001, le=1.001)
    """Mean over sentences of the cosine between the means of the content tokens' vectors."""


class DistanceBin(Part):
    """One of several groups of equal size of a language's sentences, by distance."""

    distance: Length
    """Mean sentence distance at the site of the group, relative."""
    accuracy: float = Field(ge=0, le=1)
    n: int = Field(ge=1, lt=2**63)


class NoisePoint(Part):
    """Accuracy under Gaussian noise on every content token at the site."""

    scale: Length
    """Root mean square norm of a token's noise, relative to the mean English token norm at the site."""
    accuracy: float = Field(ge=0, le=1)


class DiagnosticRow(Part):
    """Measurements of one language."""

    format_version: Literal[1] = FORMAT_VERSION
    run: str
    label: Label
    method: str
    seed: Count
    task: Name
    split: Name
    language: Name
    language_name: str = "unknown"
    step: Count
    """Training step of the run's best checkpoint."""
    n: int = Field(ge=1, lt=2**63)
    """Sentences measured, those with a translation in the English cell; all fields below are over these."""
    excluded: Count
    """Rows left out: without a translation in the English cell, or without a content token in either language."""
    site_name: str
    """The run's `robust.site`."""
    site: Place
    """Distances at the site."""
    last: Place
    """Distances at the output of the last layer."""
    norm: Literal["l2", "linf"]
    """The run's `robust.norm`: `radius` and the shares inside it are in this norm."""
    scope: Literal["token", "sequence"]
    """The run's `robust.scope`."""
    radius: Length | None
    """Full radius of the run's training, as a length at the site; None for a method without a ball."""
    inside: float | None = Field(ge=0, le=1)
    """Share of balls (content tokens, or whole sentences where the scope is "sequence") whose distance to the nearest
    English tokens is at most the radius; None without a radius. See `distance.inside_radius`."""
    inside_sentences: float | None = Field(ge=0, le=1)
    """Share of sentences whose sentence distance is compatible with every token lying inside."""
    accuracy: float | None = Field(ge=0, le=1)
    """Accuracy without noise; None without labels."""
    bins: list[DistanceBin] | None
    """Accuracy by sentence distance at the site; None without labels, with too few sentences, and for English."""
    noise: list[NoisePoint] | None
    """Accuracy by noise scale, ascending; None without labels."""
    noise_draws: int = Field(ge=1, lt=2**63)
    noise_seed: Count

    @model_validator(mode="after")
    def _consistent(self) -> DiagnosticRow:
        if (self.radius is None) != (self.inside is None) or (self.radius is None) != (self.inside_sentences is None):
            raise ValueError("a radius and the shares inside it come together")
        if (self.accuracy is None) != (self.noise is None):
            raise ValueError("accuracy and accuracy under noise come together")
        return self

    @property
    def key(self) -> RowKey:
        """Identity of a row in its run: task, split, language."""
        return (self.task, self.split, self.language)

    @property
    def is_english(self) -> bool:
        """True if it measures the English cell itself."""
        return same_language(self.language, ENGLISH)


def read_diagnostics(path: Path) -> list[DiagnosticRow]:
    """Rows of a `diagnostics.jsonl`, in file order. Raises InputError, see `read_keyed`."""
    return read_keyed(path, DiagnosticRow, "diagnostic row", "remove the file and diagnose the run again")


def merge_diagnostics(path: Path, new_rows: Iterable[DiagnosticRow]) -> list[DiagnosticRow]:
    """Rewrite `path` with its rows and `new_rows`, which replace rows of equal key; returns the rows written.

    Raises InputError, and leaves the file as it is, where it holds anything but diagnostic rows.
    """
    return merge_keyed(path, read_diagnostics, new_rows, "diagnose")
