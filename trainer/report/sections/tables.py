"""Tables of grids and comparisons.

Rows are labels and columns languages, except in comparisons, which have many columns per language.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from trainer.plots.palette import colour_of
from trainer.report.data.compare import Comparison, means_over, without_sources
from trainer.report.data.grid import Cell, Grid
from trainer.report.document import Entry, Table
from trainer.report.sections.figures import AT_CHANCE
from trainer.report.sections.recipes import unequal_lines
from trainer.results.numbers import Scale, counted, listed, p_value, scale_of
from trainer.results.scores import NO_LABEL
from trainer.statistics.differences import SEEDS_FOR_CLAIMS, Interval
from trainer.statistics.summary import Summary, summarise

LANGUAGES_PER_TABLE = 16  # the width of a page; more are continued in a further table
FACETS = {"family": "family", "script": "script", "resource": "resource class", "morphology": "morphology"}
UNKNOWN, ARTIFICIAL = "unknown", "Artificial"
TOY_LANGUAGES = (
    "Artificial languages are those of the toy world, which `trainer demo` and studies at the size toy generate. "
    "English at distance 0.3 (d030): English grammar, and for every word a word of its own whose vector lies 0.3 mean "
    "vector norms from the English word's. Toy languages (ga, gb, gc, gm) have invented words beside a share of "
    "English ones: A 30 % in English order, B 15 % with nouns first, C 5 % with the verb last and case endings, M as A "
    "with endings on almost every word.")
BEST = "Bold: the best of its column, whatever its interval."


def language_tables(grid: Grid, title: str) -> list[Table]:
    """Mean and standard deviation over seeds per label and language, averages first."""
    scale, shared = scale_of(grid.metric), grid.shared
    named = means_over(grid, shared)
    rows = {
        label: [label_entry(grid, label), seeds_entry(grid, label),
                *(mean_entry(grid, label, cells) for cells in named.values())]
        for label in grid.labels
    }
    averages = (Entry(f"mean, {name}", hint=cell_names(cells)) for name, cells in named.items())
    head = [Entry("label"), Entry("seeds"), *averages]
    found = _by_language(title, grid, grid.cells, head, rows, _notes(grid, shared),
                         lambda label, cell: value_entry(grid, scale, label, cell))
    return [dataclasses.replace(part, rows=best_marked(grid, part.rows, range(1 if number else 2, len(part.columns))))
            for number, part in enumerate(found)]


def best_marked(grid: Grid, rows: list[list[Entry]], columns: Iterable[int]) -> list[list[Entry]]:
    """`rows` (one per label) with the best number of each of `columns` marked, ties included; nothing in a single row.
    """
    sign, made = scale_of(grid.metric).metric.sign, [list(row) for row in rows]
    for column in columns:
        numbers = {index: sign * number for index, row in enumerate(rows)
                   if (number := _number(row[column].text)) is not None}
        for index, number in numbers.items():
            if len(numbers) > 1 and number == max(numbers.values()) > min(numbers.values()):
                made[index][column] = dataclasses.replace(rows[index][column], best=True)
    return made


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip(AT_CHANCE).replace("−", "-").replace(",", ""))
    except ValueError:
        return None


def gap_tables(grid: Grid) -> list[Table]:
    """Transfer gap of each language to the training languages; empty where there are no others."""
    sources = {label: found for label in grid.labels if (found := grid.sources(label))}
    trained = {cell for cells in sources.values() for cell in cells}
    others = [cell for cell in grid.scored if any(cell not in cells for cells in sources.values())]
    if not others:
        return []
    scale = scale_of(grid.metric)
    shared = [cell for cell in grid.shared if cell not in trained]

    def entry(label: str, cells: Sequence[Cell]) -> Entry:
        if not set(cells).isdisjoint(sources.get(label, [])):
            return Entry("source", tone="muted")
        gaps = [scale.metric.sign * gap for gap in grid.gaps(label, cells)]
        return _marked(_summary_entry(scale, gaps, grid.seeds(label), signed=True), grid.at_chance(label, cells))

    rows = {label: [label_entry(grid, label), entry(label, shared)] for label in grid.labels}
    head = [Entry("label"), Entry(f"mean of {len(shared)}", hint=cell_names(shared))]
    by_label = {label: listed([_language_name(grid, cell[0]) for cell in cells]) for label, cells in sources.items()}
    alike = len(set(by_label.values())) == 1
    name = next(iter(by_label.values())) if alike else "the training language"
    mean = "the mean of " if alike and len(trained) > 1 else ""
    notes = [f"{mean}{name} minus the language, per seed, then averaged; 0 would be perfect transfer."
             if scale.metric.higher_is_better else f"The language minus {mean}{name}, per seed, then averaged."]
    notes = [notes[0][0].upper() + notes[0][1:]]
    if not alike:
        notes.append("Trained on: " + "; ".join(f"{label} {names}" for label, names in by_label.items()) + ".")
    if any(grid.at_chance(label, [cell]) for label in grid.labels for cell in others):
        notes.append(f"{AT_CHANCE}: in a language at chance a gap says nothing of transfer.")
    return _by_language(f"Transfer gap to {name}", grid, others, head, rows, notes,
                        lambda label, cell: entry(label, [cell]))


def comparison_table(grid: Grid, comparison: Comparison) -> Table:
    """Difference, interval and p-values of the means over languages, and per language."""
    first = "mean" if grid.setting == "generalized" else "language"
    columns = [Entry(name) for name in (first, "difference", "95 % interval", "verdict", "p", "p (Holm)",
                                        comparison.base, comparison.other)]
    rows = []
    for name, (cells, interval) in comparison.means.items():
        title = Entry(name if grid.setting == "generalized" else f"mean, {name}", hint=cell_names(cells))
        rows.append([title, *_difference(grid, comparison, cells, interval)])
    if grid.setting != "generalized":  # hundreds of pairs: the difference heat map shows them
        for cell, interval in zip(comparison.cells, comparison.intervals, strict=True):
            rows.append([_language_entry(grid, cell[0]), *_difference(grid, comparison, [cell], interval)])
    notes = [*_comparison_notes(grid, comparison), *unequal_lines(grid, comparison), *chance_notes(grid)]
    return Table(f"{comparison.other} against {comparison.base}", columns, rows, notes)


def verdict(scale: Scale, interval: Interval) -> Entry:
    """Word for a difference: "gain" or "loss" only where it covers training and is significant after correction."""
    if not interval.covers_training:
        return Entry("no statement", tone="muted")
    if not interval.claimed:
        return Entry("not significant", tone="muted")
    return Entry("gain", tone="gain") if scale.is_gain(interval.estimate) else Entry("loss", tone="loss")


def group_tables(grid: Grid) -> list[Table]:
    """Means over groups of languages without the training languages, a table per facet with at least two groups."""
    tables = []
    cells = without_sources(grid, grid.shared)
    for facet, name in FACETS.items():
        groups: dict[str, list[Cell]] = {}
        for cell in cells:
            groups.setdefault(grid.info(cell[0]).get(facet) or UNKNOWN, []).append(cell)
        if len(groups.keys() - {UNKNOWN}) < 1 or len(groups) < 2:
            continue
        ordered = sorted(groups, key=lambda group: group == UNKNOWN)
        rows = [[Entry(group), Entry(", ".join(cell[0] for cell in groups[group])),
                 *(mean_entry(grid, label, groups[group]) for label in grid.labels)]
                for group in ordered]
        columns = [Entry(name), Entry("languages"), *(label_entry(grid, label) for label in grid.labels)]
        tables.append(Table(f"By {name}", columns, rows, text_columns=2))
    return tables


def oracle_tables(grid: Grid, standard: Grid) -> list[Table]:
    """Oracle rows, and their difference to the selected checkpoint where both are known."""
    tables = language_tables(grid, "Oracle: checkpoint chosen per target language")
    scale = scale_of(grid.metric)

    def gain(label: str, cell: Cell) -> Entry:
        values = [top - best for seed in grid.seeds(label) if (top := grid.value(label, seed, cell)) is not None
                  and (best := standard.value(label, seed, cell)) is not None]
        return _summary_entry(scale, values, grid.seeds(label), signed=True)

    if any(standard.values(label, cell) for label in grid.labels for cell in grid.scored):
        rows = {label: [label_entry(grid, label)] for label in grid.labels}
        title = "Oracle minus the chosen checkpoint"
        tables += _by_language(title, grid, grid.scored, [Entry("label")], rows, [], gain)
    return tables


def pair_means_table(grid: Grid) -> Table:
    """Means of the generalized setting: all pairs, pairs of two languages, pairs of one."""
    shared = grid.shared
    named = means_over(grid, shared)
    columns = [Entry("label"), Entry("seeds"), *(Entry(f"mean, {name}") for name in named)]
    rows = [[label_entry(grid, label), seeds_entry(grid, label),
             *(mean_entry(grid, label, cells) for cells in named.values())]
            for label in grid.labels]
    rows = best_marked(grid, rows, range(2, len(columns)))
    excluded = sorted({row.excluded for _, row in grid.entries.values()})
    notes = _notes(grid, shared)
    if excluded and excluded[-1]:
        notes.append(f"Up to {excluded[-1]:,} examples of a pair are left out, because a row is absent in one language "
                     f"or the labels of the two differ.")
    return Table("Means over pairs of languages", columns, rows, notes)


def pair_table(grid: Grid, label: str) -> Table:
    """All numbers of one heat map; rows: premise language, columns: hypothesis language."""
    scale, cells = scale_of(grid.metric), set(grid.cells)
    rows = [[Entry(first), *(value_entry(grid, scale, label, (first, second)) if (first, second) in cells
                             else Entry("–", tone="muted") for second in grid.languages)]
            for first in grid.languages]
    return Table(f"{label}: premise (rows), hypothesis (columns)",
                 [Entry("premise"), *(Entry(language) for language in grid.languages)], rows)


def label_entry(grid: Grid, label: str) -> Entry:
    """A label with its colour."""
    return Entry(label, colour=colour_of(grid.colours[label]))


def seeds_entry(grid: Grid, label: str) -> Entry:
    """Number of seeds of a label, and of those that failed."""
    seeds, failed = grid.seeds(label), grid.failed_seeds(label)
    hint = "seed " + ", ".join(map(str, seeds)) + (f"; failed: seed {', '.join(map(str, failed))}" if failed else "")
    return Entry("one seed" if len(seeds) == 1 else str(len(seeds)), f"{len(failed)} failed" if failed else "",
                 hint=hint)


def mean_entry(grid: Grid, label: str, cells: Sequence[Cell]) -> Entry:
    """Mean and deviation over seeds of the mean over `cells`."""
    entry = _summary_entry(scale_of(grid.metric), grid.means(label, cells), grid.seeds(label))
    return _marked(entry, grid.at_chance(label, cells))


def value_entry(grid: Grid, scale: Scale, label: str, cell: Cell) -> Entry:
    """Mean and deviation of a cell, or the reason why there is none."""
    values = grid.values(label, cell)
    if not values:
        return Entry(grid.why_empty(label, cell), tone="muted")
    return _marked(_summary_entry(scale, values, grid.seeds(label)), grid.at_chance(label, [cell]))


def _marked(entry: Entry, seeds: Sequence[int]) -> Entry:
    """`entry` marked where a seed is at chance."""
    if not seeds or entry.tone == "muted":
        return entry
    return dataclasses.replace(entry, text=entry.text + AT_CHANCE, hint=f"at chance: seed {', '.join(map(str, seeds))}")


def _summary_entry(scale: Scale, values: Sequence[float], seeds: Sequence[int], signed: bool = False) -> Entry:
    if not values:
        return Entry("–", tone="muted")
    summary: Summary = summarise(values)
    below = scale.deviation(summary)
    if summary.count < len(seeds):
        below = f"{below} (n={summary.count})".strip()
    return Entry(scale.signed(summary.mean) if signed else scale.value(summary.mean), below)


def _by_language(
    title: str,
    grid: Grid,
    cells: Sequence[Cell],
    head: list[Entry],
    rows: dict[str, list[Entry]],
    notes: list[str],
    entry: Callable[[str, Cell], Entry],
) -> list[Table]:
    """Tables of labels by languages; `head` and `rows` hold the columns before the languages of the first table."""
    tables = []
    for start in range(0, max(1, len(cells)), LANGUAGES_PER_TABLE):
        block = cells[start : start + LANGUAGES_PER_TABLE]
        columns = [*(head if start == 0 else head[:1]), *(_language_entry(grid, cell[0]) for cell in block)]
        lines = [[*(first if start == 0 else first[:1]), *(entry(label, cell) for cell in block)]
                 for label, first in rows.items()]
        part = f" (languages {start + 1} to {start + len(block)} of {len(cells)})" if len(block) < len(cells) else ""
        tables.append(Table(title + part, columns, lines, notes if start == 0 else []))
    return tables


def _notes(grid: Grid, shared: Sequence[Cell]) -> list[str]:
    """Notes below the numbers of a grid."""
    most = max((len(grid.seeds(label)) for label in grid.labels), default=0)
    several = "Mean over seeds, ± the standard deviation over seeds."
    notes = [several if most > 1 else "One seed per label: no deviation."]
    if len(grid.labels) > 1:
        notes.append(BEST)
    if any(0 < len(grid.values(label, cell)) < len(grid.seeds(label)) for label in grid.labels for cell in grid.scored):
        notes.append("n: the number of seeds, where a cell has fewer than its label.")
    left_out = [cell for cell in grid.scored if cell not in shared]
    if left_out:
        notes.append(f"Averages are over the {len(shared)} of {len(grid.scored)} cells that every run has; "
                     f"left out: {cell_names(left_out) if len(left_out) <= 12 else 'see Missing cells'}.")
    notes += chance_notes(grid) + _failed_notes(grid, shared)
    unlabelled = [cell for cell in grid.cells if any(grid.why_empty(label, cell) == NO_LABEL for label in grid.labels)]
    if unlabelled:
        notes.append(f"No label in {cell_names(unlabelled)}: predictions are written, there is nothing to score.")
    return notes


def chance_notes(grid: Grid) -> list[str]:
    """Note on the mark of chance; empty where nothing is at chance."""
    if not any(grid.at_chance(label, [cell]) for label in grid.labels for cell in grid.scored):
        return []
    levels = sorted({chance for cell in grid.scored if (chance := grid.chance(cell)) is not None})
    scale = scale_of(grid.metric)
    level = listed([scale.value(level) for level in dict.fromkeys([levels[0], levels[-1]])]).replace(" and ", " to ")
    return [f"{AT_CHANCE}: at least one seed is at chance, no better than always naming the most frequent class "
            f"({level} here), sampling error allowed for; a mean over cells is held against the mean of their "
            "levels, with what is allowed to a single cell."]


def _failed_notes(grid: Grid, shared: Sequence[Cell]) -> list[str]:
    """Failed seeds, and the mean with them included; empty where there are none."""
    scale, notes = scale_of(grid.metric), []
    for label in dict.fromkeys(label for label, _, _ in grid.failed):
        seeds = grid.failed_seeds(label)
        cells = shared or sorted({cell for found, _, cell in grid.failed if found == label})
        values = grid.means_with_failed(label, cells)
        them = "it" if len(seeds) == 1 else "them"
        mean = (f"; with {them} the mean of {label} over {len(cells)} is {scale.value(summarise(values).mean)} "
                f"({counted(len(values), 'run')})" if values else "")
        notes.append(f"Failed, so in no mean: {label} {listed([f'seed {seed}' for seed in seeds])}{mean}.")
    return notes


def _comparison_notes(grid: Grid, comparison: Comparison) -> list[str]:
    seeds = comparison.seeds
    notes = [f"Paired on {comparison.examples:,} examples and "
             + (f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {listed([str(seed) for seed in seeds])}")
             + (": intervals cover the choice of examples and the luck of training." if comparison.covers_training
                else ": intervals cover the choice of examples, not the luck of training; "
                     + (f"{comparison.dependent}." if comparison.dependent
                        else f"that takes at least {SEEDS_FOR_CLAIMS} seeds."))]
    if comparison.apart:
        sets = sorted(comparison.apart, key=len, reverse=True)
        together = [cell_names(cells) for cells in sets if len(cells) > 1]
        alone = cell_names([cells[0] for cells in sets if len(cells) == 1])
        notes.append("Languages are joined where their rows are known to be the same sentences: "
                     f"{'; '.join(together) or 'none'}."
                     + (f" Rows of {alone} count as examples of their own." if alone else ""))
    if comparison.given:
        notes.append(f"The {comparison.given}.")
    detectable = comparison.main[1].detectable
    if detectable is not None:
        scale = scale_of(grid.metric)
        notes.append(f"Power, as estimated from these runs: as many seeds and examples find a true difference of "
                     f"{scale.size(detectable)} of the first mean in 80 % of studies"
                     + (f", corrected for {comparison.labels} labels." if comparison.labels > 1 else "."))
    if comparison.unpaired:
        runs = listed([f"{label} seed {seed}" for label, seed in comparison.unpaired])
        notes.append(f"Without a partner of equal seed, so not in this comparison: {runs}.")
    return notes


def cell_names(cells: Sequence[Cell]) -> str:
    """Languages, or pairs of languages, as text."""
    return ", ".join(first if first == second else f"{first}→{second}" for first, second in cells)


def _language_name(grid: Grid, language: str) -> str:
    name = grid.info(language).get("name", UNKNOWN)
    return language if name == UNKNOWN else name


def _language_entry(grid: Grid, language: str) -> Entry:
    name = _language_name(grid, language)
    return Entry(language, name if name != language else "")


def _difference(
    grid: Grid, comparison: Comparison, cells: Sequence[Cell], interval: Interval
) -> list[Entry]:
    """Cells of one line of a comparison, without its name."""
    scale = scale_of(grid.metric)
    both = [_marked(Entry(scale.value(_paired_mean(grid, label, comparison.seeds, cells))),
                    [seed for seed in grid.at_chance(label, cells) if seed in comparison.seeds])
            for label in (comparison.base, comparison.other)]
    adjusted = p_value(interval.adjusted) if interval.covers_training else "–"
    return [Entry(scale.signed(interval.estimate)), Entry(scale.interval(interval)), verdict(scale, interval),
            Entry(p_value(interval.p)), Entry(adjusted), *both]


def _paired_mean(grid: Grid, label: str, seeds: Sequence[int], cells: Sequence[Cell]) -> float:
    values = [v for seed in seeds for cell in cells if (v := grid.value(label, seed, cell)) is not None]
    return sum(values) / len(values)


def language_table(grids: Sequence[Grid]) -> Table:
    """Languages of a report: code, name and features."""
    found: dict[str, dict[str, str]] = {}
    for grid in grids:
        for language in grid.languages:
            found[language] = found.get(language) or grid.info(language)
    rows = [[Entry(code), Entry(info.get("name", UNKNOWN)), *(Entry(info.get(facet) or UNKNOWN) for facet in FACETS)]
            for code, info in found.items()]
    artificial = any(info.get("family") == ARTIFICIAL for info in found.values())
    return Table("Languages", [Entry("code"), Entry("name"), *map(Entry, FACETS.values())], rows,
                 ["Resource classes: Joshi et al. 2020, from 0 (hardly any data) to 5 (most).",
                  *([TOY_LANGUAGES] if artificial else [])], text_columns=2 + len(FACETS))
