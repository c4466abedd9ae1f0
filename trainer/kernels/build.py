"""Build of the C++ kernels at first use: one compiler call, cached, under a lock.

Input: `csrc/`. Output: a shared library in torch's extension cache (`TORCH_EXTENSIONS_DIR`, else
`$XDG_CACHE_HOME/torch_extensions`), named by a hash of everything it depends on. When several ranks ask at once, the
first builds and the others wait and take its result or its failure. The kernel releases the lock when its owner dies.

`torch.utils.cpp_extension.load` is not used: the sources include no torch header, so it would only add a minute of
compilation, and its lock file outlives a killed owner and blocks every later run.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

SOURCES = Path(__file__).parent / "csrc"
# No -ffast-math: NaN and Inf are handled. No contraction: x + delta must be the sum of the stored numbers.
FLAGS = ("-std=c++17", "-O3", "-fopenmp", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math",
         "-ffp-contract=off")
NATIVE = "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"
TIME_LIMIT_SECONDS = 300  # for a busy machine; an idle one needs about five
FAILURE_HOLDS_SECONDS = 60  # ranks started together share one failure; a later start tries again


class Unbuildable(Exception):
    """The library cannot be built or loaded; the message is the reason on one line."""


@cache
def library() -> ctypes.CDLL:
    """Load the compiled kernels, building them if needed. Raises Unbuildable."""
    try:
        return ctypes.CDLL(str(shared_library()))
    except OSError as error:
        raise Unbuildable(f"the compiled kernels cannot be used: {error}") from None


def shared_library() -> Path:
    """Path of the library for these sources, torch, Python and processor. Raises Unbuildable."""
    folder = _cache_root() / "perturbation_kernels"
    path, failure = folder / f"{_key()}.so", folder / f"{_key()}.failed"
    if path.is_file():
        return path
    asked = time.time()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock", fallback_to_soft=False):
            if path.is_file():
                return path
            if failure.is_file() and failure.stat().st_mtime > asked - FAILURE_HOLDS_SECONDS:
                raise Unbuildable(failure.read_text(encoding="utf-8"))
            _build(path, failure)
    except OSError as error:
        raise Unbuildable(f"the compiled kernels cannot be cached: {error}") from None
    return path


def _build(path: Path, failure: Path) -> None:
    """Compile in a scratch folder and rename to `path`; on failure write the reason to `failure` for other ranks."""
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
        # Own process group: a Ctrl-C that makes a training save must not kill the compiler.
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS, check=False,
                              process_group=0)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unbuildable(f"the C++ compiler {compiler[0]} failed: {error}") from None
    if done.returncode != 0 or not target.is_file():
        lines = done.stderr.splitlines()
        said = [line for line in lines if "error" in line] or lines or ["no message"]
        raise Unbuildable(f"the C++ compiler {compiler[0]} failed with exit code {done.returncode}: {said[0].strip()}")


def _compiler() -> list[str]:
    """$CXX (may include flags), or the first of c++, g++ and clang++ on the PATH."""
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
    """Hash (12 hex digits) of all that a build depends on; unlike machines that share a home get one library each."""
    parts = [torch.__version__, sys.version, platform.machine(), *FLAGS, NATIVE, _processor()]
    parts += [path.read_text(encoding="utf-8") for path in sorted(SOURCES.iterdir())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _processor() -> str:
    """Instruction-set flags of the processor from /proc/cpuinfo, else its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.lower().startswith(("flags", "features"))), platform.processor())
