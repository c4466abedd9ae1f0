"""Put a report together: sections to a document. No file is written here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainer.report.data import recipes
from trainer.report.data.collect import Grid, Section, missing_cells
from trainer.report.data.compare import Comparison, base_label, compare
from trainer.report.data.runs import Run, failed_lines, recipe_lines
from trainer.report.document import (
    Block,
    Bullets,
    Document,
    Drawing,
    Folded,
    Heading,
    Paragraph,
    Row,
)
from trainer.report.sections import figures, smoothed, story, tables
from trainer.report.sections.diagnostics import diagnosed
from trainer.report.sections.method import method_lines
from trainer.results.numbers import counted

TITLE = "Cross-lingual transfer report"


def build(runs: Sequence[Run], sections: Sequence[Section]) -> Document:
    """The whole report as plain data. Raises InputError where an outcomes file does not fit its row."""
    blocks: list[Block] = []
    findings: list[str] = [*failed_lines(runs), *recipe_lines(runs)]
    for section in sections:
        standard, general = compare(section.standard), compare(section.generalized)
        findings += story.findings(section, standard, general)
        blocks += _section(section, standard, general)
    diagnosis = diagnosed([run for run in runs if not run.failed], sections[0].standard.positions)
    findings += diagnosis.findings
    blocks += diagnosis.blocks
    missing = missing_cells(runs)
    if missing:
        findings.append(f"Incomplete: {counted(len(missing), 'cell')} missing, listed under Missing cells.")
    blocks += [Heading("Missing cells", "missing"),
               Bullets(story.missing_lines(missing)) if missing
               else Paragraph("None: every run has a row for every cell that any run has.")]
    blocks += [Heading("How these numbers were made", "method"), Bullets(method_lines() + diagnosis.methods)]
    blocks += [Heading("Runs", "runs"), recipes.runs_table(runs)]
    labels = dict.fromkeys(run.label for run in runs)
    subtitle = f"{counted(len(runs), 'run')}, {counted(len(labels), 'label')}: {', '.join(labels)}."
    return Document(TITLE, subtitle, findings, blocks)


def main_tables(sections: Sequence[Section]) -> list[tables.Table]:
    """Per task, the per-language table of the first split that has scores (test before dev): what a terminal shows."""
    chosen: dict[str, Section] = {}
    for section in sections:
        if section.standard.scored:
            chosen.setdefault(section.task, section)
    return [table for section in chosen.values() for table in _language_tables(section)]


def _section(section: Section, comparisons: Sequence[Comparison], general: Sequence[Comparison]) -> list[Block]:
    anchor = _slug(section.task, section.split)
    blocks: list[Block] = [Heading(section.title, anchor), Paragraph(story.compared(section))]
    if apart := _side_by_side(section, comparisons, general):
        blocks.append(Bullets(apart))
    grid = section.standard
    if grid.entries:
        changes = story.changes(grid, comparisons)
        blocks += [Paragraph(story.summary(section, comparisons), lead=True), *([Bullets(changes)] if changes else []),
                   *_language_tables(section)]
    if grid.scored:
        title = f"{grid.metric.capitalize()} by language"
        blocks.append(Drawing(f"{anchor}-languages", f"{title}. Error bars: standard deviation over seeds."
                              f"{figures.chance_caption(grid)}",
                              f"{title} for {', '.join(grid.labels)}", figures.metric_by_language(grid)))
        blocks += tables.gap_tables(grid)
    if comparisons:
        blocks += _comparison_blocks(anchor, grid, comparisons)
    groups = tables.group_tables(grid)
    if groups:
        blocks += [Heading("Groups of languages", f"{anchor}-groups", 3), Row(groups)]
    if section.generalized.entries:
        blocks += _generalized(anchor, section.generalized, general)
    blocks += smoothed.blocks(anchor, section)
    if section.oracle.entries:
        blocks += [Heading("Oracle", f"{anchor}-oracle", 3),
                   Paragraph("These rows are selected on each target language's own dev set, separately per language. "
                             "They use labels that zero-shot transfer does not have: an upper bound, "
                             "not to be compared with the rows above as an equal."),
                   *tables.oracle_tables(section.oracle, grid)]
    return blocks


def _side_by_side(section: Section, comparisons: Sequence[Comparison], general: Sequence[Comparison]) -> list[str]:
    """What is unequal between labels that no table compares, from the first setting that has rows."""
    settings = [(section.standard, comparisons), (section.generalized, general), (section.oracle, [])]
    return next((recipes.side_by_side_lines(grid, found) for grid, found in settings if grid.entries), [])


def _language_tables(section: Section) -> list[tables.Table]:
    unit = " (%)" if section.metric == "accuracy" else ""
    return tables.language_tables(section.standard, f"{section.title}: {section.metric}{unit} by language")


def _comparison_blocks(anchor: str, grid: Grid, comparisons: Sequence[Comparison]) -> list[Block]:
    base = comparisons[0].base
    filled = (" A filled marker: a gain or loss after Holm's correction, of the mean over labels, of single languages "
              "over labels and languages." if any(c.covers_training for c in comparisons) else "")
    return [
        Heading(f"Against {base}", f"{anchor}-against", 3),
        Drawing(f"{anchor}-differences",
                f"Difference to {base} with 95 % intervals, the mean first.{filled}{_mark_caption(grid)}",
                f"Differences to {base} per language with intervals", figures.differences(grid, comparisons)),
        *(tables.comparison_table(grid, comparison) for comparison in comparisons),
    ]


def _generalized(anchor: str, grid: Grid, comparisons: Sequence[Comparison]) -> list[Block]:
    """The generalized setting: heat maps per label, differences, means; every number folded away below."""
    blocks: list[Block] = [Heading("Generalized setting", f"{anchor}-generalized", 3),
                           Paragraph("The premise is in one language, the hypothesis in another: every ordered pair.")]
    if not grid.scored:
        return [*blocks, Paragraph("No pair has a score.")]
    blocks += [Paragraph(f"{story.mean_sentence(grid, c)} {story.pairs_sentence(c)}".strip()) for c in comparisons]
    base = base_label(grid)
    limits, reach = figures.value_range(grid), figures.difference_reach(grid, base)
    maps = [Drawing(f"{anchor}-map-{i}", f"{label}: {grid.metric}, mean over seeds.{_mark_caption(grid)}",
                    f"{grid.metric} of {label} by premise and hypothesis language",
                    figures.heat_map(grid, label, limits))
            for i, label in enumerate(grid.labels)]
    changes = [Drawing(f"{anchor}-change-{i}", f"{label} minus {base}.",
                       f"Difference between {label} and {base} by premise and hypothesis language",
                       figures.difference_map(grid, base, label, reach))
               for i, label in enumerate(grid.labels) if label != base]
    blocks.append(tables.pair_means_table(grid))
    blocks += [tables.comparison_table(grid, comparison) for comparison in comparisons]
    blocks += [Row(group) for group in (maps, changes) if group]
    blocks.append(Folded("All numbers by pair of languages", [tables.pair_table(grid, label) for label in grid.labels]))
    return blocks


def _mark_caption(grid: Grid) -> str:
    return f" {tables.AT_CHANCE}: at chance." if tables.chance_notes(grid) else ""


def _slug(*parts: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
