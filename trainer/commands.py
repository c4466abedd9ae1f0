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
