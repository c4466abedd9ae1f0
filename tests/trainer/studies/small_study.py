"""A study of a minute: two methods from one intermediate model on a few random sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data_prep.tokenizer import save_tokenizer, train_tokenizer
from tests.data_prep.conftest import sentences

PASSING = ("time", "seconds", "created", "host", "commit", "slurm_job")  # fields of a row that differ by life
LABELS = ("neutral", "contradiction", "entailment")
RECIPE = """\
model: {random: tiny, dropout: 0.0}
data: {train: [xnli/train/en], dev: [xnli/dev/en]}
batch: {size: 8}
schedule: {max_steps: 4}
evaluation: {every_steps: 2, on_collapse: warn}
checkpoint: {every_steps: 2}
logging: {every_steps: 1}
"""
STUDY: dict[str, Any] = {
    "title": "A small study",
    "question": "Does it work?",
    "hypothesis": "It does.",
    "parameters": {"source": None, "tokenizer": None},
    "seeds": [0],
    "factors": {"method": {"plain": {}, "pgd": {"label": "PGD", "set": {"target": {"method": "pgd"}}}}},
    "steps": {"xnli": {"command": "data_prep build xnli --source {source} --tokenizer {tokenizer} --workers 1",
                       "output": "shards/xnli"}},
    "stages": {"base": {"recipe": "tiny", "seed": 5},
               "target": {"recipe": "tiny", "start": "base", "set": {"model.random": None},
                          "evaluate": ["--tasks xnli --splits dev"]}},
    "comparisons": [{"factor": "method", "base": "plain"}],
    "sizes": {"toy": {}, "full": {"seeds": [0, 1, 2]}},
}


def write_study(folder: Path, **changes: Any) -> Path:
    """The study with other top-level keys, and its recipe beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.yaml").write_text(RECIPE)
    (folder / "small.yaml").write_text(json.dumps(STUDY | changes, indent=2))  # which is YAML, without aliases
    return folder / "small.yaml"


def write_source(folder: Path) -> list[str]:
    """Files and a tokenizer; the flags of the study's parameters."""
    (folder / "source").mkdir(parents=True)
    for name in ("train-en", "dev-en", "dev-de"):
        rows = enumerate(zip(sentences(40), sentences(40, 1), strict=True))
        lines = [f"{first}\t{second}\t{LABELS[row % 3]}\n" for row, (first, second) in rows]
        (folder / "source" / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    save_tokenizer(train_tokenizer(sentences(500), 120), folder / "tokenizer")
    return ["--source", str(folder / "source"), "--tokenizer", str(folder / "tokenizer")]


def results_of(out: Path) -> dict[str, list[str]]:
    """Rows of results.jsonl by run, without times, hosts and the names of folders."""
    found = {}
    for file in sorted(out.glob("runs/*/eval/results.jsonl")):
        rows = [json.loads(line.replace(str(out.resolve()), "OUT")) for line in file.read_text().splitlines()]
        found[file.parts[-3]] = sorted(json.dumps({key: value for key, value in row.items() if key not in PASSING})
                                       for row in rows)
    return found
