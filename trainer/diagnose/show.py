"""Display of a run's diagnostic rows: tables in the terminal, figures for TensorBoard."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from data_prep.languages import same_language
from trainer.plots.events import EventFile
from trainer.plots.figures import NOISE_AXIS, Curve, Spot, curves, distance_scatter, limits
from trainer.results.diagnostics import ENGLISH, DiagnosticRow
from trainer.results.numbers import counted
from trainer.statistics.rank_correlation import FEWEST_LANGUAGES, RankCorrelation, rank_correlation

SUFFIX = ".diagnose"  # of this command's event files, the only ones that it replaces
CLEAR = 0.05  # p below which a relation is stated
BIN_AXIS = "sentence distance to English (mean token norms)"


def print_rows(rows: Sequence[DiagnosticRow]) -> None:
    """Print the rows of each task and split: what is measured, the numbers, and what they mean."""
    console = Console()
    for (task, split), found in _by_split(rows).items():
        print(f"{task}/{split}: how far sentences lie from their English translations inside the model, and accuracy")
        _print_distances(console, found)
        for line in [*_legend(found[0]), correlation_line(found)]:
            print(textwrap.fill(line, console.width, initial_indent="  ", subsequent_indent="    "))
        if any(point.scale for row in found for point in row.noise or []):  # at 0 alone it repeats the accuracy
            _print_noise(console, found)


def _legend(row: DiagnosticRow) -> list[str]:
    """Meaning of each column of the table of distances, units included; of any row of the table."""
    unit, of = row.site.english_norm, "sentence" if row.scope == "sequence" else "token"
    lines = [
        f"site: {row.site_name}, where robust training adds its perturbations. last: output of the last layer.",
        "token: mean distance of a token's vector to the nearest token of the English sentence.",
        "sent.: distance between the mean vectors of the two sentences. cos.: cosine of their angle, 1 if alike.",
        "right: share of rows that the model gets right, its accuracy.",
        f"Unit of distances: the mean length of an English token's vector there ({unit:.3g} at the site, "
        f"{row.last.english_norm:.3g} in the last layer)."]
    if row.radius is None:
        return [*lines, "inside, may be: nothing, for this run was trained without a radius of perturbations."]
    size = f"{row.radius / unit:.3g} of that unit" if row.norm == "l2" else f"{row.radius:.3g} in every dimension"
    return [*lines, f"Trained radius: {size}, per {of}: perturbations in training were no longer.",
            f"inside: share of {of}s no farther from English than that. may be: share of "
            "sentences of which all tokens may be inside, as far as the sentence's distance tells."]


def correlation_line(rows: Sequence[DiagnosticRow]) -> str:
    """Trend of accuracy with distance over the languages of one run, in words."""
    found, languages = correlate(rows)
    if found is None:
        return (f"Too few languages besides English to say whether accuracy falls with distance: {languages}, "
                f"at least {FEWEST_LANGUAGES} that differ are needed.")
    trend = ("No clear relation of distance and accuracy" if found.p >= CLEAR else
             f"The farther a language's tokens lie from English at the site, the "
             f"{'lower' if found.mean < 0 else 'higher'} its accuracy")
    rho = f"{found.mean:+.2f}".replace("-", "−")
    return (f"{trend}: Spearman's rank correlation {rho} over {counted(found.n, 'language')} besides English, "
            f"p {found.p:.3f} (−1: the farthest is the least accurate, 0: no relation). Of this run only.")


def correlate(rows: Sequence[DiagnosticRow]) -> tuple[RankCorrelation | None, int]:
    """(Correlation of one run or None, number of languages other than English with an accuracy)."""
    pairs = [(row.site.token, row.accuracy) for row in rows if not row.is_english and row.accuracy is not None]
    distances, accuracies = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return rank_correlation([distances], [accuracies]), len(pairs)


def write_figures(folder: Path, rows: Sequence[DiagnosticRow]) -> None:
    """Write a TensorBoard event file with figures of every task and split, in place of an earlier one."""
    earlier = list(folder.glob(f"events.out.tfevents.*{SUFFIX}"))
    with EventFile(folder, suffix=SUFFIX) as events:
        for (task, split), found in _by_split(rows).items():
            for name, figure in figures(found).items():
                events.figure(f"diagnose-{task}-{split}/{name}", figure, found[0].step)
    for path in earlier:
        path.unlink(missing_ok=True)


def figures(rows: Sequence[DiagnosticRow]) -> dict[str, Figure]:
    """Figures of one task and split by name; empty without labels."""
    scored = [(row, row.accuracy) for row in rows if row.accuracy is not None]
    if not scored:
        return {}
    label, position = rows[0].label, 0
    spots = [Spot(row.language, row.site.token_relative, accuracy) for row, accuracy in scored]
    ball = next((row for row in rows if row.radius is not None and (row.norm, row.scope) == ("l2", "token")), None)
    radius = ball.radius / ball.site.english_norm if ball and ball.radius is not None else None
    noise = [Curve(row.language, place, [point.scale for point in row.noise or []],
                   [point.accuracy for point in row.noise or []], [0.0] * len(row.noise or []))
             for place, (row, _) in enumerate(scored)]
    english = next((curve for curve in noise if same_language(curve.name, ENGLISH)), None)
    drawn = {"distance": distance_scatter(f"{label}, {rows[0].site_name}", position, spots, radius,
                                          limits(spots), english)}
    drawn["noise"] = curves({f"{label}, {rows[0].site_name}": noise}, NOISE_AXIS)
    by_bin = [Curve(row.language, place, [part.distance for part in row.bins], [part.accuracy for part in row.bins],
                    [0.0] * len(row.bins)) for place, (row, _) in enumerate(scored) if row.bins]
    if by_bin:
        drawn["distance-bins"] = curves({f"{label}: sentences from near to far": by_bin}, BIN_AXIS)
    return drawn


def _print_distances(console: Console, rows: Sequence[DiagnosticRow]) -> None:
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, header_style="bold")
    table.add_column("language", no_wrap=True)
    for name in ("rows", "token,\nsite", "sent.,\nsite", "token,\nlast", "sent.,\nlast", "cos.,\nlast",
                 "inside\n%", "may be\n%", "right\n%"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row.language, str(row.n),
                      *(f"{value:.3f}" for place in (row.site, row.last)
                        for value in (place.token_relative, place.sentence_relative)),
                      f"{row.last.cosine:.3f}", *map(_percent, (row.inside, row.inside_sentences, row.accuracy)))
    console.print(table)


def _print_noise(console: Console, rows: Sequence[DiagnosticRow]) -> None:
    print("Accuracy (%) with Gaussian noise of this length (same unit) on the vector of every token at the site:")
    scales = [point.scale for point in next(row.noise for row in rows if row.noise)]
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, header_style="bold")
    table.add_column("language", no_wrap=True)
    for scale in scales:
        table.add_column(f"{scale:g}", justify="right")
    for row in rows:
        if row.noise:
            table.add_row(row.language, *(_percent(point.accuracy) for point in row.noise))
    console.print(table)
    print("  A language below English under noise as long as its own distance (token, site) is harder than such noise.")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _by_split(rows: Sequence[DiagnosticRow]) -> dict[tuple[str, str], list[DiagnosticRow]]:
    """Rows by task and split, English first."""
    ordered = sorted(rows, key=lambda row: (row.task, row.split, not row.is_english, row.language))
    return {pair: list(found) for pair, found in groupby(ordered, key=lambda row: (row.task, row.split))}
