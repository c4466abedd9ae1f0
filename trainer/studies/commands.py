"""`python -m trainer study`: plan, run, submit, status and report.

    python -m trainer study run robust_xlt --size toy
"""

from __future__ import annotations

import os
from pathlib import Path

from data_prep.base.errors import InputError
from data_prep.base.files import remove_unfinished, write_text
from data_prep.base.lock import held
from trainer.studies.contents import Contents
from trainer.studies.expand import build_graph
from trainer.studies.graph import Graph
from trainer.studies.load import dump, find_study, load_study, read_snapshot
from trainer.studies.local import find_room, run_nodes
from trainer.studies.schema import Study
from trainer.studies.show import show_plan, show_status
from trainer.studies.states import STUDY, begin, collapsed_digests, read_graph


def plan(study: str, *, size: str = "toy", out: str | None = None, seeds: str | None = None,
         rate: float | None = None, nodes: bool = False, **parameters: str) -> int:
    """Show the graph of a STUDY: its nodes, what sharing saves, and the time that is left.

    STUDY: a name that ships, or a YAML file. size: toy, small or full. out: folder of the study (default
    studies/STUDY-SIZE). seeds: comma list instead of the study's. nodes: list every node. rate: examples per second of
    a training, for the estimate where none has finished. Parameters of the study are flags, e.g. --source DIR, and
    --levels.FACTOR A,B restricts a factor to some levels.
    """
    path, loaded, folder = open_study(study, size, out, seeds, parameters)
    graph = build_graph(loaded, path.parent, folder, Contents(folder), collapsed_digests(folder))
    show_plan(loaded, graph, folder, find_room(None, loaded.memory_gb).parallel, rate, every_node=nodes)
    return 0


def run(study: str, *, size: str = "toy", out: str | None = None, seeds: str | None = None,
        parallel: int | None = None, **parameters: str) -> int:
    """Run a STUDY here, as many commands at once as fit, and write its report; the same command resumes.

    Flags as in `plan`. parallel: commands at once (default: one per GPU, else per core, as memory allows).
    """
    path, loaded, folder = open_study(study, size, out, seeds, parameters)
    contents = Contents(folder)

    def graph_of(failed: frozenset[str]) -> Graph:
        return build_graph(loaded, path.parent, folder, contents, failed)

    graph = graph_of(collapsed_digests(folder))  # what is wrong with the study shows before anything is written
    room = find_room(parallel, loaded.memory_gb)
    with held(folder, "study"):
        remove_unfinished(folder)
        begin(folder, graph)
        write_text(folder / STUDY, dump(loaded))
        contents.save()
        print(f"{loaded.title}: {len(graph.nodes)} nodes, {len(graph.cells)} cells, {room.parallel} at once; "
              f"logs in {folder / 'logs'}", flush=True)
        graph = run_nodes(graph_of, folder, room)
        return _report(loaded, graph, folder)


def status(out: str) -> int:
    """Show which nodes of the study in the folder OUT are done, running, waiting or failed."""
    folder = Path(os.path.abspath(out))
    show_status(read_snapshot(folder / STUDY), read_graph(folder), folder)
    return 0


def report(out: str) -> int:
    """Write the report of the study in the folder OUT from what is done so far: OUT/report."""
    folder = Path(os.path.abspath(out))
    return _report(read_snapshot(folder / STUDY), read_graph(folder), folder)


def open_study(study: str, size: str, out: str | None, seeds: str | None, parameters: dict[str, str],
               ) -> tuple[Path, Study, Path]:
    """(file, study, folder of the study), as the command line asks for it. Raises InputError."""
    path = find_study(study)
    try:
        chosen = None if seeds is None else [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise InputError(f"--seeds takes whole numbers with commas between, found {seeds!r}") from None
    folder = Path(out) if out is not None else Path("studies") / f"{path.stem}-{size}"
    return path.absolute(), load_study(path, size, parameters, chosen), Path(os.path.abspath(folder))


def _report(study: Study, graph: Graph, out: Path) -> int:
    from trainer.studies.report import write_study_report

    return write_study_report(study, graph, out)
