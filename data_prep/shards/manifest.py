"""Manifest of a cell: its schema and its reader.

Input: `manifest.json`. Output: a `Manifest`. Its values are not trusted: names become file names, so they hold no dot
and no slash; numbers become shapes and indices, so they have bounds. Whether labels, metric and columns are those of
the kind is checked by the kind (`data_prep.kinds`, `trainer.kinds`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from data_prep.base.errors import InputError
from data_prep.base.files import first_error
from data_prep.shards.columns import COLUMN_TYPES
from data_prep.shards.template import InputTemplate

FORMAT_VERSION = 3
MANIFEST_FILE = "manifest.json"
LONGEST_KEY = 200  # bytes
WINDOW = "window"
"""Column of the number of a window within its row, from 0, of kinds whose rows may yield several."""
MOST_WINDOWS = 1024
KEY_CANNOT_HOLD = r"[\t\n\r\x00]"  # keys stand in tab-separated files

# reasons to leave out a row of the source, the keys of `skipped`
BLANK, WRONG_COLUMNS, MORE_TEXTS = "blank line", "wrong number of columns", "more than two texts"
NO_LABEL_GIVEN, NO_CONSENSUS, NO_TEXT = "no label", "no consensus", "missing text"
EMPTY, PLACEHOLDER = "both texts empty", "placeholder text"
NO_WORDS, NO_TAG, UNEQUAL_TAGS = "no words", "a word without a tag", "another number of tags than of words"
NOT_CHOSEN, IN_TEST, IN_SHOTS = "not chosen", "its text is in a test cell", "its text is that of a shot"
NO_GOLD, NO_DYNAMICS = "no gold answer", "no training dynamics"
# Reasons that concern one whole row, after which row numbers still agree between languages. Any other reason may stand
# for half of a split row, two joined rows, or a line between rows, which shift the numbers of all rows behind them.
SHIFTS_NOTHING = frozenset({NO_LABEL_GIVEN, NO_CONSENSUS, NO_TEXT, EMPTY, PLACEHOLDER, NO_TAG, NOT_CHOSEN, IN_TEST,
                            IN_SHOTS, NO_GOLD, NO_DYNAMICS})

Count = Annotated[int, Field(ge=0, lt=2**63)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+-]{1,100}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Sha256OrNone = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]  # empty in a draft
Label = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")


class TokenizerInfo(_Strict):
    """Tokenizer of a cell's ids. Special tokens that it lacks are None; only padding is always needed."""

    name: str
    fingerprint: Sha256
    vocab_size: int = Field(gt=0, lt=2**31)
    """Largest id + 1; ids below it may be unused."""
    cls_id: TokenId | None
    """First token of an input, by the name of cls or bos."""
    sep_id: TokenId | None
    """Token after a text, by the name of sep or eos."""
    pad_id: TokenId
    mask_id: TokenId | None
    unk_id: TokenId | None
    """None with byte-level BPE, which can spell anything."""
    template: InputTemplate

    @pydantic.model_validator(mode="after")
    def _in_vocabulary(self) -> TokenizerInfo:
        named = (self.cls_id, self.sep_id, self.pad_id, self.mask_id, self.unk_id)
        special = {*(token for token in named if token is not None), *self.template.special_ids}
        if max(special) >= self.vocab_size:
            raise ValueError(f"a special token's id lies outside the vocabulary of {self.vocab_size}")
        if len(special) == self.vocab_size:
            raise ValueError(f"a vocabulary of {self.vocab_size} special tokens and no other")
        return self


class ShardInfo(_Strict):
    """One Arrow file of a cell."""

    file: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}$")
    rows: Count
    bytes: Count
    sha256: Sha256


class LanguageInfo(_Strict):
    """Linguistic features of a language, for grouping in reports."""

    name: str = "unknown"
    family: str = "unknown"
    script: str = "unknown"
    resource: str = "unknown"
    morphology: str = "unknown"


class Manifest(_Strict):
    """Content of a cell.

    `write_cell` counts `rows`, `has_labels`, `label_counts`, `tokens`, `rows_sha256` and `shards`, and `source_rows`
    if the draft has none.
    """

    format_version: Literal[3] = 3
    task: Name
    kind: Name
    columns: dict[Name, str]
    """Columns of the kind: name -> type, see `shards.columns`."""
    labels: list[Label]
    label_aliases: dict[Label, Label] = {}
    """Other names of the labels, lower case: alias -> label. A model's classes may be called by them."""
    metric: Name
    """Metric that selects checkpoints."""
    further_metrics: list[Name] = []
    """Metrics that are reported beside it."""
    score_range: tuple[float, float] | None = None
    """Smallest and largest score; None for no bounds, or no scores."""
    language: Name
    split: Name
    rows: Count = 0
    further_windows: Count = 0
    """Rows that are a second or later window of a row of the source, which is too long for one input."""
    source_rows: int = Field(default=0, ge=0, lt=2**40)
    """Rows of the publisher's file for this cell, those left out included."""
    keys: Literal["publisher", "row"] = "row"
    """Source of the column `key`: the publisher, or the row number in the source file."""
    rows_sha256: Sha256OrNone = ""
    """Hash of the content of all rows, see `write_cell`."""
    source_sha256: Sha256OrNone = ""
    """Hash of the files, or of the rows of the hub, that the cell was built from."""
    has_labels: bool = False
    """True if every row has its gold answer."""
    parallel: bool = False
    """Declared by the task: rows of equal key (without keys: of equal number) are translations of each other."""
    label_tolerance: float = Field(default=0.0, ge=0, le=1)
    """Largest share of parallel rows whose labels differ between two languages in the published data."""
    skipped: dict[str, Count] = {}  # rows of the source that were left out, by reason
    kept: dict[str, Count] = {}  # rows that were built but deserve a note, by reason
    drop_placeholders: bool = False
    truncated: Count = 0
    max_length: int = Field(gt=0, lt=2**31)
    copies: int = Field(default=0, ge=0, lt=2**20)
    language_info: LanguageInfo = LanguageInfo()
    label_counts: dict[str, Count] = {}
    tokens: Count = 0
    tokenizer: TokenizerInfo
    shards: list[ShardInfo] = []
    source: str
    revision: str = Field(default="", pattern=r"^([0-9a-f]{40})?$")
    """Commit of the hub's repository; empty for files, and where it was not known."""
    data_prep_version: str

    @property
    def examples(self) -> int:
        """Rows with all windows of one counted once."""
        return self.rows - self.further_windows

    @property
    def extent(self) -> str:
        """Number of rows in words; windows are told apart from the rows that they are cut from."""
        return f"{self.examples:,} rows" + (f" in {self.rows:,} windows" if self.further_windows else "")

    @property
    def metrics(self) -> list[str]:
        """All metrics, the one that selects checkpoints first."""
        return list(dict.fromkeys([self.metric, *self.further_metrics]))

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Manifest:
        unknown = {kind for kind in self.columns.values() if kind not in COLUMN_TYPES}
        if unknown or not {"id", "key", "length"}.isdisjoint(self.columns):
            raise ValueError(f"columns {self.columns}; types are {', '.join(COLUMN_TYPES)}")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a label occurs twice")
        if not set(self.label_aliases.values()) <= set(self.labels):
            raise ValueError(f"label_aliases {self.label_aliases} of labels that are not among {self.labels}")
        if self.max_length <= self.tokenizer.template.frames[1].specials:
            raise ValueError(f"max_length {self.max_length} leaves no room beside the special tokens")
        if bool(self.labels) != any(COLUMN_TYPES[kind].holds_labels for kind in self.columns.values()):
            raise ValueError(f"labels {self.labels} with the columns {self.columns}")
        if self.rows and not self.rows_sha256:
            raise ValueError("rows without their rows_sha256")
        if self.examples > self.source_rows * (self.copies + 1):
            raise ValueError(f"{self.examples} rows from {self.source_rows} source_rows")
        if self.further_windows and WINDOW not in self.columns:
            raise ValueError(f"{self.further_windows} further_windows without a column {WINDOW}")
        all_labelled = sum(self.label_counts.values()) == self.rows
        if self.rows and "label" in self.columns.values() and self.has_labels != all_labelled:
            raise ValueError(f"has_labels {self.has_labels}, but of {self.rows} rows {self.label_counts} have a label")
        return self


def read_manifest(path: str | Path) -> Manifest:
    """Read the manifest of the cell at `path`. Raises InputError if it is missing, invalid or of another format."""
    file = Path(path) / MANIFEST_FILE
    if not file.is_file():
        what = "an unfinished or empty folder" if Path(path).is_dir() else "no such folder"
        raise InputError(f"{path}: {what}, expected a cell with {MANIFEST_FILE}; run `python -m data_prep build`")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{file} is not valid JSON ({error}); build the cell again") from None
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(f"{file}: format version {version!r}, this code reads {FORMAT_VERSION}; build the cell "
                         "again, with --overwrite")
    try:
        return Manifest.model_validate(content)
    except pydantic.ValidationError as error:
        raise InputError(f"{file}: {first_error(error)}; build the cell again") from None
