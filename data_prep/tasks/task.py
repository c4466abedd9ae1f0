"""What a task file says: labels, metric, and where and how its publishers and the hub keep it.

Inputs and outputs: none, these are declarations; `data_prep.sources` finds files by them and reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SPLITS = ("train", "dev", "test")
# a code with an optional script or region: sw, d030, eng_Latn, zh-Hans, pt-BR
LANGUAGE = r"(?P<language>[A-Za-z][A-Za-z0-9_]*(?:-(?:[A-Z][a-z]{3}|[A-Z]{2}|[0-9]{3}))*)"


@dataclass(frozen=True)
class Layout:
    """One file naming and column scheme.

    `pattern` is matched against the whole path below the source folder and may capture `split` and `language`;
    `splits` translates the publisher's split names; `example` is one such path, for messages. Columns are positions
    where there is no header line, and alternatives of header names where there is one. `key` is the column with the
    publisher's name of a row, the same in every language; a file without it is read all the same. `language_column`
    names the column that holds the language of each row, where one file has the rows of all. `json_lines` marks files
    of one JSON object per line, whose keys are the columns. `lines` marks unlabelled text: no columns but one text, or
    two with a TAB between them.
    """

    pattern: str
    example: str
    splits: Mapping[str, str] = field(default_factory=lambda: {name: name for name in SPLITS})
    split: str | None = None
    language: str | None = None
    header: bool = False
    first: tuple[str, ...] | int = 0
    second: tuple[str, ...] | int = 1
    label: tuple[str, ...] | int = 2
    key: tuple[str, ...] | int | None = None
    language_column: tuple[str, ...] = ()
    json_lines: bool = False
    lines: bool = False

    def match(self, path: str) -> tuple[str, str] | None:
        """(split, language) of a file that is laid out like this, None for any other file.

        The language is "" where the rows name theirs. A hyphen in a code becomes an underscore: in the names of
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
    """Where the hub has the task: repository, configuration (`{language}` is filled in), splits and columns."""

    repo: str
    config: str | None
    splits: Mapping[str, str]
    first: str
    second: str
    label: str
    label_names: tuple[str, ...]  # meaning of integer labels where the data set does not name them itself
    revision: str | None = None
    key: str | None = None  # column with the publisher's name of a row, the same in every language


@dataclass(frozen=True)
class Task:
    """One task. `labels` fixes the label order; `aliases` maps other spellings (lower case) to one of them.

    `parallel` names the splits in which rows of equal key (without keys: of equal number) are translations of each
    other, `label_tolerance` the share of them, at most, whose labels the publisher itself gives differently in two
    languages. `no_consensus` lists spellings that mean the annotators did not agree; such rows are left out and
    counted. `placeholders` lists texts that the publishers wrote where there is no sentence.
    """

    name: str
    summary: str
    kind: Literal["pair", "mlm"]
    metric: Literal["accuracy", "perplexity"]
    labels: tuple[str, ...]
    languages: tuple[str, ...]
    layouts: tuple[Layout, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    parallel: tuple[str, ...] = ()
    label_tolerance: float = 0.0
    no_consensus: tuple[str, ...] = ()
    placeholders: tuple[str, ...] = ()
    hub: Hub | None = None


def label_indices(task: Task) -> dict[str, int]:
    """Every spelling of a label, in lower case, and the index it stands for."""
    index = {label.lower(): i for i, label in enumerate(task.labels)}
    return index | {alias: index[label.lower()] for alias, label in task.aliases.items()}


# XTREME writes its sentence-pair tasks alike: no header, two columns, and a third where the label is given. The names
# do not tell the tasks apart, so only those declare them that XTREME has, whose labels do.
XTREME_PAIR = Layout(rf"(?P<split>train|dev|test)-{LANGUAGE}\.tsv", "train-en.tsv")


def prefixed_pair(task: str) -> Layout:
    """XTREME's columns under names that say the task, for data sets that XTREME lacks: `sick-test-nl.tsv`."""
    return Layout(rf"{task}-(?P<split>train|dev|test)-{LANGUAGE}\.tsv", f"{task}-train-en.tsv")
