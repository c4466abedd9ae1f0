"""Document of a study's report, its rows and its event files, and the writing of all three."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.base.lock import held_beside
from trainer.report.build import language_blocks, slug
from trainer.report.document import Block, Bullets, Document, Drawing, Entry, Folded, Heading, Paragraph, Row, Table
from trainer.report.render import csv_rows, tensorboard
from trainer.report.sections import diagnostics, recipes, story
from trainer.report.sections.answer import headline
from trainer.report.sections.method import method_lines
from trainer.report.write import check_target, publish
from trainer.results.numbers import counted, listed
from trainer.studies.graph import Graph
from trainer.studies.report import extras, sections
from trainer.studies.report.answer import answer, answered, failed_lines, lines, main_tasks, told
from trainer.studies.report.design import read_designs
from trainer.studies.report.results import StageResult, compute_stage
from trainer.studies.schema import Study

RUNS = "../runs"  # from the report


def write(study: Study, graph: Graph, out: Path, folder: Path) -> str:
    """Write the report of what is done to `folder`; returns the answer. Raises: see `report.write.write_report`."""
    check_target(folder)
    with held_beside(folder, "report"):
        results = [compute_stage(design, out) for design in read_designs(study, graph, out)]
        document = build(study, graph, out, results)
        publish(document, folder, csv_text(study, results),
                lambda place: tensorboard.write(place, document, records_of(results)))
    return answer(results)


def build(study: Study, graph: Graph, out: Path, results: Sequence[StageResult]) -> Document:
    """The whole report as plain data."""
    first, found = study.comparisons[0], answered(results)
    blocks: list[Block] = [
        Heading("Hypothesis", "hypothesis"), Paragraph(study.hypothesis),
        Paragraph(f"The answer compares every other level of {first.factor.replace('_', ' ')} with its base level "
                  f"({study.factors[first.factor][first.base].label or first.base}), in languages without training "
                  "data where there are any; it says nothing of what the study has not varied.")]
    if study.limits:
        blocks += [Heading("Limits", "limits"), Bullets(list(study.limits))]
    prefixes = {result.design.stage: f"{result.design.stage.replace('_', ' ').capitalize()}: "
                if sum(bool(one.tasks) for one in results) > 1 else "" for result in results}
    for result in results:
        prefix = prefixes[result.design.stage]
        for task in main_tasks(result):
            blocks += sections.blocks(result.design, task, prefix, shown=found is not None and task is found[0])
        blocks += extras.perturbed_blocks(result, prefix) + extras.curve_blocks(result, prefix)
    blocks += extras.data_map_blocks(study, graph, out)
    for result in results:
        blocks += extras.distance_blocks(result, prefixes[result.design.stage])
        for diagnosis in result.diagnoses:
            blocks += diagnostics.blocks(diagnosis)
    blocks += _missing(results)
    blocks += language_blocks([grid for result in results for task in result.tasks for grid in task.section.grids])
    blocks += [Heading("How these numbers were made", "method"), Bullets(_methods(results))]
    runs = [run for result in results for run in result.design.runs]
    if runs:
        blocks += [Heading("Runs", "runs"), _runs(results)]
    anchors = {run.label: sections.runs_anchor(run.label) for run in runs}
    said, details, top = answer(results), list[str](), list[Table | Drawing]()
    if found is not None:
        task, comparison = found
        design = next(result.design for result in results if any(one is task for one in result.tasks))
        said = headline(task.grid, task.section.title, comparison.standard)
        details, top = told(task, comparison)[1:], sections.first_screen(design, task, "summary")
    details += [line for result in results for line in failed_lines(result.design)]
    return Document(study.title, study.question, said, details,
                    [_linked_table(part, anchors) if isinstance(part, Table) else part for part in top],
                    lines(results), [_linked(block, anchors) for block in blocks])


def records_of(results: Sequence[StageResult]) -> list[tensorboard.RunRecord]:
    """Records of all runs for TensorBoard: levels, settings, and the mean over the target languages of each task."""
    found = []
    for result in results:
        design = result.design
        best = {average: label for label, average in design.averages.items()}
        for run in design.runs:
            given = {"stage": design.stage, "seed": run.seed, "weights": "average" if run.label in best else "best",
                     **design.levels[best.get(run.label, run.label)]}
            scores = {}
            for task in result.tasks:
                name, cells = task.targets
                values = [task.grid.value(run.label, run.seed, cell) for cell in cells]
                if len(known := [value for value in values if value is not None]) == len(values) > 0:
                    scores[tensorboard.score_name(task.section, f"mean, {name}")] = sum(known) / len(known)
            found.append(tensorboard.RunRecord(slug(f"{design.stage} {run.label} seed{run.seed}"), given, run.settings,
                                               scores))
    return found


def _missing(results: Sequence[StageResult]) -> list[Block]:
    found = []
    for result in results:
        found += [f"{label}, {counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))}), {result.design.stage}: "
                  f"{reason}." for (label, reason), seeds in result.design.missing().items()]
        found += [f"{line}." for line in story.missing_lines(result.missing)]
    nodes = {name: state for result in results for name, state in result.design.states.items() if state != "not run"}
    blocks: list[Block] = [Heading("Missing cells", "missing"),
                           Bullets(found) if found else Paragraph("None: every cell of the study has all its results.")]
    if nodes:
        rows = [[Entry(name, href=f"../logs/{name}.log" if state != "blocked" else ""),
                 Entry(state, tone="loss" if state != "blocked" else "")] for name, state in nodes.items()]
        blocks.append(Table("Nodes that failed, and those that wait for them", [Entry("node"), Entry("state")], rows,
                            text_columns=2))
    return blocks


def _methods(results: Sequence[StageResult]) -> list[str]:
    metrics = dict.fromkeys(task.section.metric for result in results for task in result.tasks)
    found = ["Labels and seeds are those of the study's cells; a training that was replaced by one of a new seed "
             "counts as the seed of its cell. The comparisons are the study's: a base level against every other level "
             "of the factor, at each combination of the other factors, with Holm's correction over all of one "
             "comparison in a task and split. The mean over languages that no label was trained on is tested first, "
             "further means only where it is claimed."]
    for result in results:
        for label, keys in result.design.unlike.items():
            found.append(f"Seeds of {label} differ by design, besides their seed, in {listed(keys)}.")
    found += method_lines(list(metrics))
    if any(task.effects for result in results for task in result.tasks):
        found.append("Slopes: least squares of the difference per language on the distance, a weighted sum of the "
                     "differences, so that the interval has the same two parts: the slopes of single seeds, S − 1 "
                     "degrees of freedom, and the test examples; Holm's correction is over labels and distances. "
                     "Languages are fixed. Tokens per example come from the cells' manifests and compare translations "
                     "of one text.")
    if any(result.diagnoses for result in results):
        found += diagnostics.method_lines()
    return found


def _runs(results: Sequence[StageResult]) -> Table:
    runs = [run for result in results for run in result.design.runs]
    table, seen, rows = recipes.runs_table(runs), set(), []
    for run, row in zip(runs, table.rows, strict=True):
        anchor = "" if run.label in seen else sections.runs_anchor(run.label)
        name = replace(row[0], href=f"{RUNS}/{run.name}", anchor=anchor)
        seen.add(run.label)
        rows.append([name, *row[1:]])
    notes = [note for note in table.notes if not note.startswith(("Pooled", "The "))]
    for result in results:
        notes += [f"{label} seed {seed}: trained with seed {used}, after a training that failed."
                  for (label, seed), used in result.design.training_seeds.items()
                  if (cell := result.design.cells.get((label, seed))) is not None and cell.failed]
    return replace(table, rows=rows, notes=notes)


def _linked(block: Block, anchors: dict[str, str]) -> Block:
    """`block` with every number linked to the runs of its label."""
    match block:
        case Table():
            return _linked_table(block, anchors)
        case Row():
            found = [_linked_table(part, anchors) for part in block.parts if isinstance(part, Table)]
            return Row(found) if found else block
        case Folded():
            return Folded(block.summary, [_linked(inner, anchors) for inner in block.blocks])
        case _:
            return block


def _linked_table(table: Table, anchors: dict[str, str]) -> Table:
    of = next((label for label in sorted(anchors, key=len, reverse=True)
               if table.title.startswith((f"{label} against ", f"{label}: "))), "")
    rows = [[_entry(row[0], anchors.get(row[0].text, "")),
             *(_entry(entry, _first(anchors, entry.text, row[0].text, column.text, of))
               for entry, column in zip(row[1:], table.columns[1:], strict=True))] for row in table.rows]
    others = {entry.href for row in rows for entry in row[1:] if entry.href != row[0].href}
    return replace(table, rows=rows, runs=[Entry(label, href=f"#{anchor}") for label, anchor in anchors.items()
                                           if f"#{anchor}" in others])


def _first(anchors: dict[str, str], *labels: str) -> str:
    return next((anchors[label] for label in labels if label in anchors), "")


def _entry(entry: Entry, anchor: str) -> Entry:
    number = any(character.isdigit() for character in entry.text) or bool(entry.colour)  # or a label
    return replace(entry, href=f"#{anchor}") if anchor and number and not entry.href else entry


def csv_text(study: Study, results: Sequence[StageResult]) -> str:
    """`results.csv`: all rows, behind the stage, the levels and the seeds of their cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["stage", *study.factors, "training_seed", *csv_rows.HEADER])
    for result in results:
        design = result.design
        labels = {average: label for label, average in design.averages.items()}
        for run in design.runs:
            own = design.levels[labels.get(run.label, run.label)]
            text = csv_rows.render([replace(run, path=Path(RUNS) / run.name)])
            seed = design.training_seeds.get((labels.get(run.label, run.label), run.seed), run.seed)
            writer.writerows([design.stage, *(own.get(factor, "") for factor in study.factors), seed, *row]
                             for row in list(csv.reader(io.StringIO(text)))[1:])
    return buffer.getvalue()
