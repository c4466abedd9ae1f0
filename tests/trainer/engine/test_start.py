"""A training imports nothing that only slows its start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.distributed.ranks import without_launcher

ROOT = Path(__file__).parents[3]
PROGRAM = """
import json, sys
from trainer.train import train
code = train(sys.argv[1], name="start", **{"schedule.max_steps": "1", "engine.config": sys.argv[2]})
print()
print(json.dumps([code, sorted({"pandas", "torch._inductor.compile_fx", "datasets"} & sys.modules.keys())]))
"""


@pytest.mark.parametrize("config", ["zero0", "zero1", "zero3"])
def test_no_slow_imports(recipe: Path, config: str) -> None:
    """DeepSpeed would import torch's compiler for the Muon optimiser, pyarrow pandas for a column of numbers."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(recipe), config], cwd=ROOT, text=True, timeout=300,
                          env=without_launcher(os.environ), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]
