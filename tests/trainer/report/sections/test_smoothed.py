"""Randomized smoothing in the report: numbers of hand-written rows, and no trace of them in any other table."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from data_prep.base.errors import InputError
from tests.trainer.report.synthetic_runs import make_runs, row
from trainer.report.build import build
from trainer.report.data.certified import Smoothed, smoothed_groups
from trainer.report.data.collect import lay_out, missing_cells
from trainer.report.data.compute import compute
from trainer.report.data.runs import read_runs
from trainer.report.render import csv_rows, markdown
from trainer.results.predictions import Certificates, certified_path, write_certificates
from trainer.results.scores import RESULTS_FILE, merge_rows

LANGUAGES = ("en", "de", "sw")


def add_smoothed(run: Path, label: str, seed: int, language: str, radii: list[float], wrong: int = 0,
                 sigma: float = 0.5, **fields: object) -> None:
    """A smoothed row whose examples have these radii, 0 for abstained; the first `wrong` of the others are wrong."""
    count = len(radii)
    certified = np.array(radii) > 0
    correct = certified & (np.cumsum(certified) > wrong)
    path = certified_path("xnli", "test", language, "word_embeddings", sigma)
    write_certificates(run / "eval" / path, Certificates(
        np.arange(count), ["yes" if known else "abstain" for known in certified], correct.astype(np.int64),
        np.array(radii)))
    reach = np.where(correct, radii, 0.0)
    record = {"site": "word_embeddings", "sigma": sigma, "samples": 100, "selection_samples": 10, "alpha": 0.001,
              "seed": 0, "abstained": float(np.mean(~certified)), "vote": 0.875, "vote_abstained": 0.0,
              "mean_radius": float(reach.mean()), "median_radius": float(np.median(reach)), "token_norm": 1.25,
              "width": 64, "certified": path, **fields}
    merge_rows(run / "eval" / RESULTS_FILE, [row(
        label, seed, language, setting="smoothed", value=float(correct.mean()), n=count, outcomes=None,
        smoothing=record)])


def render(paths: list[Path]) -> str:
    runs = read_runs(paths)
    return markdown.render(build(compute(runs)))


def group_of(paths: list[Path], number: int = 0) -> Smoothed:
    return next(smoothed_groups(section)[number] for section in lay_out(read_runs(paths)) if section.split == "test")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """plain and pgd, two seeds each, smoothed with one sigma."""
    found = make_runs(tmp_path, labels=("plain", "pgd"), seeds=(1, 2), languages=LANGUAGES, generalized=False)
    for path, label, seed in zip(found, ("plain", "plain", "pgd", "pgd"), (1, 2, 1, 2), strict=True):
        for language in LANGUAGES:
            gain = 0.1 * (label == "pgd") + 0.2 * (seed == 2) * (language == "sw")
            add_smoothed(path, label, seed, language, [0.0, 0.2 + gain, 0.3 + gain, 0.4 + gain], wrong=1)
    return found


def test_the_curve_counts_what_is_right_and_certified(paths: list[Path]) -> None:
    group = group_of(paths)
    assert [name for name, _ in group.panels] == ["en", "mean, 2 non-en"]
    curve = group.curve("plain", ["en"])  # radii 0.3 and 0.4 are right, 0.2 is wrong, one abstained
    assert group.ceiling == pytest.approx(0.5 * NormalDist().inv_cdf(0.001 ** 0.01))
    for radius, share in ((0.0, 0.5), (0.29, 0.5), (0.31, 0.25), (0.39, 0.25), (0.41, 0.0)):
        assert np.interp(radius, curve.radii, curve.mean) == pytest.approx(share), radius
    assert not curve.deviation.any()
    assert curve.mean[-1] == 0
    area = float(np.trapezoid(curve.mean, curve.radii))
    assert area == pytest.approx((0.3 + 0.4) / 4, abs=0.005)  # the mean radius
    other = group.curve("plain", ["de", "sw"])  # sw of seed 2 is certified 0.2 further
    assert np.interp(0.45, other.radii, other.mean) == pytest.approx((0 + (0 + 0.5) / 2) / 2)
    assert np.interp(0.45, other.radii, other.deviation) == pytest.approx(np.std([0.0, 0.25], ddof=1))
    plain = [group.grid.value("plain", seed, (language, language)) for seed in (1, 2) for language in ("de", "sw")]
    assert other.plain == pytest.approx(np.mean([value for value in plain if value is not None]))


def test_the_section_and_its_table(paths: list[Path]) -> None:
    text = render(paths)
    part = text.split("### Randomized smoothing")[1].split("\n## ")[0].split("\n### ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    assert lines[0] == ("| label | languages | seeds | unsmoothed | smoothed | majority vote | abstained | "
                        "mean radius |")
    assert [line.split(" | ")[:3] for line in lines[2:6]] == [
        [f"| {label}", panel, "2"] for panel in ("en", "mean, 2 non-en") for label in ("plain", "pgd")]
    assert lines[3].endswith(" | 50.0 ± 0.0 | 87.5 ± 0.0 | 25.0 ± 0.0 | 0.225 ± 0 |")
    assert lines[5].endswith(" | 0.25 ± 0.035 |")  # seeds 0.225 and (0.225 + 0.325) / 2
    english = np.array([group_of(paths).grid.value("pgd", seed, ("en", "en")) for seed in (1, 2)]) * 100
    assert f" | {english.mean():.1f} ± {english.std(ddof=1):.1f} | 50.0" in lines[3]
    assert "figures/xnli-test-certified-0.svg" in part
    assert "alpha 0.001: no radius can exceed 0.75" in part
    assert "The noise of one token has norm 4, where its vector has 1.25 on average" in part
    assert part.count("**Smoothed accuracy (%) by language") == 1


def test_other_tables_do_not_see_smoothed_rows(tmp_path: Path, paths: list[Path]) -> None:
    add_smoothed(paths[0], "plain", 1, "en", [0.1, 0.2], sigma=0.25)
    clean = make_runs(tmp_path / "clean", labels=("plain", "pgd"), seeds=(1, 2), languages=LANGUAGES, generalized=False)
    assert missing_cells(read_runs(paths)) == []
    text = render(paths)
    start = text.index("### Randomized smoothing")
    end = start + min(text[start + 1 :].index("\n## "), text[start + 1 :].index("\n### ")) + 2
    assert text[:start] + text[end:] == render(clean)
    assert "moothed" not in render(clean)


def test_each_sigma_has_a_figure(paths: list[Path]) -> None:
    for path, label, seed in zip(paths, ("plain", "plain", "pgd", "pgd"), (1, 2, 1, 2), strict=True):
        add_smoothed(path, label, seed, "en", [0.1, 0.2], sigma=0.25)
    assert [(group_of(paths, i).sigma, group_of(paths, i).languages) for i in (0, 1)] == [
        (0.25, ["en"]), (0.5, list(LANGUAGES))]
    text = render(paths)
    assert len(re.findall(r"!\[.*\]\(figures/xnli-test-certified-\d\.svg\)", text)) == 2
    assert text.index("sigma 0.25") < text.index("sigma 0.5")


def test_means_are_over_languages_that_every_run_has(paths: list[Path]) -> None:
    rows = paths[2] / "eval" / RESULTS_FILE
    kept = [line for line in rows.read_text().splitlines()
            if not (json.loads(line)["setting"] == "smoothed" and json.loads(line)["language"] == "sw")]
    rows.write_text("\n".join(kept) + "\n")
    group = group_of(paths)
    assert group.panels == [("en", ["en"]), ("de", ["de"])]
    assert "Not smoothed in every run, so in no mean: sw." in render(paths)


def test_different_samples_are_said(paths: list[Path]) -> None:
    assert "their radii are not to be compared" not in render(paths)
    add_smoothed(paths[0], "plain", 1, "en", [0.1, 0.2, 0.3, 0.4], samples=1000)
    assert "their radii are not to be compared" in render(paths)


def test_unlabelled_rows_are_left_out(paths: list[Path]) -> None:
    for path, label, seed in zip(paths, ("plain", "plain", "pgd", "pgd"), (1, 2, 1, 2), strict=True):
        add_smoothed(path, label, seed, "en", [0.1], sigma=2.0)
        changed = [json.loads(line) for line in (path / "eval" / RESULTS_FILE).read_text().splitlines()]
        for fields in changed:
            if fields["smoothing"] and fields["smoothing"]["sigma"] == 2.0:
                fields.update(value=None, note="no label")
                fields["smoothing"].update(mean_radius=None, median_radius=None, vote=None)
        (path / "eval" / RESULTS_FILE).write_text("".join(json.dumps(fields) + "\n" for fields in changed))
    assert "sigma 2" not in render(paths)


def test_certificates_that_do_not_fit_their_row(paths: list[Path]) -> None:
    file = paths[0] / "eval" / certified_path("xnli", "test", "de", "word_embeddings", 0.5)
    write_certificates(file, Certificates(np.arange(4), ["yes"] * 4, np.ones(4, dtype=np.int64), np.ones(4)))
    with pytest.raises(InputError, match=r"holds 4 certificates, 100\.00 % right; its row says 4, 50\.00 %"):
        render(paths)
    file.unlink()
    with pytest.raises(InputError, match="evaluate the run again"):
        render(paths)


def test_a_smoothed_row_needs_its_standard_one(tmp_path: Path) -> None:
    add_smoothed(tmp_path / "r", "plain", 1, "en", [0.1, 0.2])
    with pytest.raises(InputError, match="has a smoothed row and no standard one"):
        lay_out(read_runs([tmp_path / "r"]))


def test_the_csv_has_the_noise(paths: list[Path]) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_rows.render(read_runs(paths)))))
    noisy = [line for line in lines if line["setting"] == "smoothed"]
    assert len(noisy) == 12
    assert {(line["smoothing_sigma"], line["smoothing_site"]) for line in noisy} == {("0.5", "word_embeddings")}
    assert {line["smoothing_sigma"] for line in lines if line["setting"] == "standard"} == {""}
