"""The checks of `doctor`, one line of output each. Checks import inside, so that help is quick."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SELFTEST_RANKS = 2
SELFTEST_SECONDS = 300
BF16_WINS_AT = 1.3  # ratio of matmul rates: what a step does besides takes as long in bf16
TOLERANCE = 1e-5  # relative, on parameters after the self-test's steps; as in tests/distributed


@dataclass(frozen=True)
class Finding:
    """One line of the output; `ok` is None for information only."""

    subject: str
    ok: bool | None
    text: str


def doctor(*, selftest: bool = True) -> int:
    """Check that this machine can train: versions, accelerators, kernel backends, launcher, a two-rank self-test."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "what", "finding", show_edge=False, pad_edge=False)
    marks = {True: "[green]ok[/]", False: "[red]no[/]", None: ""}
    healthy = True
    for finding in examine(selftest):
        table.add_row(marks[finding.ok], finding.subject, finding.text)
        healthy &= finding.ok is not False
    Console().print(table)
    print("ready to train" if healthy else "not ready: see the lines marked 'no'")
    return 0 if healthy else 1


def examine(selftest: bool) -> Iterator[Finding]:
    """All findings, cheap ones first."""
    from trainer.kernels.dispatch import available, why_not
    from trainer.runs.record import versions

    for package, version in versions().items():
        yield Finding(package, None if package in ("python", "commit") else version != "not installed", version)
    yield Finding("accelerators", None, _accelerators())
    yield Finding("memory", None, _memory())
    yield Finding("precision", None, _precision())
    for name in available():
        yield Finding(f"kernels: {name}", True, "available")
    for name, reason in why_not().items():
        yield Finding(f"kernels: {name}", None, f"not available: {reason}")
    launcher = _launcher()
    yield Finding("deepspeed launcher", launcher is not None, launcher or
                  "not on the PATH; activate the environment that requirements.txt was installed into")
    if launcher is not None and selftest:
        yield from _selftest(launcher)


def _accelerators() -> str:
    import torch

    if not torch.cuda.is_available():
        return f"none; CPU with {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{len(names)} x {names[0]}" if len(set(names)) == 1 else ", ".join(names)


def _memory() -> str:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{pages * size / 2**30:.0f} GiB; disk free here {shutil.disk_usage('.').free / 2**30:.0f} GiB"


def _precision() -> str:
    """Measured matmul rates in fp32 and bf16, and the faster `engine.precision`."""
    import torch

    from trainer.size.machine import matmul_rate

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    full, half = (matmul_rate(device, dtype) / 1e9 for dtype in (torch.float32, torch.bfloat16))
    faster = "bf16" if half > BF16_WINS_AT * full else "fp32"
    return f"matmul {full:,.0f} GFLOP/s in fp32, {half:,.0f} in bf16: {faster} is faster (engine.precision)"


def _launcher() -> str | None:
    """Path of the `deepspeed` launcher: this environment's, else the first on the PATH."""
    beside = Path(sys.executable).with_name("deepspeed")
    return str(beside) if beside.exists() else shutil.which("deepspeed")


def _selftest(launcher: str) -> Iterator[Finding]:
    """Train two ranks with each method at each ZeRO stage and compare with one process: exactness on this machine."""
    import torch

    from trainer.distributed.ranks import free_port

    environment = dict(os.environ)
    if torch.cuda.device_count() < SELFTEST_RANKS:
        environment |= {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "selftest.json"
        command = [launcher, "--num_accelerators", str(SELFTEST_RANKS), "--master_port", str(free_port()),
                   "--module", "trainer.doctor.selftest", str(result)]
        try:
            code, output = _run_group(command, environment)
        except subprocess.TimeoutExpired:
            yield Finding("two-rank self-test", False, f"did not end within {SELFTEST_SECONDS} s: do the ranks reach "
                          "each other? (firewall on the loopback address, NCCL_SOCKET_IFNAME)")
            return
        if code or not result.exists():
            lines = [line for line in output.split("\n") if line.strip()]
            wrong = [line for line in lines if "Error" in line] or lines or ["no output"]
            yield Finding("two-rank self-test", False, f"the launcher failed: {wrong[0].strip()[:200]}")
            return
        errors: dict[str, float] = json.loads(result.read_text(encoding="utf-8"))
    failing = {cell: error for cell, error in errors.items() if not error <= TOLERANCE}
    yield Finding("exactness", not failing, f"{len(errors) - len(failing)} of {len(errors)} cells (method, ZeRO stage):"
                  f" {SELFTEST_RANKS} ranks equal one process; largest error {max(errors.values()):.1e}")
    for cell, error in failing.items():
        yield Finding(f"exactness: {cell}", False, f"differs by {error:.1e} (bound {TOLERANCE:.0e}); do not use it")


def _run_group(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and output of a launcher, stderr first; its process group is killed if this is interrupted.

    Raises TimeoutExpired after SELFTEST_SECONDS.
    """
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          cwd=Path(__file__).parents[2], process_group=0) as launched:
        try:
            out, err = launched.communicate(timeout=SELFTEST_SECONDS)
        except BaseException:
            os.killpg(launched.pid, signal.SIGKILL)
            raise
    return launched.returncode, err + out
