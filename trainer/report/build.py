"""Assembles the document of a report from its results. No file is written here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from trainer.report.data.compare import Comparison, base_label, means_over
from trainer.report.data.compute import ReportResult, SectionResult
from trainer.report.data.grid import Grid
from trainer.report.document import Block, Bullets, Document, Drawing, Folded, Heading, Paragraph, Row, Table
from trainer.report.sections import (
    answer,
    diagnostics,
    figure_data,
    heat_maps,
    ranking,
    recipes,
    smoothed,
    story,
    tables,
)
from trainer.report.sections.method import method_lines
from trainer.results.numbers import counted, listed_names, scale_of

TITLE = "Cross-lingual transfer report"
ORACLE = ("These rows are selected on each target language's own dev set, separately per language. They use labels "
          "that zero-shot transfer does not have: an upper bound, not to be compared with the rows above as an equal.")

ORACLE_ALONE = (" They are all there is of this split: training scored its dev sets at every evaluation and kept each "
                "language's best; no finished run was evaluated on it.")


def build(result: ReportResult) -> Document:
    """The whole report as plain data."""
    findings: list[str] = []
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
    blocks += language_blocks([grid for section in result.sections for grid in section.grids])
    blocks += [Heading("How these numbers were made", "method"), Bullets(methods)]
    blocks += [Heading("Runs", "runs"), recipes.runs_table(result.runs)]
    labels = list(dict.fromkeys(run.label for run in result.runs))
    subtitle = f"{counted(len(result.runs), 'run')}, {counted(len(labels), 'label')}: {listed_names(labels)}."
    said, details, top = _first_screen(result.sections)
    said = f"{said} {recipes.failed_line(result.runs)}".strip()
    details += [*recipes.failed_lines(result.runs), *recipes.recipe_lines(result.runs)]
    return Document(TITLE, subtitle, said, details, top, findings, blocks)


def _first_screen(sections: Sequence[SectionResult]) -> tuple[str, list[str], list[Table | Drawing]]:
    """Answer, its details, ranked table and figure of the first section that has scores."""
    section = next((section for section in sections if section.standard.scored), None)
    if section is None:
        return "", [], []
    grid, found = section.standard, section.comparisons
    mean = next(iter(means_over(grid, grid.shared).items()), ("no language", []))
    by_label = {comparison.other: comparison for comparison in found}
    anchor = slug(section.title)
    top: list[Table | Drawing] = [
        ranking.ranking_table(grid, section.title, mean, by_label, lambda label: tables.seeds_entry(grid, label)),
        ranking.ranking_drawing(f"summary-{anchor}", grid, mean[1], by_label)]
    if found:
        return answer.headline(grid, section.title, found), answer.sentences(grid, section.title, found)[1:], top
    best, *rest = [level for label in ranking.ranked(grid, mean[1]) if (level := story.level(grid, label))] or [""]
    return f"{section.title}, {best}", rest, top


def language_blocks(grids: Sequence[Grid]) -> list[Block]:
    """Section on the languages; empty where nothing is known of any."""
    known = any(grid.info(language) for grid in grids for language in grid.languages)
    return [Heading("Languages", "languages"), tables.language_table(grids)] if known else []


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
        blocks += [Paragraph(story.summary(section), lead=True), *_language_tables(section)]
    if grid.scored:
        blocks.append(ranking.language_drawing(anchor, grid))
        blocks += tables.gap_tables(grid)
    if section.comparisons:
        base = section.comparisons[0].base
        blocks += [Heading(f"Against {base}", f"{anchor}-against", 3),
                   ranking.difference_drawing(anchor, grid, section.comparisons, base), Bullets(story.changes(section)),
                   *(tables.comparison_table(grid, comparison) for comparison in section.comparisons)]
    groups = tables.group_tables(grid)
    if groups:
        blocks += [Heading("Groups of languages", f"{anchor}-groups", 3), Row(groups)]
    if section.generalized.entries:
        blocks += generalized_blocks(anchor, section.generalized, section.generalized_comparisons)
    blocks += smoothed.blocks(anchor, section)
    if section.oracle.entries:
        blocks += [Heading("Oracle", f"{anchor}-oracle", 3),
                   Paragraph(f"{ORACLE}{'' if grid.scored else ORACLE_ALONE}"),
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


def generalized_blocks(anchor: str, grid: Grid, comparisons: Sequence[Comparison]) -> list[Block]:
    """Generalized setting: means, comparisons, heat maps of labels and differences, all numbers folded."""
    blocks: list[Block] = [Heading("Generalized setting", f"{anchor}-generalized", 3),
                           Paragraph("The premise is in one language, the hypothesis in another: every ordered pair.")]
    if not grid.scored:
        return [*blocks, Paragraph("No pair has a score.")]
    if comparisons:
        blocks.append(Bullets([f"{story.mean_sentence(grid, c)} {story.pairs_sentence(grid, c)}".strip()
                               for c in comparisons]))
    base, name = base_label(grid), scale_of(grid.metric).name
    limits, reach = heat_maps.value_range(grid), heat_maps.difference_reach(grid, base)
    maps = [Drawing(f"{anchor}-map-{i}", f"{label}: {name}{_over_seeds(grid, label)}.{ranking.mark_caption(grid)}",
                    f"{name} of {label} by premise and hypothesis language",
                    partial(heat_maps.heat_map, grid, label, limits),
                    figure_data.pairs(f"mean_{grid.metric}", heat_maps.pair_means(grid, label)))
            for i, label in enumerate(grid.labels)]
    changes = [Drawing(f"{anchor}-change-{i}", f"{label} minus {base}{_over_seeds(grid, label)}; zero: no difference."
                       f"{ranking.mark_caption(grid)}",
                       f"Difference between {label} and {base} by premise and hypothesis language",
                       partial(heat_maps.difference_map, grid, base, label, reach),
                       figure_data.pairs("difference", heat_maps.pair_differences(grid, base, label)))
               for i, label in enumerate(grid.labels) if label != base]
    blocks.append(tables.pair_means_table(grid))
    blocks += [tables.comparison_table(grid, comparison) for comparison in comparisons]
    blocks += [Row(group) for group in (maps, changes) if group]
    blocks.append(Folded("All numbers by pair of languages", [tables.pair_table(grid, label) for label in grid.labels]))
    return blocks


def _over_seeds(grid: Grid, label: str) -> str:
    return ", mean over seeds" if len(grid.seeds(label)) > 1 else ", one seed"


def slug(title: str) -> str:
    """Name of an anchor or file from a title."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
