"""`python -m trainer demo`: the study `demo.yaml`, whose steps are explained as they start.

Input: a seed, names of methods. Output: the study's folder, with raw/, tokenizer/, shards/, model/, runs/, logs/ and
report/. An interrupted demo resumes when started again; a finished one trains the methods that are still missing, and
reports on all.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from data_prep.base.errors import InputError, did_you_mean
from data_prep.base.files import remove_unfinished, write_text
from data_prep.base.lock import held
from trainer.results.numbers import duration
from trainer.results.scores import RESULTS_FILE
from trainer.studies.contents import Contents
from trainer.studies.graph import Graph, Node
from trainer.studies.load import FOLDER, dump, load_study, read_snapshot
from trainer.studies.schema import Study
from trainer.studies.states import LOGS, STUDY

FILE, SIZE, FACTOR, EVALUATED = FOLDER / "demo.yaml", "toy", "method", "target"
OLD_MARKER = "demo.json"  # of demos before they were studies
TITLES = {  # by what a node makes: kind and stage of those with a stage, else the output
    "raw": "A world of English words, and its sentences in other languages, as raw benchmark files",
    "tokenizer": "A tokenizer from its text",
    "shards/text": "Sharded text",
    "train pretrain": "A tiny XLM-R learns from unlabelled text (masked language modelling)",
    "model": "Languages at a chosen distance, and neighbours of the English words, are put into the model's table",
    "shards/mnli": "Sharded labelled data for the intermediate task",
    "shards/xnli": "Sharded labelled data for the target task",
    "shards/xnli+synonyms": "Copies of its rows with words drawn from their neighbours",
    "train intermediate": "Intermediate training: an easier inference task, in English",
    "train target": "Fine-tuning on English inference, plainly and robustly",
    "evaluate target": "Evaluation in every language and every pair of languages",
}


def demo(*, out: str = "demo_output", seed: int = 0, methods: str = "plain,random_noise,pgd") -> int:
    """Pre-train, fine-tune plainly and robustly on artificial languages, and compare; offline, in minutes.

    out: output folder; a finished demo there is extended by the missing methods. seed: of the data, the weights and
    the order of rows. methods: comma list of plain, random_noise, rs_da, pgd, freelb, smart.
    """
    if not out.strip():
        raise InputError("--out is empty; expected a folder")
    folder, begun = Path(os.path.normpath(out)), time.monotonic()
    demo_study(folder, seed, methods)
    with held(folder, "demo"):
        study = demo_study(folder, seed, methods)  # another demo may have begun and ended there meanwhile
        remove_unfinished(folder)
        write_text(folder / STUDY, dump(study))
        graph = _run(study, folder)
        code = _report(study, graph, folder)
    print(f"\nThe demo took {duration(time.monotonic() - begun)}.")
    if code:
        print(f"It is not complete: logs are in {folder / LOGS}, and the same command goes on.")
    else:
        print(f"Report, for a browser:         {folder / 'report' / 'report.html'}\n"
              f"Training curves and figures:   tensorboard --logdir {folder}")
    return code


def demo_study(folder: Path, seed: int, methods: str) -> Study:
    """The study with `methods`, a comma list, and those that the demo in `folder` has already.

    Raises InputError for an unknown method, and for a folder that holds anything but a demo of this seed.
    """
    whole = load_study(FILE, SIZE, {"world": str(seed)}, [seed])
    known, names = whole.factors[FACTOR], [name.strip() for name in methods.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f"no method {unknown[0]!r}{did_you_mean(unknown[0], known)}" if unknown else "no method given"
        raise InputError(f"--methods: {what}; expected a comma list of {', '.join(known)}")
    names += _methods_there(folder, whole)
    pretrain = whole.stages["pretrain"].model_copy(update={"seed": seed})
    return whole.model_copy(update={"levels": {FACTOR: [name for name in known if name in names]},
                                    "stages": whole.stages | {"pretrain": pretrain}})


def _methods_there(folder: Path, study: Study) -> list[str]:
    """Methods of the demo in `folder`; none where nothing is there. Raises InputError for anything else."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out: {folder} is a file; expected a folder, or nothing")
    if (folder / STUDY).exists():
        found = read_snapshot(folder / STUDY)
        if found.title != study.title or FACTOR not in found.factors:
            raise InputError(f"{folder} holds another study, {found.title!r}; choose another --out")
        if found.seeds != study.seeds:
            raise InputError(f"{folder} holds a demo of seed {', '.join(map(str, found.seeds))}, not {study.seeds[0]}; "
                             "choose another --out or --seed, or remove it")
        return found.chosen_levels(FACTOR)
    if (folder / OLD_MARKER).exists():
        raise InputError(f"{folder} holds a demo made by an earlier version of this program; choose another --out, or "
                         "remove it")
    if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise InputError(f"{folder} exists and holds no demo; choose another --out")
    return []


def _run(study: Study, folder: Path) -> Graph:
    """Run all nodes: trainings before evaluations; of the methods, the slow ones stand last and are started first."""
    from trainer.studies.expand import build_graph  # here, as in `_report`: the help and a refusal need none of it
    from trainer.studies.local import find_room, run_nodes

    contents = Contents(folder)
    backwards = study.model_copy(update={"levels": {FACTOR: study.chosen_levels(FACTOR)[::-1]}})

    def graph_of(failed: frozenset[str]) -> Graph:
        graph = build_graph(backwards, FOLDER, folder, contents, failed)
        nodes = dict(sorted(graph.nodes.items(), key=lambda item: item[1].kind == "evaluate"))
        return replace(graph, nodes=nodes, cells=graph.cells[::-1])

    room = replace(find_room(None, study.memory_gb), threads=1)  # scores differ in digits with the number of threads
    print(f"The output of each command is in a file below {folder / LOGS}")
    return run_nodes(graph_of, folder, room, _announcer())


def _announcer() -> Callable[[Node], None]:
    """A function that prints the command of a node, and a title before the first of its kind."""
    said: set[str] = set()

    def announce(node: Node) -> None:
        title = TITLES[f"{node.kind} {node.stage}" if node.stage else node.output]
        if title not in said:
            said.add(title)
            print(f"\n{title}")
        print(f"  $ python -m {shlex.join(node.words)}", flush=True)

    return announce


def _report(study: Study, graph: Graph, folder: Path) -> int:
    """Print accuracy by language and write the report of what is done; returns 0 where all of it is, else 1."""
    from trainer.report.build import main_tables
    from trainer.report.data.compute import compute
    from trainer.report.data.runs import read_runs
    from trainer.report.render import terminal
    from trainer.studies.report import write_study_report

    runs = [folder / node.output for node in graph.nodes.values() if node.stage == EVALUATED and node.kind == "train"]
    runs = [run for run in runs if (run / "eval" / RESULTS_FILE).is_file()]
    if runs:
        print()
        terminal.show(main_tables(compute(read_runs(runs))), [])
    return write_study_report(study, graph, folder)
