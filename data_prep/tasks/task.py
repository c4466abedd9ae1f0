"""Declaration of a task: labels, metric, and how its publishers and the hub lay it out.

`data_prep.sources` finds and reads files by these declarations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

SPLITS = ("train", "dev", "test")
GOLD_PART = "gold"  # ending of the file of gold answers among the `parts` of a layout
# a code with an optional script or region: sw, d030, eng_Latn, zh-Hans, pt-BR
LANGUAGE = r"(?P<language>[A-Za-z][A-Za-z0-9_]*(?:-(?:[A-Z][a-z]{3}|[A-Z]{2}|[0-9]{3}))*)"


MAY_HAVE_NONE = "may_have_none"
"""Value that `Task.adapt` adds to the records of a task whose questions may have no answer."""
PAIR: Mapping[str, int] = {"first": 0, "second": 1, "label": 2}  # XTREME's columns of pairs, without a header


@dataclass(frozen=True)
class Layout:
    """File naming and column scheme.

    `pattern` is matched against the whole path below the source folder and may capture `split` and `language`;
    `splits` translates the publisher's split names; `example` is one such path, for messages. `format` names an entry
    of `data_prep.sources.cells.FORMATS`. `columns` maps fields of the kind to columns of a table: positions if there is
    no header line, else alternatives of header names, or of keys of a JSON object (dots lead into nested ones). `key`
    is the column with the publisher's name of a row, the same in every language; it may be missing. `language_column`
    holds the language of each row, if one file has the rows of all. `parts` are the endings of the files that make one
    cell, in the order of reading, if it has several (`{language}`, and `{first}` and `{second}` of a pair of languages,
    are filled in); of these `GOLD_PART` may be missing. `more_columns`: of a table without a header, columns may stand
    behind those that are read.
    """

    pattern: str
    example: str
    splits: Mapping[str, str] = field(default_factory=lambda: {name: name for name in SPLITS})
    split: str | None = None
    language: str | None = None
    format: str = "tsv"
    header: bool = False
    columns: Mapping[str, tuple[str, ...] | int] = field(default_factory=lambda: dict(PAIR))
    key: tuple[str, ...] | int | None = None
    language_column: tuple[str, ...] = ()
    language_names: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    more_columns: bool = False

    def match(self, path: str) -> tuple[str, str] | None:
        """(split, language) of a file with this layout, None for any other file.

        The language is "" if the rows name theirs. A hyphen in a code becomes an underscore: in the names of
        prediction files it stands between two languages.
        """
        found = re.fullmatch(self.pattern, path)
        if found is None:
            return None
        groups = found.groupdict()
        split = self.splits.get(groups["split"]) if groups.get("split") else self.split
        language = (groups.get("language") or self.language or "").replace("-", "_")
        return (split, language) if split and (language or self.language_column) else None


@dataclass(frozen=True)
class Hub:
    """Location on the hub: repository, configuration (`{language}` is filled in), splits and columns by field.

    Dots in a column lead into nested ones (`answers.text`). `files` names the data files of a repository that has no
    configurations, `{language}` and `{split}` filled in: `data/{language}/{split}.tsv`.
    """

    repo: str
    config: str | None
    splits: Mapping[str, str]
    columns: Mapping[str, str]
    label_names: tuple[str, ...] = ()  # names of integer labels, unless the data set has its own
    revision: str | None = None
    key: str | None = None  # column with the publisher's name of a row, the same in every language
    files: str | None = None


@dataclass(frozen=True)
class Task:
    """One task. `labels` fixes the label order; `aliases` maps other spellings (lower case) to one of them.

    `kind` names an entry of `data_prep.kinds.KINDS`. `metric` selects checkpoints, `further_metrics` are reported too.
    `parallel` names the splits in which rows of equal key (without keys: of equal number) are translations of each
    other, and `label_tolerance` is the largest share of them whose published labels differ between two languages.
    `no_consensus` lists spellings for rows without agreement among annotators, which are left out and counted.
    `score_range` holds the smallest and the largest score of tasks with scores. `placeholders` lists texts that stand
    for a missing sentence. `adapt` turns the values of a record, as the columns of a layout or of the hub give them,
    into the fields of the kind, where they differ. `max_length` is the length of its model inputs unless `build` is
    told another.
    """

    name: str
    summary: str
    kind: str
    metric: str
    labels: tuple[str, ...]
    languages: tuple[str, ...]
    layouts: tuple[Layout, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    parallel: tuple[str, ...] = ()
    label_tolerance: float = 0.0
    no_consensus: tuple[str, ...] = ()
    score_range: tuple[float, float] | None = None
    placeholders: tuple[str, ...] = ()
    further_metrics: tuple[str, ...] = ()
    hub: Hub | None = None
    adapt: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    max_length: int = 128

    @cached_property
    def label_index(self) -> dict[str, int]:
        """Every spelling of a label, in lower case -> its index."""
        index = {label.lower(): i for i, label in enumerate(self.labels)}
        return index | {alias: index[label.lower()] for alias, label in self.aliases.items()}

    @cached_property
    def tag_index(self) -> dict[str, int]:
        """Every spelling of a label, in its own case -> its index: tag sets may tell labels apart by case alone."""
        index = {label: i for i, label in enumerate(self.labels)}
        return index | {alias: index[label] for alias, label in self.aliases.items()}


# XTREME's sentence-pair files: no header, two texts, and a label where it is public. File names do not tell the tasks
# apart, so only XTREME's own tasks, which differ in their labels, declare this layout.
XTREME_PAIR = Layout(rf"(?P<split>train|dev|test)-{LANGUAGE}\.tsv", "train-en.tsv")


def prefixed_pair(task: str) -> Layout:
    """XTREME's columns under file names with the task, for tasks that are not in XTREME: `sick-test-nl.tsv`."""
    return Layout(rf"{task}-(?P<split>train|dev|test)-{LANGUAGE}\.tsv", f"{task}-train-en.tsv")


def prefixed_scores(task: str) -> Layout:
    """Two texts and a score under the same names: `sts17-test-en.tsv`."""
    return replace(prefixed_pair(task), columns={"first": 0, "second": 1, "score": 2})
