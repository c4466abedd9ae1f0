"""Scores prediction files against the publishers' files, with nothing of the project: plain reading and counting.

    python tests/real/rescore.py RUN XNLI_FOLDER     prints one line per cell: languages, accuracy, rows

Used by `test_real_chain.py`, which compares these numbers with the run's results.jsonl.
"""

from __future__ import annotations

import sys
from pathlib import Path

LABELS = {"contradiction": "contradiction", "contradictory": "contradiction", "entailment": "entailment",
          "neutral": "neutral"}


def gold(file: Path) -> list[str]:
    """The labels of an XNLI file in XTREME's layout, row by row; only a line feed ends a row."""
    text = file.read_bytes().decode("utf-8").removeprefix("\ufeff")
    rows = [row.removesuffix("\r") for row in text.split("\n")]
    return [LABELS[row.split("\t")[2]] for row in rows if row]


def rescore(run: Path, xnli: Path, split: str = "dev") -> dict[tuple[str, str], tuple[float, int]]:
    """(premise language, hypothesis language) -> (accuracy, rows), from the prediction files of `run`."""
    languages = {file.stem.removeprefix(f"{split}-"): gold(file) for file in sorted(xnli.glob(f"{split}-*.tsv"))}
    scores = {}
    for first in languages:
        for second in languages:
            stem = f"{split}-{first}" if first == second else f"{split}-{first}-{second}"
            predicted = (run / "eval/predictions/xnli" / f"{stem}.tsv").read_text(encoding="utf-8").split("\n")[:-1]
            rows = zip(predicted, languages[first], languages[second], strict=True)
            right = [p == a for p, a, b in rows if a == b]
            scores[first, second] = (sum(right) / len(right), len(right))
    return scores


if __name__ == "__main__":
    for (one, other), (accuracy, rows) in rescore(Path(sys.argv[1]), Path(sys.argv[2])).items():
        print(f"{one}\t{other}\t{accuracy:.6f}\t{rows}")
