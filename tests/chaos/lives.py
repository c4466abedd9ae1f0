"""Lives of commands: processes that run one command each, slowly enough at its writes to be killed in their middle.

They are forked from a server that has imported what commands need, so that a life is the command's work alone.
"""

from __future__ import annotations

import builtins
import io
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from data_prep.base import interrupt
from data_prep.commands import COMMANDS as PREPARE
from tests.chaos.ranks import hear_ctrl_c
from tests.command_tables import entries
from trainer.commands import COMMANDS as TRAIN

IMPORTED = [*sorted({command.target.partition(":")[0] for table in (TRAIN, PREPARE) for _, command in entries(table)}),
            "trainer.__main__", "data_prep.__main__", "trainer.report.write", "transformers.models.xlm_roberta",
            "torch.utils.tensorboard", "tests.chaos.lives"]
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")
SHORT_TRAINING = {"schedule.max_steps": 6, "evaluation.every_steps": 3, "checkpoint.every_steps": 2, "batch.size": 16}
FIRST_OUTPUTS = ("raw", "tokenizer")
WAIT_SECONDS = 300
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(IMPORTED)


class Life:
    """A running command, `words` after `python -m`; each change to the file system takes `pause` seconds more.

    `last` is the number of the change at which it kills itself by `number`, 0 for none. A demo is cut to a tokenizer,
    or trains shortly where it is `whole`.
    """

    def __init__(
        self, words: Sequence[str], said: Path, pause: float = 0.0, last: int = 0, whole: bool = False,
        number: int = signal.SIGKILL,
    ) -> None:
        self.said = said
        self.started = time.monotonic()
        arguments = (list(words), str(said), pause, last, whole, number)
        self.process: ForkServerProcess = SERVER.Process(target=live, args=arguments)
        self.process.start()

    def interrupt_after(self, seconds: float) -> None:
        """Ctrl-C, to its process group, `seconds` after its start, where it has not ended before."""
        self.process.join(max(0.0, self.started + seconds - time.monotonic()))
        if self.process.exitcode is None:
            with suppress(ProcessLookupError):  # ended just now: the fork server knows it before we do
                os.killpg(self.process.pid or 0, signal.SIGINT)

    def kill_after(self, seconds: float) -> bool:
        """Kill it `seconds` after its start; False where it had ended before."""
        self.process.join(max(0.0, self.started + seconds - time.monotonic()))
        if self.process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid or 0, signal.SIGKILL)
        self.process.join()
        return self.process.exitcode == -signal.SIGKILL

    def end(self) -> int:
        """Its exit code, once it has ended; less than zero where it was killed."""
        self.process.join(WAIT_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"it hangs; it said: {self.words}")
        return self.process.exitcode

    @property
    def words(self) -> str:
        """What it said so far."""
        return self.said.read_text(encoding="utf-8") if self.said.exists() else ""


def live(words: list[str], said: str, pause: float, last: int, whole: bool, number: int) -> None:
    """What a life does, in a process group of its own."""
    os.setpgid(0, 0)
    hear_ctrl_c()
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    _with_small_batches()
    _with_a_small_demo(whole)
    _watch_changes(pause, last, number)
    interrupt.listen()
    from data_prep.__main__ import main as prepare
    from trainer.__main__ import main as train

    sys.exit((prepare if words[0] == "data_prep" else train)(words[1:]))


def _watch_changes(pause: float, last: int, number: int) -> None:
    """Sleep, or die, before each rename, removal and new folder, and after each opening of a file to write.

    At that moment the file is empty.
    """
    real, owner, count = io.open, os.getpid(), 0

    def change() -> None:
        nonlocal count
        if os.getpid() == owner:  # not a worker
            count += 1
            if count == last:
                (os.kill if number == signal.SIGKILL else os.killpg)(owner, number)
            time.sleep(pause)

    def watched_open(file: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
        opened = real(file, mode, *more, **named)
        if any(letter in mode for letter in "wxa"):
            change()
        return opened

    io.open = builtins.open = watched_open  # type: ignore[assignment]
    sys.addaudithook(lambda event, _: change() if event in CHANGES else None)


def _with_small_batches() -> None:
    """Enough batches for worker processes, in a few dozen rows."""
    import data_prep.sources.batches
    from data_prep import workers

    workers.POOL_FROM_ROWS, data_prep.sources.batches.BATCH_ROWS = 0, 7


def _with_a_small_demo(whole: bool) -> None:
    """A demo on a small world, with short trainings, or with no other commands than those that make FIRST_OUTPUTS."""
    from trainer.studies import demo, expand

    documents = 4000 if whole else 400  # 4000 hold every word
    sizes = f"documents={documents},text_dev=20,easier_pairs=40,easier_dev=10,pairs=60,dev=12,test=15"
    real_study, real_graph = demo.demo_study, expand.build_graph

    def small_study(*words: Any) -> Any:
        study = real_study(*words)
        raw = study.steps["raw"].model_copy(update={"command": f"{study.steps['raw'].command} --sizes {sizes}"})
        stages = {name: stage.model_copy(update={"set": stage.set | SHORT_TRAINING})
                  for name, stage in study.stages.items()}
        return study.model_copy(update={"steps": study.steps | {"raw": raw}, "stages": stages})

    def first_nodes(*words: Any) -> Any:
        graph = real_graph(*words)
        nodes = {name: node for name, node in graph.nodes.items() if node.output in FIRST_OUTPUTS}
        return replace(graph, nodes=nodes, cells=[])

    demo.demo_study = small_study
    if not whole:
        expand.build_graph, demo._report = first_nodes, lambda *words: 0
