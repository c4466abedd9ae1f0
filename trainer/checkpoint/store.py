"""Checkpoint store: saves and restores the whole training state. Every rank takes part; manifest last, then a rename.

Each rank's asynchronous writer writes its files, then a list of them; the main rank's waits for the lists of all ranks.
A crash at any moment leaves the old checkpoints, or the old ones and a new complete one.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

from data_prep.base.errors import InputError
from data_prep.base.files import write_json
from trainer.checkpoint import layout, universal
from trainer.config.schema import CheckpointSection
from trainer.distributed.collectives import barrier, gather_objects, same_on_all
from trainer.engine.checkpoint_writer import Files
from trainer.engine.engine import Engine, consolidate
from trainer.model.vocabulary import WholeTable
from trainer.runs.state import TrainState

_POLL_SECONDS = 0.02
_log = logging.getLogger(__name__)


class Store:
    """The checkpoints of one run."""

    def __init__(self, engine: Engine, run_dir: Path, settings: CheckpointSection, recipe_digest: str,
                 rows_sha256: dict[str, str], table: WholeTable | None = None) -> None:
        """recipe_digest: hash of the settings that shape learning; checkpoints of another recipe are refused.
        rows_sha256: hash of the rows of each training and dev cell by name, for `refuse_other_data`. table: given where
        the engine's word table is trimmed."""
        self._engine, self._run_dir, self._settings, self._digest = engine, run_dir, settings, recipe_digest
        self._rows_sha256, self._words = rows_sha256, None if table is None else len(table.kept_K)

    def save(self, state: TrainState) -> None:
        """Start to write the state after step `state.step`; every rank must call it. `wait` returns once it is kept.

        Raises OSError, on the rank where it happened, if the previous checkpoint could not be written.
        """
        self.wait()
        folder = self._run_dir / layout.FOLDER
        temporary = folder / (layout.TEMPORARY + layout.checkpoint_name(state.step))
        if self._engine.ranks.is_main:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        barrier(self._engine.ranks)
        self._engine.collect(folder, temporary.name, state.to_dict())
        step = state.step
        self._engine.writer.start(lambda files: self._finish(temporary, files, step))

    def check(self) -> None:
        """Raise the error of this rank in a save that is under way, if there is one."""
        self._engine.writer.check()

    def wait(self) -> None:
        """Return once this rank's files, on the main rank those of all ranks, are written; raises as `check` does."""
        self._engine.writer.wait()

    def _finish(self, temporary: Path, files: Files, step: int) -> None:
        """In the writer's thread: list this rank's files; on the main rank wait for all lists and rename."""
        ranks = self._engine.ranks
        write_json(temporary / _list_name(ranks.rank), files)
        if not ranks.is_main:
            return
        lists = [temporary / _list_name(rank) for rank in range(ranks.world_size)]
        while not all(path.exists() for path in lists):
            time.sleep(_POLL_SECONDS)
        merged: Files = {}
        for path in lists:
            merged.update(json.loads(path.read_text(encoding="utf-8")))
        write_json(temporary / layout.MANIFEST, {
            "format_version": layout.FORMAT_VERSION, "step": step, "world_size": ranks.world_size,
            "zero_stage": self._engine.stage, "recipe": self._digest, "cells": self._rows_sha256,
            "words": self._words, "files": merged})
        for path in lists:
            path.unlink()
        target = temporary.with_name(layout.checkpoint_name(step))
        shutil.rmtree(target, ignore_errors=True)
        os.replace(temporary, target)
        layout.flush_folder(target.parent)
        for old in layout.complete_checkpoints(self._run_dir)[:-self._settings.keep]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self) -> TrainState | None:
        """Load the newest complete, undamaged checkpoint; None where the run has none. Every rank must call it.

        One written by another number of ranks is converted first. Raises InputError if there are only damaged ones,
        one of another run, or one that cannot be loaded here.
        """
        candidates = same_on_all(
            [path.name for path in layout.complete_checkpoints(self._run_dir)], self._engine.ranks)
        folder = self._run_dir / layout.FOLDER
        if self._engine.ranks.is_main:
            for left in (*folder.glob(f"{layout.TEMPORARY}*"), *folder.glob(f"{layout.UNIVERSAL}*")):
                shutil.rmtree(left, ignore_errors=True)
        barrier(self._engine.ranks)
        for name in reversed(candidates):
            damaged = self._damaged(folder / name)
            if not damaged:
                state = self._load(folder / name)
                barrier(self._engine.ranks)  # a run that resumes after its last step removes it at once
                return state
            if self._engine.ranks.is_main:
                _log.warning("%s: %s is not what was written; an older checkpoint is taken", folder / name,
                             ", ".join(damaged))
        if candidates:
            raise InputError(f"{folder}: every checkpoint is damaged; remove the folder to train from the beginning")
        return None

    def _damaged(self, path: Path) -> list[str]:
        ranks = self._engine.ranks
        mine = layout.damaged_files(path, ranks.rank, ranks.world_size)
        return sorted(name for names in gather_objects(mine, ranks) for name in names)

    def _load(self, path: Path) -> TrainState:
        engine, manifest = self._engine, layout.read_manifest(path) or {}
        if manifest["recipe"] != self._digest:
            raise InputError(f"{path} was written by another run; remove it, or put back the run's own checkpoints")
        if manifest.get("words") != self._words:
            trimmed = manifest.get("words") is not None
            raise InputError(f"{path} holds a {'trimmed' if trimmed else 'whole'} word table; go on with "
                             f"--engine.trim_vocabulary={str(trimmed).lower()}")
        same_stage = manifest["zero_stage"] == engine.stage
        if same_stage and (manifest["world_size"] == engine.ranks.world_size or engine.stage == 0):
            return TrainState.from_dict(engine.load(path.parent, path.name)).for_ranks(engine.ranks.world_size)
        if same_stage:
            source = path.with_name(layout.UNIVERSAL + path.name)
            reason = universal.convert(path, source) if engine.ranks.is_main else None
            reason = same_on_all(reason, engine.ranks)
            if reason is None:
                values = engine.load(source.parent, source.name, universal=True)
                barrier(engine.ranks)
                if engine.ranks.is_main:
                    shutil.rmtree(source, ignore_errors=True)
                return TrainState.from_dict(values).for_ranks(engine.ranks.world_size)
        else:
            reason = f"it was written at ZeRO stage {manifest['zero_stage']}, this start has {engine.stage}"
        return self._load_weights(path, manifest, reason)

    def _load_weights(self, path: Path, manifest: dict[str, Any], reason: str) -> TrainState:
        """Load the weights only, where the recipe allows it."""
        if self._settings.resume != "weights":
            raise InputError(
                f"{path} cannot be restored whole: {reason}. --checkpoint.resume=weights restores its weights and "
                "loses the optimiser's moments")
        first = self._engine.writer.load(str(sorted(path.glob("*mp_rank_00_model_states.pt"))[0]), "cpu")
        weights = consolidate(path) if manifest["zero_stage"] else first["module"]
        self._engine.take_weights(weights, steps=layout.step_of(path))
        if self._engine.ranks.is_main:
            _log.warning("%s: weights only (%s); the optimiser's moments start from zero", path, reason)
        return TrainState.from_dict(first["train_state"]).for_ranks(self._engine.ranks.world_size)


def refuse_other_data(path: Path, rows_sha256: dict[str, str]) -> None:
    """Raise InputError if the checkpoint at `path` was trained, or selected, on other rows than `rows_sha256` says."""
    if changed := layout.changed_data(path, rows_sha256):
        raise InputError(f"{path} cannot be resumed: {changed}; put the old cells back, choose another name, or remove "
                         f"{path.parent} to train from the beginning")


def _list_name(rank: int) -> str:
    return f"rank-{rank:05d}.json"
