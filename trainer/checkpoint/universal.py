"""Conversion of a checkpoint to DeepSpeed's universal format, for another number of ranks.

Input: a checkpoint folder that this run wrote. DeepSpeed's converter unpickles: never give it files of others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from trainer.distributed.ranks import without_launcher
from trainer.engine.ema import FILE as EMA_FILE

_CONVERTER = "deepspeed.checkpoint.ds_to_universal"


def convert(source: Path, target: Path) -> str | None:
    """Convert `source` to `target`; returns None, or the reason of a failure in one line."""
    temporary = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    workers = str(min(4, os.cpu_count() or 1))
    done = subprocess.run(
        [sys.executable, "-m", _CONVERTER, "--input_folder", str(source), "--output_folder", str(temporary),
         "--num_extract_workers", workers, "--num_merge_workers", workers, "--inject_missing_state"],
        capture_output=True, text=True, check=False, env=without_launcher(os.environ),
        process_group=0)  # Ctrl-C is not for it
    if done.returncode != 0:
        shutil.rmtree(temporary, ignore_errors=True)
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no word"]
        return f"DeepSpeed cannot convert it to another number of ranks ({said[-1].strip()[:200]})"
    if (source / EMA_FILE).exists():
        shutil.copyfile(source / EMA_FILE, temporary / EMA_FILE)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(temporary, target)
    return None
