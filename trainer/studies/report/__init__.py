"""Report of a study: question, answer with its uncertainty, tables, figures and links to every run.

Input: a study, its graph and folder. Output: `<study>/report/`: report.html, report.md, results.csv, figures/ and
tensorboard/, the same bytes from the same runs. Rooms: `design` says which run is which cell, `results` and `distance`
compute, `answer` puts it in sentences, `sections` and `extras` format blocks, `document` assembles and writes them.
"""

from __future__ import annotations

from pathlib import Path

from trainer.results.numbers import counted
from trainer.studies.graph import Graph
from trainer.studies.schema import Study
from trainer.studies.states import endings

REPORT = "report"


def write_study_report(study: Study, graph: Graph, out: Path) -> int:
    """Write the report of what is done; returns 0 where all of it is, else 1."""
    from trainer.studies.report.document import write  # here, so that other commands start without matplotlib

    ended = endings(out, graph.nodes.values())
    left = [node for node in graph.wanted if node.name not in ended or ended[node.name].state != "done"]
    answer = write(study, graph, out, out / REPORT)
    print(f"{answer}\nreport: {out / REPORT / 'report.html'}")
    if left:
        print(f"{counted(len(left), 'node')} not done; `python -m trainer study status {out}` lists those that failed")
    return 1 if left else 0
