"""The lines that a run starts with: size, ranks, origin of the weights, and warnings on its data."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from data_prep.shards.tokenizers import tokenizer_dir
from trainer.config.schema import Recipe
from trainer.data.loader import TrainingData
from trainer.data.tasks import cell_name
from trainer.engine.engine import Engine
from trainer.model.vocabulary import WholeTable
from trainer.runs.folder import BEST
from trainer.runs.record import doubtful_end
from trainer.runs.state import TrainState

_log = logging.getLogger(__name__)


def announce(folder: Path, recipe: Recipe, data: TrainingData, max_steps: int, state: TrainState,
             origin: dict[str, Any], engine: Engine, table: WholeTable | None = None) -> None:
    """Log how the run starts, and warnings on its data and its origin.

    origin: as `build_model` returns it. table: of a model whose vocabulary is trimmed.
    """
    shards = recipe.data.shards
    start = f"resumed after step {state.step}" if state.step else "new run"
    _log.info("%s: %s, %d steps, %d training rows, %d rank(s), ZeRO %d, %s", folder, start, max_steps,
              sum(len(cell) for cell in data.train), engine.ranks.world_size, engine.stage, engine.device)
    if engine.device.type == "cpu" and (line := on_cpu(recipe.engine.precision, engine.stage, engine.ranks.world_size,
                                                       has_bf16_instructions())):
        _log.info("%s", line)
    if len(data.tasks) > 1:
        rows = (f"{task} ({manifest.kind}, {sum(map(len, data.tasks[task]))} rows)"
                for task, manifest in data.manifests.items())
        _log.info("mixture: %s; %s is the head of %s", ", ".join(rows), BEST, data.task)
    if table is not None:
        _log.info("word embeddings: %s of %s are read by the run's cells and trained", f"{len(table.kept_K):,}",
                  f"{len(table.start_VH):,}")
    if not tokenizer_dir(shards, data.manifest.tokenizer.fingerprint).is_dir():
        _log.warning("no tokenizer beside the shards in %s; %s will not hold one", shards, folder / BEST)
    if tests := [cell_name(cell.path) for cell in data.train if cell.manifest.split == "test"]:
        _log.warning("data.train: training on %s, %s: what this run scores there says nothing of how well it "
                     "generalises", "a test cell" if len(tests) == 1 else "test cells", _listed(tests))
    if recipe.init_from is not None and (ended := doubtful_end(Path(recipe.init_from))):
        _log.warning("init_from: %s %s; this run begins with its encoder all the same", recipe.init_from, ended)
    if "new_keys" in origin:  # not so with random weights
        _log.info("%s", _origin_line(origin, next(iter(data.manifests.values())).labels))
    for task, of_head in origin.get("heads", {}).items():
        if "new_keys" in of_head:
            _log.info("head of %s: new %s", task, ", ".join(of_head["new_keys"]) or "nothing")


def on_cpu(precision: str, stage: int, world_size: int, fast: bool) -> str:
    """One line on what a recipe that is made for GPUs comes to on a CPU; empty where it comes to nothing else.

    The precision is kept, since it is part of what determines the run. fast: the CPU has instructions for it.
    """
    parts = []
    if precision != "fp32":
        parts.append(f"{precision} is kept, and this processor has instructions for it" if fast else
                     f"{precision} is kept, and emulated, slower than --engine.precision fp32 --engine.config zero0")
    if stage and world_size == 1:
        parts.append(f"ZeRO {stage} has no second rank to share with, so all state stays on this one")
    return f"no GPU: {'; '.join(parts)}" if parts else ""


def has_bf16_instructions() -> bool:
    """True where torch finds instructions of this CPU for bf16, such as AVX512_BF16 or AMX."""
    return any(found is True for name, found in torch.cpu.get_capabilities().items() if "bf16" in name)


def _origin_line(origin: dict[str, Any], labels: list[str]) -> str:
    """One line on which weights were taken from another model, dropped, reordered or new."""
    took = f"{origin['encoder_keys']} encoder weights" if "encoder_keys" in origin else "the encoder"
    reordered = f"reordered {', '.join(origin['reordered_keys'])}; " if "reordered_keys" in origin else ""
    at = f" at commit {origin['commit']}" if "commit" in origin else ""
    line = (f"took {took} from {origin.get('init_from') or origin['model.name']}{at}; dropped "
            f"{', '.join(origin['dropped_keys']) or 'nothing'}; {reordered}new "
            f"{', '.join(origin['new_keys']) or 'nothing'}")
    if "classes" in origin:
        line += f"; classes of the model: {_listed(origin['classes'])}; of the task: {_listed(labels)}"
    return line


def _listed(names: list[str]) -> str:
    """The first few of `names` on one line, with unprintable characters blanked."""
    shown = ["".join(letter if letter.isprintable() else " " for letter in name[:40]) for name in names[:5]]
    return ", ".join([*shown, *(["..."] if len(names) > 5 else [])])
