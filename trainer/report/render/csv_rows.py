"""`results.csv`: every row of every run in long format, for a spreadsheet or a statistics package."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from trainer.report.data.runs import Run
from trainer.results.scores import ResultRow, SmoothingRecord

INFO = ("name", "family", "script", "resource", "morphology")
_NESTED = ("language_info", "train_languages", "smoothing", "settings")
_SMOOTHING = list(SmoothingRecord.model_fields)
COLUMNS = [name for name in ResultRow.model_fields if name not in _NESTED]
HEADER = ["run_path", *COLUMNS, *(f"language_{name}" for name in INFO), "train_languages", "recipe", "settings",
          *(f"smoothing_{name}" for name in _SMOOTHING)]


def table(rows: Sequence[Sequence[object]]) -> str:
    """CSV text of rows; floats with six significant digits, nothing for None, lower-case truth values."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([_shown(value) for value in row] for row in rows)
    return buffer.getvalue()


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else value


def render(runs: Sequence[Run]) -> str:
    """CSV text of the fields of all result rows, unscaled (accuracy as a fraction).

    Training languages are joined by spaces; settings are JSON; `recipe` is the digest of the settings. The label is the
    report's.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADER)
    for run in runs:
        for row in run.rows:
            fields = row.model_dump()
            info = [row.language_info.get(name, "") for name in INFO]
            plain = [fields[name] for name in COLUMNS]
            smoothing = [getattr(row.smoothing, name, "") for name in _SMOOTHING]  # empty but for smoothed rows
            settings = json.dumps(row.settings, sort_keys=True, ensure_ascii=False) if row.settings else ""
            writer.writerow([run.path.as_posix(), *plain, *info, " ".join(row.train_languages), row.recipe, settings,
                             *smoothing])
    return buffer.getvalue()
