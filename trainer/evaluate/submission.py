"""`python -m trainer submission RUNS... --suite xtreme --out DIR`: the official folder of a suite from evaluated runs.

Inputs: `<run>/eval/` of runs that hold a task of the suite each. Output: `DIR/<task>/test-<language>.<extension>`
(XTREME, XTREME-R) or `DIR/<TASK>/<language>.prediction` (XGLUE), written whole or not at all, and the suite's score
where every task and language has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from data_prep.base.errors import InputError
from data_prep.base.files import put_in_place, working_folder
from data_prep.languages import canonical_code
from data_prep.shards.manifest import MANIFEST_FILE, Manifest, read_manifest
from trainer.evaluate.official import FORMATS, File
from trainer.evaluate.shards_root import find_shards_root
from trainer.evaluate.suites import Part, Suite, named_suite
from trainer.results.predictions import read_text
from trainer.results.scores import RESULTS_FILE, ResultRow, file_in, read_rows
from trainer.runs.record import read_record


@dataclass(frozen=True)
class Entry:
    """The rows of one language of a task in one run, by metric."""

    run: Path
    rows: Mapping[str, ResultRow]

    @property
    def row(self) -> ResultRow:
        """Any of its rows; they share the prediction file."""
        return next(iter(self.rows.values()))


Entries = dict[tuple[str, str], Entry]
"""By part and language of the suite."""


def submission(*runs: str, suite: str, out: str, shards: str | None = None, overwrite: bool = False) -> int:
    """Merge the prediction files of evaluated runs into the official folder of a suite: xtreme, xtreme_r, xglue.

    RUNS are evaluated run directories; each task comes from one of them. shards: the folder with the cells, whose
    manifests tell the publisher's number of rows where it is not known (default: as of evaluate). What is missing is
    listed; the overall score is given only when nothing is.
    """
    chosen = named_suite(suite)
    if not runs:
        raise InputError("no run given; expected evaluated run directories")
    _check_out(Path(out), chosen, overwrite)
    entries = collect([Path(run) for run in dict.fromkeys(runs)], chosen)
    files, lines, incomplete = {}, [], set()
    for (name, language), entry in entries.items():
        part = chosen.parts[name]
        if part.format is not None and entry.row.predictions is not None:
            manifest = _manifest(entry, shards)
            found = convert(entry, part, language, manifest)
            extension = FORMATS[part.format].extension
            files[f"{name}/{chosen.file.format(language=language, extension=extension)}"] = found.text
            lines += [f"{name}/{language}: {note}" for note in notes(found, part, language, manifest)]
            if found.left_out:
                incomplete.add((name, language))
    if not files:
        raise InputError(f"none of {', '.join(runs)} holds predictions on a test set of {suite}; evaluate them with "
                         f"--suite {suite} first")
    _write(Path(out), files, overwrite)
    for line in [*lines, *_missing(entries, chosen), *scores(entries, chosen, suite, incomplete)]:
        print(line)
    print(f"{out}: {len(files)} prediction files")
    return 0


def collect(runs: Sequence[Path], suite: Suite) -> Entries:
    """Rows of `runs` on the suite's test sets, whatever the codes of their languages.

    Raises InputError where two runs hold one task, or a run holds one language of it twice.
    """
    found: dict[tuple[str, str], dict[str, ResultRow]] = {}
    owners: dict[str, Path] = {}
    for run in runs:
        results = run / "eval" / RESULTS_FILE
        if not results.is_file():
            raise InputError(f"{run} has no eval/{RESULTS_FILE}: evaluate the run first")
        for row in read_rows(results):
            for name, part in suite.parts.items():
                language = _language(row, part)
                if language is None:
                    continue
                if (owner := owners.setdefault(name, run)) != run:
                    raise InputError(f"{owner} and {run} both hold {row.task}; a submission takes a task from one run: "
                                     "leave one of them out, or evaluate it on its own tasks only")
                rows = found.setdefault((name, language), {})
                if row.metric in rows:
                    raise InputError(f"{results}: {rows[row.metric].language} and {row.language} of {row.task} are one "
                                     f"language of the suite, {language}; remove the rows of one of them")
                rows[row.metric] = row
    order = [(name, language) for name, part in suite.parts.items() for language in part.languages]
    return {key: Entry(owners[key[0]], found[key]) for key in order if key in found}


def _language(row: ResultRow, part: Part) -> str | None:
    """The suite's code of the row's language; None for a row that is not of this part."""
    if row.task not in part.tasks or (row.setting, row.selection, row.split) != ("standard", "best", part.split):
        return None
    known = {canonical_code(language): language for language in part.languages}
    return known.get(canonical_code(row.language))


def _manifest(entry: Entry, shards: str | None) -> Manifest | None:
    """Manifest of the cell that was predicted on; None where it is not at hand any more, or is of other rows."""
    record, row = read_record(entry.run), entry.row
    try:
        root = find_shards_root(entry.run, record, shards) if record else Path(shards) if shards else None
    except InputError:
        return None
    cell = root / row.task / row.split / row.language if root else None
    if cell is None or not (cell / MANIFEST_FILE).is_file():
        return None
    manifest = read_manifest(cell)
    return manifest if manifest.rows_sha256 == row.cell_sha256 else None


def convert(entry: Entry, part: Part, language: str, manifest: Manifest | None) -> File:
    """The official file of one language. Raises InputError, naming the prediction file, for one that does not fit."""
    path = file_in(entry.run / "eval", str(entry.row.predictions))
    rows = part.rows.get(language, manifest.source_rows if manifest and part.format != "indices" else None)
    try:
        return FORMATS[str(part.format)].convert(read_text(path), rows, part.labels)
    except InputError as error:
        raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def notes(found: File, part: Part, language: str, manifest: Manifest | None) -> list[str]:
    """Notes on a file for the submitter."""
    lines = []
    if found.left_out:
        lines.append(f"{found.left_out:,} rows without a prediction, which count as wrong")
    if language not in part.rows and manifest is None and part.format != "pairs":
        lines.append(f"{found.rows:,} rows, not compared with the publisher's number: name the cells with --shards")
    if part.format == "indices" and manifest is not None and manifest.has_labels:
        lines.append("the candidates of this cell are in the order of an aligned file, not in XTREME's: build the cell "
                     "from XTREME's own files before submitting")
    return lines


def _check_out(out: Path, suite: Suite, overwrite: bool) -> None:
    """Raise InputError where `out` is something that must not be replaced."""
    if not out.exists():
        return
    if not overwrite:
        raise InputError(f"--out {out} exists; add --overwrite, or choose another folder")
    if not out.is_dir() or (other := sorted(path.name for path in out.iterdir() if path.name not in suite.parts)):
        what = f"holds {other[0]}" if out.is_dir() else "is a file"
        raise InputError(f"--out {out} {what}, which is no part of a submission; choose another folder")


def _write(out: Path, files: Mapping[str, str], overwrite: bool) -> None:
    with working_folder(out, "submission") as folder:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        put_in_place(folder, out, overwrite)


def _missing(entries: Entries, suite: Suite) -> list[str]:
    lines = []
    for name, part in suite.parts.items():
        absent = [language for language in part.languages if (name, language) not in entries
                  or (part.format is not None and entries[name, language].row.predictions is None)]
        if absent:
            which = f"all {len(absent)} languages" if len(absent) == len(part.languages) else ", ".join(absent)
            lines.append(f"missing  {name}: {which}")
    return lines


def scores(entries: Entries, suite: Suite, name: str, incomplete: Set[tuple[str, str]]) -> list[str]:
    """A line per task that has scores, in percent, and the mean over tasks where all have them in all languages.

    incomplete: parts and languages whose files lack rows. Their scores are of the rows that were predicted, so they are
    marked, and count for no overall score.
    """
    lines, means = [], []
    for folder, part in suite.parts.items():
        values = [score for language in part.languages if (folder, language) in entries
                  and (score := part_score(entries[folder, language], part)) is not None]
        lacking = [language for language in part.languages if (folder, language) in incomplete]
        if values:
            mean = 100 * sum(values) / len(values)
            note = f" (of the predicted rows only: {', '.join(lacking)})" if lacking else ""
            lines.append(f"{folder}: {mean:.2f} over {len(values)} of {len(part.languages)} languages{note}")
        if len(values) == len(part.languages) and not lacking:
            means.append(mean)
    if len(means) == len(suite.parts):
        return [*lines, f"{name}: {sum(means) / len(means):.2f}, mean over {len(means)} tasks of means over languages"]
    return [*lines,
            f"{name}: no overall score, {len(means)} of {len(suite.parts)} tasks have a score on all rows in every "
            "language"]


def part_score(entry: Entry, part: Part) -> float | None:
    """Score of one language, a fraction; None where a metric has no value."""
    values = [next((entry.rows[metric].value for metric in names if metric in entry.rows), None)
              for names in part.scores]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
