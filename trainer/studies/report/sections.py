"""Blocks of one task and split in a study's report: ranking, languages, comparisons, groups, selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trainer.report.build import ORACLE, ORACLE_ALONE, generalized_blocks, slug
from trainer.report.data.compare import Comparison
from trainer.report.data.grid import Cell, Grid
from trainer.report.document import Block, Bullets, Drawing, Entry, Folded, Heading, Paragraph, Row, Table
from trainer.report.sections import smoothed, story, tables
from trainer.report.sections.ranking import (
    change_entries,
    difference_drawing,
    language_drawing,
    ranking_drawing,
    ranking_table,
)
from trainer.results.numbers import scale_of
from trainer.studies.report.design import Design
from trainer.studies.report.results import Found, TaskResult

MOST_MAPS = 3  # labels whose heat maps are not folded


def blocks(design: Design, task: TaskResult, prefix: str, shown: bool = False) -> list[Block]:
    """The whole section; shown: whether its ranking is on the first screen."""
    section, grid = task.section, task.grid
    anchor = slug(f"{prefix}{section.title}")
    made: list[Block] = [Heading(f"{prefix}{section.title}", anchor), Paragraph(story.compared(section))]
    alone = "" if grid.scored else ORACLE_ALONE
    oracle: list[Block] = [Heading("Oracle", f"{anchor}-oracle", 3), Paragraph(f"{ORACLE}{alone}"),
              *tables.oracle_tables(section.oracle, grid)] if section.oracle.entries else []
    if not grid.scored:
        unlabelled = Paragraph("No label here: predictions are written, there is nothing to score.")
        return [*made, *([unlabelled] if grid.entries else []), *oracle]
    if not shown:
        made.append(ranking(design, task))
    made += [Heading("By language", f"{anchor}-by-language", 3),
             *tables.language_tables(grid, f"{section.title}: {scale_of(section.metric).column} by language"),
             language_drawing(anchor, grid),
             Folded("Every seed", [every_seed(grid)]), *tables.gap_tables(grid)]
    for number, found in enumerate(task.found):
        made += _comparison(design, task, found, f"{anchor}-comparison-{number}")
    if task.averages:
        made += [Heading("Average of the last snapshots", f"{anchor}-average", 3),
                 Paragraph("The mean of a run's last snapshots (Schmidt et al. 2023, arXiv 2305.16834) against its "
                           "best checkpoint; Holm's correction over the labels."),
                 Bullets([story.mean_sentence(grid, c) for c in task.averages]), average_table(task)]
    groups = [*tables.group_tables(grid), *measure_groups(task)]
    if groups:
        made += [Heading("Groups of languages", f"{anchor}-groups", 3), Row(groups)]
    if section.oracle.entries or design.averages:
        made += [Heading("Selection of the checkpoint", f"{anchor}-selection", 3), selection_table(design, task)]
    if section.generalized.entries:
        pairs = generalized_blocks(anchor, section.generalized, section.generalized_comparisons)
        many = len(section.generalized.labels) > MOST_MAPS
        maps: list[Block] = [block for block in pairs if many and isinstance(block, Row)]
        made += [block for block in pairs if block not in maps]
        made += [Folded("Heat maps of every label", maps)] if maps else []
    return [*made, *smoothed.blocks(anchor, section), *oracle]


def runs_anchor(label: str) -> str:
    """Anchor of the runs of a label in the table of runs."""
    return f"runs-{slug(label)}"


def ranking(design: Design, task: TaskResult) -> Table:
    """Labels by their mean, with the difference to the base of the first comparison that they are part of."""
    table = ranking_table(task.grid, task.section.title, task.targets, by_label(task),
                          lambda label: _seeds(design, task.grid, label), what="level",
                          without=design.averages.values())
    note = "Seeds: those with results; below, trainings that failed and were replaced, and seeds without results."
    return replace(table, notes=[*table.notes, note])


def by_label(task: TaskResult) -> dict[str, Comparison]:
    """The first comparison of each label."""
    return {c.other: c for found in reversed(task.found) for c in found.standard}


def first_screen(design: Design, task: TaskResult, anchor: str) -> list[Table | Drawing]:
    """Ranked table and figure."""
    kept = {label: c for label, c in by_label(task).items() if label not in design.averages.values()}
    return [ranking(design, task), ranking_drawing(anchor, task.grid, task.targets[1], kept)]


def _seeds(design: Design, grid: Grid, label: str) -> Entry:
    failed, seeds = len(design.failed(label)), grid.seeds(label)
    absent = sum(of == label for of, _ in design.cells) - len(seeds)
    below = ", ".join([*([f"{failed} failed"] if failed else []), *([f"{absent} missing"] if absent else [])])
    return Entry(str(len(seeds)), below, hint=f"seed {', '.join(map(str, seeds))}")


def every_seed(grid: Grid) -> Table:
    """Values of every run, a line per label and seed."""
    scale = scale_of(grid.metric)
    rows = []
    for label in grid.labels:
        for seed in grid.seeds(label):
            values = [grid.value(label, seed, cell) for cell in grid.cells]
            run = next(run for (of, at, _), (run, _) in grid.entries.items() if (of, at) == (label, seed))
            rows.append([tables.label_entry(grid, label), Entry(str(seed)), Entry(run.name, href=f"../runs/{run.name}"),
                         *(Entry("missing", tone="muted") if value is None else
                           Entry(scale.value(value), href=f"../runs/{run.name}") for value in values)])
    columns = [Entry("label"), Entry("seed"), Entry("run"), *(Entry(cell[0]) for cell in grid.cells)]
    return Table(f"{scale.column.capitalize()} by run", columns, rows, text_columns=3)


def _comparison(design: Design, task: TaskResult, found: Found, anchor: str) -> list[Block]:
    if not found.standard:
        return []
    grid, asked = task.grid, found.asked
    section = replace(task.section, comparisons=found.standard)
    only = len({c.base for c in found.standard}) == 1
    base = found.standard[0].base if only else design.name(asked.factor, asked.base)
    made: list[Block] = [Heading(f"{asked.factor.replace('_', ' ').capitalize()} against {base}", anchor, 3)]
    made += [difference_drawing(anchor, grid, found.standard, base),
             Bullets(story.changes(section)),
             Folded("Differences by language", [tables.comparison_table(grid, c) for c in found.standard])]
    return made


def average_table(task: TaskResult) -> Table:
    """Average against best, per label."""
    grid = task.grid
    rows = [[tables.label_entry(grid, c.base), tables.mean_entry(grid, c.base, c.main[0]),
             tables.mean_entry(grid, c.other, c.main[0]), *change_entries(grid, c)] for c in task.averages]
    names = ("label", "best checkpoint", "average", "difference", "95 % interval", "verdict")
    columns = [Entry(name) for name in names]
    return Table(f"Average against best: {scale_of(grid.metric).column}, mean, {task.targets[0]}", columns, rows)


def measure_groups(task: TaskResult) -> list[Table]:
    """Means over the nearer and the farther half of the languages, per measure."""
    grid, (_, targets) = task.grid, task.targets
    made = []
    for measure in task.measures:
        known = sorted((cell for cell in targets if cell[0] in measure.values),
                       key=lambda cell: (measure.values[cell[0]], cell))
        if len(known) < 4:
            continue
        half = len(known) // 2
        rows = [[Entry(name), Entry(", ".join(f"{cell[0]} {measure.values[cell[0]]:.2f}" for cell in cells)),
                 *(tables.mean_entry(grid, label, cells) for label in grid.labels)]
                for name, cells in (("lower half", known[:half]), ("upper half", known[half:]))]
        columns = [Entry("group"), Entry("languages"), *(tables.label_entry(grid, label) for label in grid.labels)]
        made.append(Table(f"By {measure.name}", columns, rows, text_columns=2))
    return made


def selection_table(design: Design, task: TaskResult) -> Table:
    """Mean of the best, averaged and oracle weights per label."""
    grid, oracle, (name, cells) = task.grid, task.section.oracle, task.targets
    none = Entry("–", tone="muted")
    rows = []
    for label in grid.labels:
        if label in design.averages.values():
            continue
        average = design.averages.get(label, "")
        rows.append([tables.label_entry(grid, label), tables.mean_entry(grid, label, cells),
                     tables.mean_entry(grid, average, cells) if average in grid.labels else none,
                     tables.mean_entry(oracle, label, cells) if _whole(oracle, label, cells) else none])
    columns = [Entry("label"), Entry("best, by source dev"), Entry("average, last snapshots"), Entry("oracle")]
    return Table(f"Selection: mean {scale_of(grid.metric).column}, {name}", columns, rows,
                 ["The oracle uses labels of the target languages: an upper bound."])


def _whole(grid: Grid, label: str, cells: Sequence[Cell]) -> bool:
    return label in grid.labels and bool(grid.means(label, cells))
