"""The commands of `python -m trainer`, one line each."""

from __future__ import annotations

from data_prep.cli import Commands
from trainer.bench.claims import bench_claims
from trainer.bench.kernels import bench_kernels
from trainer.bench.loader import bench_loader
from trainer.bench.overhead import bench_overhead
from trainer.bench.steps import bench_steps
from trainer.demo import demo
from trainer.diagnose.run import diagnose
from trainer.doctor import doctor
from trainer.evaluate.run import evaluate
from trainer.export import export
from trainer.report import report
from trainer.train import train

COMMANDS: Commands = {
    "train": train,
    "evaluate": evaluate,
    "diagnose": diagnose,
    "report": report,
    "export": export,
    "bench": {"claims": bench_claims, "loader": bench_loader, "steps": bench_steps, "kernels": bench_kernels,
              "overhead": bench_overhead},
    "doctor": doctor,
    "demo": demo,
}

# What a command that is interrupted leaves, and what to do. A training saves instead (`endings`).
_RUN_KEPT = "the run, and the rows that its eval/ has had, are kept; give the same command again"
KEPT = {
    "evaluate": _RUN_KEPT,
    "diagnose": _RUN_KEPT,
    "report": "an earlier report is kept, or made again by the same command",
    "export": "no model was written; give the same command again",
    "bench": "nothing was kept",
    "doctor": "nothing was found out yet",
    "demo": "what is finished is kept; the same command goes on from there",
}
