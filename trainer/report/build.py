"""Assembles the document of a report from its results. No file is written here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainer.report.data.compare import Comparison, base_label
from trainer.report.data.compute import ReportResult, SectionResult
from trainer.report.data.grid import Grid
from trainer.report.document import Block, Bullets, Document, Drawing, Folded, Heading, Paragraph, Row, Table
from trainer.report.sections import diagnostics, figures, recipes, smoothed, story, tables
from trainer.report.sections.method import method_lines
from trainer.results.numbers import counted, scale_of

TITLE = "Cross-lingual transfer report"
ORACLE = ("These rows are selected on each target language's own dev set, separately per language. They use labels "
          "that zero-shot transfer does not have: an upper bound, not to be compared with the rows above as an equal.")


def build(result: ReportResult) -> Document:
    """The whole report as plain data."""
    findings = [*recipes.failed_lines(result.runs), *recipes.recipe_lines(result.runs)]
    blocks: list[Block] = []
    for section in result.sections:
        findings += story.findings(section)
        blocks += _section(section)
    methods = method_lines(list(dict.fromkeys(section.metric for section in result.sections)))
    for diagnosis in result.diagnoses:
        findings += diagnostics.findings(diagnosis)
        blocks += diagnostics.blocks(diagnosis)
    if result.diagnoses:
        methods += diagnostics.method_lines()
    if result.missing:
        findings.append(f"Incomplete: {counted(len(result.missing), 'cell')} missing, listed under Missing cells.")
    blocks += [Heading("Missing cells", "missing"),
               Bullets(story.missing_lines(result.missing)) if result.missing
               else Paragraph("None: every run has a row for every cell that any run has.")]
    blocks += [Heading("How these numbers were made", "method"), Bullets(methods)]
    blocks += [Heading("Runs", "runs"), recipes.runs_table(result.runs)]
    labels = dict.fromkeys(run.label for run in result.runs)
    subtitle = f"{counted(len(result.runs), 'run')}, {counted(len(labels), 'label')}: {', '.join(labels)}."
    return Document(TITLE, subtitle, findings, blocks)


def main_tables(result: ReportResult) -> list[Table]:
    """Tables for the terminal: per task and metric, values by language of the first split that has scores."""
    chosen: dict[tuple[str, str], SectionResult] = {}
    for section in result.sections:
        if section.standard.scored:
            chosen.setdefault((section.task, section.metric), section)
    return [table for section in chosen.values() for table in _language_tables(section)]


def _section(section: SectionResult) -> list[Block]:
    anchor = slug(section.title)
    blocks: list[Block] = [Heading(section.title, anchor), Paragraph(story.compared(section))]
    if apart := _side_by_side(section):
        blocks.append(Bullets(apart))
    grid = section.standard
    if grid.entries:
        changes = story.changes(section)
        blocks += [Paragraph(story.summary(section), lead=True), *([Bullets(changes)] if changes else []),
                   *_language_tables(section)]
    if grid.scored:
        title = f"{scale_of(grid.metric).name.capitalize()} by language"
        blocks.append(Drawing(f"{anchor}-languages", f"{title}. Error bars: standard deviation over seeds."
                              f"{figures.chance_caption(grid)}",
                              f"{title} for {', '.join(grid.labels)}", figures.metric_by_language(grid)))
        blocks += tables.gap_tables(grid)
    if section.comparisons:
        blocks += _comparison_blocks(anchor, grid, section.comparisons)
    groups = tables.group_tables(grid)
    if groups:
        blocks += [Heading("Groups of languages", f"{anchor}-groups", 3), Row(groups)]
    if section.generalized.entries:
        blocks += generalized_blocks(anchor, section.generalized, section.generalized_comparisons)
    blocks += smoothed.blocks(anchor, section)
    if section.oracle.entries:
        blocks += [Heading("Oracle", f"{anchor}-oracle", 3),
                   Paragraph(ORACLE),
                   *tables.oracle_tables(section.oracle, grid)]
    return blocks


def _side_by_side(section: SectionResult) -> list[str]:
    """Settings that differ between labels that no table compares, of the first setting that has rows."""
    settings = [(section.standard, section.comparisons), (section.generalized, section.generalized_comparisons),
                (section.oracle, [])]
    return next((recipes.side_by_side_lines(grid, found) for grid, found in settings if grid.entries), [])


def _language_tables(section: SectionResult) -> list[Table]:
    return tables.language_tables(section.standard,
                                  f"{section.task} / {section.split}: {scale_of(section.metric).column} by language")


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


def generalized_blocks(anchor: str, grid: Grid, comparisons: Sequence[Comparison]) -> list[Block]:
    """Generalized setting: means, comparisons, heat maps of labels and differences, all numbers folded."""
    blocks: list[Block] = [Heading("Generalized setting", f"{anchor}-generalized", 3),
                           Paragraph("The premise is in one language, the hypothesis in another: every ordered pair.")]
    if not grid.scored:
        return [*blocks, Paragraph("No pair has a score.")]
    blocks += [Paragraph(f"{story.mean_sentence(grid, c)} {story.pairs_sentence(grid, c)}".strip())
               for c in comparisons]
    base, name = base_label(grid), scale_of(grid.metric).name
    limits, reach = figures.value_range(grid), figures.difference_reach(grid, base)
    maps = [Drawing(f"{anchor}-map-{i}", f"{label}: {name}, mean over seeds.{_mark_caption(grid)}",
                    f"{name} of {label} by premise and hypothesis language",
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


def slug(title: str) -> str:
    """Name of an anchor or file from a title."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
