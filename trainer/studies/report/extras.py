"""Blocks of a study's report beside its tasks: perturbed cells, curves, data maps, effects against distance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from trainer.plots.data_map import data_map
from trainer.report.build import slug
from trainer.report.data.compare import compare_pairs, means_over
from trainer.report.document import Block, Bullets, Drawing, Entry, Heading, Paragraph, Row, Table
from trainer.report.sections import tables
from trainer.results.dynamics import FILE, read_summary
from trainer.results.numbers import Scale, scale_of
from trainer.statistics.summary import Summary, summarise
from trainer.studies import schema
from trainer.studies.graph import Graph
from trainer.studies.report import figures
from trainer.studies.report.answer import main_tasks, slope_sentence
from trainer.studies.report.design import BETWEEN, Design
from trainer.studies.report.distance import Effect
from trainer.studies.report.results import StageResult, TaskResult
from trainer.studies.report.sections import runs_anchor

MOST_MAPS = 12
CAUTION = ("Caution: the points are a handful of languages that nobody drew at random, and they differ in much besides "
           "this distance (script, data, family, the test set's translation). A slope is a correlation, no cause. Its "
           "interval covers the luck of training (Student's t over the slopes of single seeds) and the choice of test "
           "examples, not the choice of languages.")


def perturbed_blocks(result: StageResult, prefix: str) -> list[Block]:
    """Tables of perturbed cells (`xnli+noise`) beside their originals."""
    by_key = {(task.section.task, task.section.split, task.section.metric): task for task in result.tasks}
    made: list[Block] = []
    for (name, split, metric), task in by_key.items():
        clean = by_key.get((name.partition("+")[0], split, metric))
        if "+" in name and clean is not None and task.grid.scored and clean.grid.scored:
            made.append(_drop_table(clean, task))
    if not made:
        return []
    return [Heading(f"{prefix}Perturbed sets", slug(f"{prefix}perturbed")),
            Paragraph("Drop: the score on the original cells minus that on the perturbed ones, per seed, then "
                      "averaged. A small drop of a low score is no robustness: read both."), *made]


def _drop_table(clean: TaskResult, task: TaskResult) -> Table:
    scale, grid = scale_of(task.section.metric), task.grid
    cells = [cell for cell in grid.shared if cell in clean.grid.shared]
    rows = []
    for label in (label for label in grid.labels if label in clean.grid.labels):
        both = [seed for seed in grid.seeds(label) if seed in clean.grid.seeds(label)]
        gaps = [[(clean.grid.value(label, seed, cell) or 0.0) - (grid.value(label, seed, cell) or 0.0)
                 for seed in both] for cell in cells]
        means = [sum(column) / len(column) for column in zip(*gaps, strict=True)]
        rows.append([tables.label_entry(grid, label), tables.mean_entry(clean.grid, label, cells),
                     tables.mean_entry(grid, label, cells), _summary(scale, means),
                     *(_summary(scale, gap) for gap in gaps)])
    columns = [Entry("label"), Entry(f"{clean.section.task}, mean"), Entry(f"{task.section.task}, mean"), Entry("drop"),
               *(Entry(cell[0]) for cell in cells)]
    return Table(f"{task.section.title} beside {clean.section.title}: {scale.column}, mean over {len(cells)} "
                 "languages, and the drop by language", columns, rows)


def _summary(scale: Scale, values: Sequence[float]) -> Entry:
    if not values:
        return Entry("–", tone="muted")
    summary = summarise(values)
    return Entry(scale.signed(summary.mean), scale.deviation(summary))


def curve_blocks(result: StageResult, prefix: str) -> list[Block]:
    """Curves of the study in each task: figure, and differences between the lines at each x."""
    made: list[Block] = []
    for number, asked in enumerate(result.design.study.curves):
        for task in main_tasks(result):
            made += _curve(result.design, task, asked, slug(f"{prefix}curve-{number}-{task.section.title}"))
    return [Heading(f"{prefix}Curves", slug(f"{prefix}curves")), *made] if made else []


def _curve(design: Design, task: TaskResult, asked: schema.Curve, name: str) -> list[Block]:
    grid, (targets, cells) = task.grid, task.targets
    levels = design.study.factors.get(asked.factor, {})
    if asked.factor not in design.factors or not cells:
        return []
    lines: dict[str, dict[float, str]] = {}
    for label, own in design.levels.items():
        x = levels[own[asked.factor]].x
        if x is None or label not in grid.labels or any(own.get(f, level) != level for f, level in asked.at.items()):
            continue
        others = {factor: level for factor, level in own.items() if factor != asked.factor and factor not in asked.at}
        line = BETWEEN.join(design.study.factors[f][level].label or level for f, level in others.items())
        lines.setdefault(line or asked.factor, {})[x] = label
    points: dict[str, list[tuple[float, Summary]]] = {
        line: [(x, summarise(values)) for x, label in sorted(labels.items()) if (values := grid.means(label, cells))]
        for line, labels in lines.items()}
    points = {line: found for line, found in points.items() if found}
    if not points or len({x for found in points.values() for x, _ in found}) < 2:
        return []
    title = f"{task.section.title}: mean {scale_of(grid.metric).name}, {targets}, by {asked.factor.replace('_', ' ')}"
    several = any(summary.deviation for found in points.values() for _, summary in found)
    known = [level for cell in cells if (level := grid.chance(cell)) is not None]
    chance = sum(known) / len(known) if known else None
    data: list[list[object]] = [["line", asked.factor, f"mean_{grid.metric}", "deviation"]]
    data += [[line, x, summary.mean, summary.deviation] for line, found in points.items() for x, summary in found]
    caption = (f"{title}.{' Bands: standard deviation over seeds.' if several else ''}"
               f"{' Dashed: chance, the mean over these languages.' if known else ''}")
    drawing = Drawing(name, caption, title, partial(
        figures.curve, grid.metric, points, asked.factor.replace("_", " "), chance), data)
    return [drawing, *_curve_table(task, lines, title)]


def _curve_table(task: TaskResult, lines: dict[str, dict[float, str]], title: str) -> list[Table]:
    """Differences to the first line at each x; of a single line, to its first x."""
    grid, scale = task.grid, scale_of(task.grid.metric)
    first = next(iter(lines))
    every = sorted({x for labels in lines.values() for x in labels})
    if len(lines) > 1:
        pairs = {(line, x): (lines[first][x], labels[x]) for line, labels in lines.items() if line != first
                 for x in every if x in labels and x in lines[first]}
        base = f"Difference to {first} at each x"
    else:
        pairs = {(first, x): (lines[first][every[0]], lines[first][x]) for x in every[1:]}
        base = f"Difference to x = {every[0]:g}"
    found = {(c.base, c.other): c for c in compare_pairs(grid, list(pairs.values()), means_over)}
    rows = []
    for line in dict.fromkeys(line for line, _ in pairs):
        entries = []
        for x in every:
            c = found.get(pairs[line, x]) if (line, x) in pairs else None
            if c is None:
                entries.append(Entry("–", tone="muted"))
                continue
            interval = list(c.means.values())[-1][1]
            tone = tables.verdict(scale, interval).tone if interval.claimed else ""
            entries.append(Entry(scale.signed(interval.estimate), scale.interval(interval), tone=tone,
                                 href=f"#{runs_anchor(c.other)}"))
        rows.append([Entry(line), *entries])
    columns = [Entry("line"), *(Entry(f"{x:g}") for x in every)]
    note = "95 % intervals; in colour: a gain or loss after Holm's correction over this table."
    return [Table(f"{base}: {title}", columns, rows, [note])] if rows else []


def data_map_blocks(study: schema.Study, graph: Graph, out: Path) -> list[Block]:
    """Data maps of the stages that the study names, one per distinct training data: the first run of each label."""
    drawings: list[Drawing] = []
    for stage in study.data_maps:
        seen: dict[str, str] = {}
        for cell in graph.cells:
            run = cell.runs.get(stage)
            if run is None or not (out / graph.nodes[run].output / FILE).is_file():
                continue
            seen.setdefault(run.rpartition("-seed")[0], run)
        for title, run in list(seen.items())[:MOST_MAPS - len(drawings)]:
            columns = read_summary(out / graph.nodes[run].output / FILE)
            draw = partial(data_map, columns["confidence"], columns["variability"], columns["correctness"], title)
            drawings.append(Drawing(slug(f"map-{title}"), f"Training examples of {run}: confidence and variability of "
                                    f"the gold label over epochs. Numbers: {FILE} in the run's folder.",
                                    f"Data map of {run}", draw))
    if not drawings:
        return []
    return [Heading("Data maps", "data-maps"),
            Paragraph("Swayamdipta et al. 2020 (arXiv 2009.10795): examples at the top left are easy, on the right "
                      "ambiguous, at the bottom left hard, often mislabelled. One run of each kind."), Row(drawings)]


def distance_blocks(result: StageResult, prefix: str) -> list[Block]:
    """Effects of the first comparison against each distance."""
    made: list[Block] = []
    for task in main_tasks(result):
        for number, measure in enumerate({effect.measure.name: effect.measure for effect in task.effects}.values()):
            found = [effect for effect in task.effects if effect.measure.name == measure.name]
            base = found[0].comparison.base
            title = f"{task.section.title}: difference to {base} by {measure.name}"
            made += [Drawing(slug(f"{prefix}effect-{number}-{task.section.title}"),
                             f"{title}. One point per language, the mean over seeds, with its 95 % interval; a line in "
                             "colour where the slope is claimed; zero: no difference.", title,
                             partial(figures.effects, task.grid, found), _effect_data(found)),
                     Bullets([slope_sentence(task, effect) for effect in found]), _slope_table(task, found, title)]
    heading = Heading(f"{prefix}Effect against distance", slug(f"{prefix}distance"))
    return [heading, Paragraph(CAUTION), *made] if made else []


def _effect_data(found: Sequence[Effect]) -> list[list[object]]:
    rows: list[list[object]] = [["label", "base", "language", found[0].measure.name, "difference", "low", "high"]]
    for effect in found:
        c = effect.comparison
        for cell in effect.cells:
            interval = c.intervals[c.cells.index(cell)]
            rows.append([c.other, c.base, cell[0], effect.measure.values[cell[0]], interval.estimate, interval.low,
                         interval.high])
    return rows


def _slope_table(task: TaskResult, found: Sequence[Effect], title: str) -> Table:
    scale = scale_of(task.section.metric)
    rows = []
    for effect in found:
        slope, c = effect.slope, effect.comparison
        word = (Entry("no statement", tone="muted") if not slope.covers_training else
                Entry("slope", tone="differs") if slope.claimed else Entry("not significant", tone="muted"))
        rows.append([tables.label_entry(task.grid, c.other), Entry(scale.signed(slope.estimate)),
                     Entry(scale.interval(slope)), word,
                     *(Entry(scale.signed(c.intervals[c.cells.index(cell)].estimate)) for cell in effect.cells)])
    cells, values = found[0].cells, found[0].measure.values
    columns = [Entry("label"), Entry("slope"), Entry("95 % interval"), Entry("verdict"),
               *(Entry(f"{cell[0]}, {values[cell[0]]:.2f}") for cell in cells)]
    return Table(f"Slope and differences. {title}", columns, rows,
                 ["Below each language: its distance. Holm's correction over labels and distances."])
