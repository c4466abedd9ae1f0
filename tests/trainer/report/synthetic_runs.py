"""Made-up evaluated runs: result rows and outcome files with plausible numbers, written by the ordinary writers.

A run's outcomes are drawn so that hard examples are hard for every label and in every language, as on real parallel
test sets; labels shift the chance of being right by a known amount.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from trainer.report.build import build
from trainer.report.data.collect import lay_out
from trainer.report.data.compute import compute
from trainer.report.data.grid import Grid
from trainer.report.data.runs import read_runs
from trainer.report.document import Table
from trainer.report.render import markdown
from trainer.results.outcomes import outcomes_path, write_outcomes
from trainer.results.predictions import predictions_path
from trainer.results.scores import RESULTS_FILE, ResultRow, merge_rows, read_rows

LANGUAGES = {
    "en": (0.90, "English", "Germanic", "Latin", "high"),
    "de": (0.82, "German", "Germanic", "Latin", "high"),
    "ru": (0.78, "Russian", "Slavic", "Cyrillic", "high"),
    "tr": (0.72, "Turkish", "Turkic", "Latin", "medium"),
    "zh": (0.74, "Chinese", "Sinitic", "Han", "high"),
    "sw": (0.64, "Swahili", "Bantu", "Latin", "low"),
}
SHIFTS = {"plain": 0.0, "random_noise": 0.004, "pgd": 0.035}
EXAMPLES = 600
CHANCE = 1 / 3


def settings(label: str, **changes: object) -> dict[str, object]:
    """What determined a run of this label but the seed, as training records it."""
    ball = {"robust.epsilon": 0.1, "robust.ascent_steps": 3, "kernels": "cpu"} if label != "plain" else {}
    return {"optimizer.lr": 2e-5, "batch.size": 32, "schedule.max_steps": 2000, "model.dropout": 0.1,
            "engine.precision": "fp32", "robust.method": "pgd" if label == "pgd" else "plain", **ball,
            "data.train": "xnli/train/en", "data.rows": "5e1f" * 4, "selection.cell": "xnli/dev/en",
            "selection.rows": "c0de" * 4, "selection.window": 1.0, "selection.evaluations": 10,
            "model.origin": "weights " + "0a1b" * 4, **changes}


def digest(text: str) -> str:
    """A made-up hash of content."""
    return hashlib.sha256(text.encode()).hexdigest()


def language_info(language: str) -> dict[str, str]:
    """The record that a shard's manifest carries."""
    _, name, family, script, resource = LANGUAGES.get(language, (0.7, language, "unknown", "unknown", "unknown"))
    return {"name": name, "family": family, "script": script, "resource": resource, "morphology": "unknown"}


def make_runs(
    root: Path,
    labels: tuple[str, ...] = tuple(SHIFTS),
    seeds: tuple[int, ...] = (1, 2, 3),
    languages: tuple[str, ...] = tuple(LANGUAGES),
    generalized: bool = True,
    oracle: bool = True,
) -> list[Path]:
    """Write a run per label and seed under `root`; return their directories."""
    paths = []
    for label in labels:
        for seed in seeds:
            path = root / f"{label}-s{seed}"
            rows = [cell_row(path, label, seed, a, a) for a in languages]
            if generalized:
                rows += [cell_row(path, label, seed, a, b, "generalized") for a in languages for b in languages]
            if oracle:
                rows += [oracle_row(label, seed, language) for language in languages]
            merge_rows(path / "eval" / RESULTS_FILE, rows)
            paths.append(path)
    return paths


def row(label: str, seed: int, language: str, **fields: object) -> ResultRow:
    """A result row with sensible defaults."""
    defaults: dict[str, object] = {
        "run": f"{label}-s{seed}", "label": label, "method": "pgd" if label == "pgd" else "plain", "seed": seed,
        "task": "xnli", "kind": "pair", "metric": "accuracy", "split": "test", "language": language,
        "language_2": language, "value": 0.5, "n": EXAMPLES, "step": 1200,
        "language_info": language_info(language), "train_languages": ["en"], "settings": settings(label),
        "model": "xlm-roberta-base",
        "chosen_on": "xnli/dev/en", "checkpoint": digest(f"{label} {seed}"), "precision": "fp32", "chance": CHANCE,
        "kernels": "" if label == "plain" else "cpu",
    }
    return ResultRow.model_validate({**defaults, **fields})


def cell_row(path: Path, label: str, seed: int, a: str, b: str, setting: str = "standard") -> ResultRow:
    """A row with its outcome file, drawn from the label, the seed and the two languages."""
    correct = draw(label, seed, a, b)
    second = b if setting == "generalized" else None
    outcomes = outcomes_path("xnli", "test", a, second)
    write_outcomes(path / "eval" / outcomes, [f"{i:04}" for i in range(EXAMPLES)], correct)
    return row(label, seed, a, cell_sha256=digest(f"{a} {b}"), language_2=b, setting=setting,
               value=float(correct.mean()), outcomes=outcomes, predictions=predictions_path("xnli", "test", a, second))


def oracle_row(label: str, seed: int, language: str) -> ResultRow:
    """A dev-selected row without examples, as `evaluate` writes it."""
    value = round(LANGUAGES[language][0] + SHIFTS[label] + 0.01 + 0.002 * seed, 4)
    return row(label, seed, language, split="dev", selection="oracle", value=value, n=0, checkpoint="",
               step=600 + 100 * seed)


def draw(label: str, seed: int, a: str, b: str) -> np.ndarray:
    """Right or wrong per example, the same for the same arguments."""
    names = list(LANGUAGES)
    hardness = np.random.default_rng(7).uniform(size=EXAMPLES)
    cell = np.random.default_rng([names.index(a), names.index(b)]).uniform(size=EXAMPLES)
    own = np.random.default_rng([names.index(a), names.index(b), seed, list(SHIFTS).index(label)])
    chance = (LANGUAGES[a][0] + LANGUAGES[b][0]) / 2 - (0.03 if a != b else 0.0)
    chance += SHIFTS[label] * (0.2 if a == b == "en" else 1.0) + own.normal(0, 0.006)
    return (0.5 * hardness + 0.4 * cell + 0.1 * own.uniform(size=EXAMPLES)) < _quantile(chance)


def _quantile(chance: float) -> float:
    """The threshold under which a share `chance` of the mixed uniform draws lies (measured once)."""
    draws = np.random.default_rng(1).uniform(size=(20000, 3)) @ np.array([0.5, 0.4, 0.1])
    return float(np.quantile(draws, min(max(chance, 0.0), 1.0)))


def standard_grid(paths: list[Path], task: str = "xnli", split: str = "test") -> Grid:
    return next(s.standard for s in lay_out(read_runs(paths)) if (s.task, s.split) == (task, split))


def edit_rows(run: Path, keep: Callable[[ResultRow], bool]) -> None:
    """Keep only the rows that `keep` says."""
    path = run / "eval" / RESULTS_FILE
    rows = [r for r in read_rows(path) if keep(r)]
    path.write_text("".join(json.dumps(r.model_dump()) + "\n" for r in rows))


def render(paths: list[Path]) -> str:
    """The report as Markdown, without writing a file."""
    runs = read_runs(paths)
    return markdown.render(build(compute(runs)))


def texts(table: Table) -> list[list[str]]:
    return [[f"{entry.text} {entry.below}".strip() for entry in line] for line in table.rows]
