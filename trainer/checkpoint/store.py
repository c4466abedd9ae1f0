"""Saves and restores the whole training state. All ranks take part; the manifest is written last, then a rename.

A crash at any moment leaves either the old checkpoints or the old ones and a new whole one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from data_prep.errors import InputError
from trainer.checkpoint import layout
from trainer.engine import Engine
from trainer.state import TrainState
from trainer.telemetry.record import write_json


def save_checkpoint(engine: Engine, state: TrainState, run_dir: Path, keep: int) -> None:
    """Write the state after `state.update` updates and drop all but the newest `keep` checkpoints."""
    folder = run_dir / layout.FOLDER
    name = layout.checkpoint_name(state.update)
    temporary = folder / f".tmp-{name}"
    if engine.ranks.is_main:
        shutil.rmtree(temporary, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    engine.barrier()
    engine.save(folder, temporary.name, state.to_dict())
    engine.barrier()
    if engine.ranks.is_main:
        files = {str(path.relative_to(temporary)): path.stat().st_size
                 for path in sorted(temporary.rglob("*")) if path.is_file()}
        for file in files:
            _flush(temporary / file)
        write_json(temporary / layout.MANIFEST, {
            "format_version": layout.FORMAT_VERSION, "update": state.update, "world_size": engine.ranks.world_size,
            "zero_stage": engine.stage, "files": files})
        shutil.rmtree(folder / name, ignore_errors=True)
        os.replace(temporary, folder / name)
        for old in layout.complete_checkpoints(run_dir)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
    engine.barrier()


def restore_latest(engine: Engine, run_dir: Path) -> TrainState | None:
    """Load the newest whole checkpoint of the run into `engine`; None where there is none.

    Raises InputError where it was written by another number of ranks or at another ZeRO stage.
    """
    checkpoints = layout.complete_checkpoints(run_dir)
    if not checkpoints:
        return None
    newest = checkpoints[-1]
    manifest = layout.read_manifest(newest) or {}
    for what, found, here in (("ranks", manifest["world_size"], engine.ranks.world_size),
                              ("ZeRO stage", manifest["zero_stage"], engine.stage)):
        if found != here:
            raise InputError(f"{newest} was written with {what} {found}, this start has {here}; "
                             "resume it as it was started, or start a run with another name")
    return TrainState.from_dict(engine.load(newest.parent, newest.name))


def _flush(path: Path) -> None:
    """Make the kernel write a file's bytes to the disk before its name is trusted."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
