"""Display of a run's diagnostic rows: tables in the terminal, figures for TensorBoard."""

from __future__ import annotations

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
BIN_AXIS = "sentence distance to English (mean token norms)"


def print_rows(rows: Sequence[DiagnosticRow]) -> None:
    """Print the rows of each task and split, and the correlation of distance and accuracy over its languages."""
    console = Console()
    for (task, split), found in _by_split(rows).items():
        first = found[0]
        trained = "none" if first.radius is None else f"{first.radius:.3g} ({first.norm}, per {first.scope})"
        print(f"{task}/{split}: distances to English in units of the mean norm of English tokens "
              f"({first.site.english_norm:.3g} at {first.site_name}, {first.last.english_norm:.3g} at the last layer); "
              f"trained radius: {trained}" + ("" if first.radius is None else
              "; inside: share within it, may be: sentences whose distance does not rule that out"))
        _print_distances(console, found)
        print(correlation_line(found))
        if any(row.noise for row in found):
            _print_noise(console, found)


def correlation_line(rows: Sequence[DiagnosticRow]) -> str:
    """Rank correlation of distance and accuracy over the languages of one run, in words."""
    found, languages = correlate(rows)
    if found is None:
        return ("Rank correlation of token distance and accuracy: nothing is claimed over "
                f"{counted(languages, 'language')} other than English (at least {FEWEST_LANGUAGES} that differ are "
                "needed).")
    return (f"Rank correlation (Spearman) of token distance at the site and accuracy over {found.n} languages other "
            f"than English: {found.mean:.2f}, permutation p {found.p:.3f}, one run.")


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
    for name in ("n", "token,\nsite", "sent.,\nsite", "token,\nlast", "sent.,\nlast", "cosine,\nlast",
                 "inside\n%", "may be\n%", "right\n%"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row.language, str(row.n),
                      *(f"{value:.3f}" for place in (row.site, row.last)
                        for value in (place.token_relative, place.sentence_relative)),
                      f"{row.last.cosine:.3f}", *map(_percent, (row.inside, row.inside_sentences, row.accuracy)))
    console.print(table)


def _print_noise(console: Console, rows: Sequence[DiagnosticRow]) -> None:
    print("Accuracy (%) by noise on every token, in mean token norms:")
    scales = [point.scale for point in next(row.noise for row in rows if row.noise)]
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, header_style="bold")
    table.add_column("language", no_wrap=True)
    for scale in scales:
        table.add_column(f"{scale:g}", justify="right")
    for row in rows:
        if row.noise:
            table.add_row(row.language, *(_percent(point.accuracy) for point in row.noise))
    console.print(table)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _by_split(rows: Sequence[DiagnosticRow]) -> dict[tuple[str, str], list[DiagnosticRow]]:
    """Rows by task and split, English first."""
    ordered = sorted(rows, key=lambda row: (row.task, row.split, not row.is_english, row.language))
    return {pair: list(found) for pair, found in groupby(ordered, key=lambda row: (row.task, row.split))}
