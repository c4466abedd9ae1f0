"""The report's section on distance and noise, on rows written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from tests.trainer.report.synthetic_runs import make_runs
from trainer.report.build import build
from trainer.report.data.compute import compute
from trainer.report.data.runs import read_runs
from trainer.report.document import Document
from trainer.report.render import markdown
from trainer.report.render import tensorboard as events
from trainer.report.write import write_report
from trainer.results.diagnostics import DIAGNOSTICS_FILE, DiagnosticRow, merge_diagnostics, read_diagnostics

LANGUAGES = ("en", "de", "ru", "tr", "zh", "sw")
DISTANCES = {"en": 0.0, "de": 0.4, "ru": 0.6, "zh": 0.8, "tr": 1.0, "sw": 1.2}
NORM = 2.0


def place(distance: float) -> dict[str, float]:
    return {"english_norm": NORM, "token": NORM * distance, "sentence": NORM * distance / 2,
            "token_relative": distance, "sentence_relative": distance / 2, "cosine": 1 - distance / 2}


def row(label: str, seed: int, language: str, accuracy: float | None, **fields: object) -> DiagnosticRow:
    robust = label != "plain"
    values: dict[str, object] = {
        "run": f"{label}-s{seed}", "label": label, "method": label, "seed": seed, "task": "xnli", "split": "test",
        "language": language, "step": 10, "n": 600, "excluded": 0, "site_name": "word_embeddings",
        "site": place(DISTANCES[language]), "last": place(DISTANCES[language] / 2), "norm": "l2", "scope": "token",
        "radius": 0.6 if robust else None, "inside": 0.125 if robust else None,
        "inside_sentences": 0.5 if robust else None, "accuracy": accuracy,
        "bins": None if accuracy is None or language == "en" else
        [{"distance": 0.1, "accuracy": accuracy, "n": 300}, {"distance": 0.2, "accuracy": accuracy - 0.1, "n": 300}],
        "noise": None if accuracy is None else
        [{"scale": s, "accuracy": accuracy - s / 4} for s in (0.0, 0.5, 1.0)], "noise_draws": 1, "noise_seed": 0}
    return DiagnosticRow.model_validate({**values, **fields})


def falling(language: str) -> float:
    return 0.9 - DISTANCES[language] / 2


def runs_with_rows(root: Path, languages: Sequence[str] = LANGUAGES, shuffled: bool = False) -> list[Path]:
    """Evaluated runs of two labels and seeds; with diagnostics in which accuracy falls with distance, or does not."""
    paths = make_runs(root, labels=("plain", "pgd"), seeds=(1, 2), languages=("en", "de"), generalized=False,
                      oracle=False)
    mixed = dict(zip(LANGUAGES, (0.9, 0.6, 0.7, 0.5, 0.72, 0.6), strict=True))
    for path in paths:
        label, seed = path.name.rsplit("-s", 1)
        shift = 0.02 * (label == "pgd") + 0.002 * int(seed)
        rows = [row(label, int(seed), lang, (mixed[lang] if shuffled else falling(lang)) + shift)
                for lang in languages]
        merge_diagnostics(path / "eval" / DIAGNOSTICS_FILE, rows)
    return paths


def document(paths: list[Path]) -> Document:
    runs = read_runs(paths)
    return build(compute(runs))


def section(text: str) -> str:
    return text.split("## Distance to English: xnli / test")[1].split("\n## ")[0]


def test_numbers_and_words(tmp_path: Path) -> None:
    text = markdown.render(document(runs_with_rows(tmp_path)))
    part = section(text)
    assert "Trained radius per token, in the same unit: pgd 0.30." in part  # 0.6 / 2
    assert ("plain: the farther a language's tokens lie from English, the lower its accuracy, rank correlation −1.00 "
            "over 5 other languages (mean of 2 runs, from −1.00 to −1.00), p = 0.017.") in part  # 2 orders of 120
    # sw lies beyond the largest noise. The others: 0.9 - d/2 minus 0.9 - d/4, at d = 0.4, 0.6, 0.8 and 1.
    assert "| plain | 2 | −1.00 −1.00 to −1.00 | −1.00 −1.00 to −1.00 |" in part
    assert "| +10.0 ± 0.0 | −17.5 ± 0.0 |" in part
    assert "| de | 0.400 ± 0.000 | 0.200 ± 0.000 | 0.200 ± 0.000 | 0.100 ± 0.000 | 0.900 ± 0.000 | 12.5 ± 0.0 | " \
           "50.0 ± 0.0 | 72.3 ± 0.1 |" in part
    order = [line.split(" | ")[0].strip("| ") for line in part.split("plain: distances")[1].splitlines()
             if " | – | – | " in line]
    assert order == ["en", "de", "ru", "zh", "tr", "sw"]  # from near to far
    assert "| plain | 90.3 ± 0.1 | 77.8 ± 0.1 | 65.3 ± 0.1 |" in part.split("by noise per token: English")[1]
    assert "| plain | 50.3 ± 0.1 |" in part.split("by noise per token: mean of 5 others")[1]
    assert "- xnli / test: rank correlation of distance to English and accuracy over 5 languages other than English: " \
           "plain −1.00 and pgd −1.00." in text
    assert "- Rank correlation: Spearman's" in text


def test_no_relation_is_called_none(tmp_path: Path) -> None:
    text = markdown.render(document(runs_with_rows(tmp_path, shuffled=True)))
    assert "plain: no clear relation between distance to English and accuracy, rank correlation" in section(text)
    assert "(not clear)" in text.split("## xnli / test")[0]


def test_nothing_is_claimed_of_three_languages(tmp_path: Path) -> None:
    text = markdown.render(document(runs_with_rows(tmp_path, languages=("en", "de", "ru", "tr"))))
    assert "plain: 3 other languages, too few (or too alike) to say" in section(text)
    assert "rank correlation of distance" not in text.split("## xnli / test")[0]


def test_without_diagnostics_there_is_no_section(tmp_path: Path) -> None:
    paths = make_runs(tmp_path, labels=("plain",), seeds=(1,), generalized=False)
    text = markdown.render(document(paths))
    assert "Distance to English" not in text
    assert "Spearman" not in text


def test_runs_and_labels_without_some_languages(tmp_path: Path) -> None:
    """One run not diagnosed, another without a language and with other scales: means are over what all have."""
    paths = runs_with_rows(tmp_path)
    (paths[0] / "eval" / DIAGNOSTICS_FILE).unlink()
    file = paths[3] / "eval" / DIAGNOSTICS_FILE
    rows = [r for r in read_diagnostics(file) if r.language != "sw"]
    file.unlink()
    merge_diagnostics(file, rows)
    part = section(markdown.render(document(paths)))
    assert "over 4 other languages (one run, so nothing is known of other seeds)" in part
    assert "by noise per token: mean of 4 others" in part
    assert "sw" in part.split("pgd: distances")[1]


def test_unlabelled_languages_have_distances_only(tmp_path: Path) -> None:
    paths = runs_with_rows(tmp_path, languages=())
    for path in paths:
        label, seed = path.name.rsplit("-s", 1)
        rows = [row(label, int(seed), lang, None) for lang in ("en", "sw")]
        merge_diagnostics(path / "eval" / DIAGNOSTICS_FILE, rows)
    made = document(paths)
    part = section(markdown.render(made))
    assert "| sw | 1.200 ± 0.000 |" in part
    assert "Rank correlation" not in part
    assert not [drawing for _, drawing in made.drawings() if "distance" in drawing.name]


def test_the_written_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "write", lambda *_: False)
    summary = write_report(runs_with_rows(tmp_path / "runs"), tmp_path / "out")
    page = summary.html.read_text()
    assert 'id="xnli-test-distance"' in page
    for name in ("xnli-test-distance-0", "xnli-test-distance-1", "xnli-test-distance-noise"):
        svg = (tmp_path / "out" / "figures" / f"{name}.svg").read_text()
        assert "accuracy (%)" in svg
        assert ("radius" in svg) == (name == "xnli-test-distance-1"), "the plain label has none"


def test_damaged_rows_leave_no_report(tmp_path: Path) -> None:
    paths = runs_with_rows(tmp_path / "runs")
    with (paths[1] / "eval" / DIAGNOSTICS_FILE).open("a") as file:
        file.write('{"run": "half')
    with pytest.raises(InputError, match=r"diagnostics.jsonl:7: not a diagnostic row"):
        write_report(paths, tmp_path / "out")
    assert not (tmp_path / "out").exists()
