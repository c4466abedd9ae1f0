"""Declaration of a task: labels, metric, and how its publishers and the hub lay it out.

`data_prep.sources` finds and reads files by these declarations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

SPLITS = ("train", "dev", "test")
# a code with an optional script or region: sw, d030, eng_Latn, zh-Hans, pt-BR
LANGUAGE = r"(?P<language>[A-Za-z][A-Za-z0-9_]*(?:-(?:[A-Z][a-z]{3}|[A-Z]{2}|[0-9]{3}))*)"


@dataclass(frozen=True)
class Layout:
    """File naming and column scheme.

    `pattern` is matched against the whole path below the source folder and may capture `split` and `language`;
    `splits` translates the publisher's split names; `example` is one such path, for messages. Columns are positions
    if there is no header line, else alternatives of header names. `key` is the column with the publisher's name of a
    row, the same in every language; it may be missing. `language_column` holds the language of each row, if one file
    has the rows of all. `json_lines` marks files of one JSON object per line, whose keys are the columns. `lines` marks
    unlabelled text: one text per line, or two with a TAB between them.
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
    """Location on the hub: repository, configuration (`{language}` is filled in), splits and columns."""

    repo: str
    config: str | None
    splits: Mapping[str, str]
    first: str
    second: str
    label: str
    label_names: tuple[str, ...]  # names of integer labels, unless the data set has its own
    revision: str | None = None
    key: str | None = None  # column with the publisher's name of a row, the same in every language


@dataclass(frozen=True)
class Task:
    """One task. `labels` fixes the label order; `aliases` maps other spellings (lower case) to one of them.

    `kind` names an entry of `data_prep.kinds.KINDS`. `metric` selects checkpoints, `further_metrics` are reported too.
    `parallel` names the splits in which rows of equal key (without keys: of equal number) are translations of each
    other, and `label_tolerance` is the largest share of them whose published labels differ between two languages.
    `no_consensus` lists spellings for rows without agreement among annotators, which are left out and counted.
    `placeholders` lists texts that stand for a missing sentence.
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
    placeholders: tuple[str, ...] = ()
    further_metrics: tuple[str, ...] = ()
    hub: Hub | None = None

    @cached_property
    def label_index(self) -> dict[str, int]:
        """Every spelling of a label, in lower case -> its index."""
        index = {label.lower(): i for i, label in enumerate(self.labels)}
        return index | {alias: index[label.lower()] for alias, label in self.aliases.items()}


# XTREME's sentence-pair files: no header, two texts, and a label where it is public. File names do not tell the tasks
# apart, so only XTREME's own tasks, which differ in their labels, declare this layout.
XTREME_PAIR = Layout(rf"(?P<split>train|dev|test)-{LANGUAGE}\.tsv", "train-en.tsv")


def prefixed_pair(task: str) -> Layout:
    """XTREME's columns under file names with the task, for tasks that are not in XTREME: `sick-test-nl.tsv`."""
    return Layout(rf"{task}-(?P<split>train|dev|test)-{LANGUAGE}\.tsv", f"{task}-train-en.tsv")
