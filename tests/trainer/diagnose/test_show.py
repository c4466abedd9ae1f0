"""What `diagnose` prints: every column is explained, with its unit, and the numbers are said in words."""

from __future__ import annotations

import pytest

from tests.trainer.report.sections.test_diagnostics import LANGUAGES, falling, row
from trainer.diagnose.show import print_rows


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(("label", "fields", "said"), [
    ("pgd", {}, "Trained radius: 0.3 of that unit, per token: perturbations in training were no longer."),
    ("pgd", {"scope": "sequence"}, "inside: share of sentences no farther from English than that."),
    ("pgd", {"norm": "linf"}, "Trained radius: 0.6 in every dimension, per token"),
    ("plain", {}, "inside, may be: nothing, for this run was trained without a radius of perturbations."),
])
def test_columns_and_units_are_explained(label: str, fields: dict[str, str], said: str, wide: None,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([row(label, 1, language, falling(language), **fields) for language in LANGUAGES])
    text = " ".join(capsys.readouterr().out.split())
    assert "xnli/test: how far sentences lie from their English translations inside the model, and accuracy" in text
    assert "…" not in text, "the table fits into 80 columns"
    for word in ("token:", "sent.:", "cos.:", "site:", "last:", "inside", "may be", "right:"):
        assert word in text
    assert "(2 at the site, 2 in the last layer)" in text
    assert said in text
    assert ("The farther a language's tokens lie from English at the site, the lower its accuracy: Spearman's rank "
            "correlation −1.00 over 5 languages besides English, p 0.017") in text
    assert "harder than such noise" in text


def test_no_trend_is_said_of_few_or_unlike_languages(wide: None, capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([row("pgd", 1, language, 0.8) for language in ("en", "de", "sw")])
    assert "Too few languages besides English to say whether accuracy falls" in capsys.readouterr().out
    mixed = dict(zip(LANGUAGES, (0.9, 0.6, 0.7, 0.5, 0.72, 0.6), strict=True))
    print_rows([row("pgd", 1, language, mixed[language]) for language in LANGUAGES])
    assert "No clear relation of distance and accuracy: Spearman's" in capsys.readouterr().out


def test_noise_of_no_length_is_no_table(wide: None, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("pgd", 1, language, falling(language)) for language in LANGUAGES]
    assert all(one.noise and one.noise[0].scale == 0 for one in rows)
    print_rows([one.model_copy(update={"noise": (one.noise or [])[:1]}) for one in rows])
    assert "Gaussian noise" not in capsys.readouterr().out
