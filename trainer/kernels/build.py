"""Builds the C++ kernels at first use: one call of the compiler, into a cache, behind a lock.

Input: `csrc/`. Output: a shared library in the folder of torch's own extensions (`TORCH_EXTENSIONS_DIR`, else
`$XDG_CACHE_HOME/torch_extensions`), named by everything that it depends on. Several ranks may ask at once: the first
builds, the others wait for the lock and take what it built, or its failure. The lock dies with its owner.

`torch.utils.cpp_extension.load` is not used: the sources need no header of torch, so that there is nothing for it to
add but a minute of compilation, and the file that it locks with outlives a killed owner and stops every later run.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

SOURCES = Path(__file__).parent / "csrc"
# Not -ffast-math: NaN and Inf are handled. No contraction either: x + delta must be the sum of what is written.
FLAGS = ("-std=c++17", "-O3", "-fopenmp", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math",
         "-ffp-contract=off")
NATIVE = "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"
TIME_LIMIT_SECONDS = 300  # on a busy machine; a quiet one needs about five
FAILURE_HOLDS_SECONDS = 60  # ranks that start together share one failure; a later start tries again


class Unbuildable(Exception):
    """The library cannot be had; the message says why, in one line."""


@cache
def library() -> ctypes.CDLL:
    """The compiled kernels; built if they are not there yet. Raises Unbuildable."""
    try:
        return ctypes.CDLL(str(shared_library()))
    except OSError as error:
        raise Unbuildable(f"the compiled kernels cannot be used: {error}") from None


def shared_library() -> Path:
    """The path of the library for these sources, this torch, Python and processor. Raises Unbuildable."""
    folder = _cache_root() / "perturbation_kernels"
    path, failure = folder / f"{_key()}.so", folder / f"{_key()}.failed"
    if path.is_file():
        return path
    asked = time.time()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock"):
            if path.is_file():
                return path
            if failure.is_file() and failure.stat().st_mtime > asked - FAILURE_HOLDS_SECONDS:
                raise Unbuildable(failure.read_text(encoding="utf-8"))
            _build(path, failure)
    except OSError as error:
        raise Unbuildable(f"no place for the compiled kernels: {error}") from None
    return path


def _build(path: Path, failure: Path) -> None:
    """Compile into a scratch folder beside `path`, then rename; on failure, leave the reason for the other ranks."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        built = Path(scratch) / "perturb.so"
        try:
            _compile(built)
        except Unbuildable as error:
            failure.write_text(str(error), encoding="utf-8")
            raise
        os.replace(built, path)
    failure.unlink(missing_ok=True)


def _compile(target: Path) -> None:
    compiler = _compiler()
    command = [*compiler, *FLAGS, NATIVE, str(SOURCES / "perturb.cpp"), "-o", str(target)]
    try:
        # In a group of its own: killed by a Ctrl-C that lets a training save, it would count as no compiler.
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS, check=False,
                              process_group=0)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unbuildable(f"the C++ compiler {compiler[0]} failed: {error}") from None
    if done.returncode != 0 or not target.is_file():
        said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no word"]
        raise Unbuildable(f"the C++ compiler {compiler[0]} failed with exit code {done.returncode}: {said[0].strip()}")


def _compiler() -> list[str]:
    """$CXX, which may hold flags, or the first of the usual compilers on the PATH."""
    if os.environ.get("CXX"):
        return shlex.split(os.environ["CXX"])
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise Unbuildable("no C++ compiler: neither $CXX nor c++, g++ or clang++ on the PATH")


def _cache_root() -> Path:
    if os.environ.get("TORCH_EXTENSIONS_DIR"):
        return Path(os.environ["TORCH_EXTENSIONS_DIR"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch_extensions"


@cache
def _key() -> str:
    """Twelve hex digits of everything that a build depends on; a home shared by unlike machines holds several."""
    parts = [torch.__version__, sys.version, platform.machine(), *FLAGS, NATIVE, _processor()]
    parts += [path.read_text(encoding="utf-8") for path in sorted(SOURCES.iterdir())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _processor() -> str:
    """What the processor can do, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.lower().startswith(("flags", "features"))), platform.processor())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock `path`. The kernel lets go of it when its owner ends, however it ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
