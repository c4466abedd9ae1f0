"""The first screen of a report: methods ranked by their mean, with change, interval, verdict and failed seeds, and the
figure beside them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from trainer.report.data.compare import Comparison
from trainer.report.data.grid import Cell, Grid
from trainer.report.document import Drawing, Entry, Table
from trainer.report.sections import figure_data, figures, tables
from trainer.report.sections.answer import chance_seeds
from trainer.results.numbers import counted, scale_of
from trainer.statistics.summary import summarise

NONE = Entry("–", tone="muted")


def ranked(grid: Grid, cells: Sequence[Cell], without: Collection[str] = ()) -> list[str]:
    """Labels by their mean over `cells`, the best first; those without a mean last."""
    sign = scale_of(grid.metric).metric.sign
    means = {label: grid.means(label, cells) for label in grid.labels if label not in without}
    return sorted(means, key=lambda label: (not means[label], -sign * summarise(means[label] or [0.0]).mean))


def ranking_table(grid: Grid, title: str, mean: tuple[str, Sequence[Cell]], by_label: Mapping[str, Comparison],
                  seeds: Callable[[str], Entry], *, what: str = "method", without: Collection[str] = ()) -> Table:
    """Labels by their mean, with the change of each against its base.

    mean: name and cells of the mean. by_label: the comparison of each label that has one. seeds: entry on the seeds of
    a label, failed ones below. what: name of the first column. without: labels that are left out.
    """
    scale, (name, cells) = scale_of(grid.metric), mean
    bases = list(dict.fromkeys(c.base for c in by_label.values()))
    order = ranked(grid, cells, without)
    rows = []
    for label in order:
        c = by_label.get(label)
        against = [Entry(c.base) if c else NONE] if len(bases) > 1 else []
        rows.append([tables.label_entry(grid, label), tables.mean_entry(grid, label, cells),
                     *change_entries(grid, c, label in bases), *against, seeds(label)])
    for label in dict.fromkeys(label for label, _, _ in grid.failed if label not in (*grid.labels, *without)):
        rows.append([tables.label_entry(grid, label), *[NONE] * (5 if len(bases) > 1 else 4), seeds(label)])
    change = f"change against {bases[0]}" if len(bases) == 1 else "change"
    names = [change, "95 % interval", "verdict", *(["against"] if len(bases) > 1 else []), "seeds"]
    columns = [Entry(what), Entry(f"mean, {name}", hint=tables.cell_names(cells)), *map(Entry, names)]
    marked = any(grid.at_chance(label, cells) for label in order)
    notes = [*_notes(grid, cells, by_label), *(tables.chance_notes(grid) if marked else [])]
    return Table(f"{title}: mean {scale.column}", columns, tables.best_marked(grid, rows, range(1, 2)), notes)


def change_entries(grid: Grid, comparison: Comparison | None, is_base: bool = False) -> list[Entry]:
    """Change of the mean, its interval and verdict."""
    if comparison is None:
        return [Entry("base", tone="muted") if is_base else NONE, NONE, NONE]
    scale, interval = scale_of(grid.metric), comparison.main[1]
    word = Entry("at chance", tone="muted") if chance_seeds(grid, comparison) else tables.verdict(scale, interval)
    return [Entry(scale.signed(interval.estimate)), Entry(scale.interval(interval)), word]


def _notes(grid: Grid, cells: Sequence[Cell], by_label: Mapping[str, Comparison]) -> list[str]:
    several = any(len(grid.seeds(label)) > 1 for label in grid.labels)
    notes = ["Mean over seeds, ± the standard deviation over seeds." if several else "One seed per method."]
    if len(grid.labels) > 1:
        notes.append(tables.BEST)
    if not by_label:
        return notes
    if any(c.covers_training for c in by_label.values()):
        family = max(c.labels for c in by_label.values())
        if family > 1:
            notes.append("Intervals are of one difference each; the verdict is after Holm's correction for "
                         f"{family} comparisons.")
    else:
        notes.append("Intervals cover the choice of test examples only: no statement on a method is made from them.")
    if any(set(c.main[0]) != set(cells) for c in by_label.values()):
        sizes = sorted({len(c.main[0]) for c in by_label.values()})
        notes.append(f"Changes are over the {' or '.join(map(str, sizes))} of {counted(len(cells), 'language')} that "
                     "both methods have outcomes of examples for.")
    return notes


def ranking_drawing(anchor: str, grid: Grid, cells: Sequence[Cell], by_label: Mapping[str, Comparison]) -> Drawing:
    """The changes in the order of the table; where nothing is compared, the values by language."""
    order = [by_label[label] for label in ranked(grid, cells) if label in by_label]
    if not order:
        return language_drawing(anchor, grid)
    several = any(len(c.cells) > 1 for c in order)
    caption = (f"Change of the mean with its 95 % interval, in the order of the table."
               f"{' Small dots: the changes of single languages.' if several else ''} Zero: no change.")
    return Drawing(f"{anchor}-ranking", caption,
                   f"Change of the mean {scale_of(grid.metric).name} by method, with intervals",
                   partial(figures.changes, grid, order), figure_data.differences(order))


def language_drawing(anchor: str, grid: Grid) -> Drawing:
    """Values by language."""
    title = f"{scale_of(grid.metric).name.capitalize()} by language"
    return Drawing(f"{anchor}-languages", f"{title}.{figures.error_caption(grid)}{figures.chance_caption(grid)}",
                   f"{title} for {', '.join(grid.labels)}", partial(figures.metric_by_language, grid),
                   figure_data.by_language(grid))


def difference_drawing(anchor: str, grid: Grid, comparisons: Sequence[Comparison], base: str) -> Drawing:
    """Differences by language."""
    claims = any(interval.claimed for c in comparisons for interval in (c.main[1], *c.intervals))
    filled = (" A filled marker: a gain or loss after Holm's correction, of the mean over labels, of single languages "
              "over labels and languages." if claims else "")
    return Drawing(f"{anchor}-differences",
                   f"Difference to {base} with 95 % intervals, the mean first; zero: no difference.{filled}"
                   f"{mark_caption(grid)}",
                   f"Differences to {base} per language with intervals",
                   partial(figures.differences, grid, comparisons),
                   figure_data.differences(comparisons))


def mark_caption(grid: Grid) -> str:
    """Meaning of the mark of chance; empty where nothing is at chance."""
    return f" {figures.AT_CHANCE}: at chance." if tables.chance_notes(grid) else ""
