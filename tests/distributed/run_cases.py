"""Trains several recipes one after the other in one process or several ranks: a start costs seconds, a case little.

    RANK=0 WORLD_SIZE=2 ... python tests/distributed/run_cases.py cases.json

cases.json: a list of [recipe path, {dotted key: value as text}, name of a fault to plant or null].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from deepspeed.accelerator import get_accelerator

from tests.distributed.faults import FAULTS
from trainer.train import train

# DeepSpeed refuses fp16 on CPUs, where it is slow; torch computes it there all the same, which is good for tests.
type(get_accelerator()).is_fp16_supported = lambda self: True
type(get_accelerator()).supported_dtypes = lambda self: [torch.float, torch.half, torch.bfloat16]


def main(cases_file: str) -> None:
    """Run every case of the file."""
    for recipe, overrides, fault in json.loads(Path(cases_file).read_text(encoding="utf-8")):
        undo = FAULTS[fault]() if fault else None
        train(recipe, **overrides)
        if undo is not None:
            undo()


if __name__ == "__main__":
    main(sys.argv[1])
