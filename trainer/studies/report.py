"""Report of a study: the runs of its cells compared, in `<study>/report/`.

Input: a study, its graph and folder. Output: the report's files; how many nodes are not done is printed.
"""

from __future__ import annotations

from pathlib import Path

from trainer.report.write import write_report
from trainer.results.numbers import counted
from trainer.results.scores import RESULTS_FILE
from trainer.studies.graph import Graph
from trainer.studies.schema import Study
from trainer.studies.states import endings

REPORT = "report"


def write_study_report(study: Study, graph: Graph, out: Path) -> int:
    """Write the report of what is done; returns 0 where all of it is, else 1."""
    ended = endings(out, graph.nodes.values())
    left = [name for name in graph.nodes if name not in ended or ended[name].state != "done"]
    runs = list(dict.fromkeys(out / graph.nodes[cell.runs[stage]].output for cell in graph.cells
                              for stage in cell.evaluations))
    evaluated = [run for run in runs if (run / "eval" / RESULTS_FILE).is_file()]
    if evaluated:
        print(f"report: {write_report(evaluated, out / REPORT).html}")
    if left:
        print(f"{counted(len(left), 'node')} not done; `python -m trainer study status {out}` lists those that failed")
    return 1 if left else 0
