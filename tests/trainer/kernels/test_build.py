"""The compiled library: built once whoever asks, never half, and where it cannot be had one line says so."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from trainer.kernels import build, cpu, dispatch, reference

ROOT = Path(__file__).parents[3]
needs_compiler = pytest.mark.skipif(cpu.why_not() is not None, reason=str(cpu.why_not()))
BUILD = """
import time
from trainer.kernels import build
start = time.time()
path = build.shared_library()
print(path, time.time() - start)
"""


def start(program: str, cache: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE,
                            env=os.environ | {"TORCH_EXTENSIONS_DIR": str(cache), **environment})


@needs_compiler
def test_two_ranks_at_once_build_once_and_get_the_same(tmp_path: Path) -> None:
    compiler, calls = tmp_path / "compiler", tmp_path / "calls"
    compiler.write_text(f'#!/bin/sh\necho called >> {calls}\nsleep 2\nexec c++ "$@"\n', encoding="utf-8")
    compiler.chmod(0o755)
    (tmp_path / "perturbation_kernels").mkdir()
    (tmp_path / "perturbation_kernels" / "lock").write_text("left behind by a killed rank", encoding="utf-8")
    ranks = [start(BUILD, tmp_path, CXX=str(compiler)) for _ in range(2)]
    said = [rank.communicate(timeout=120) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said
    paths = {out.split()[0] for out, _ in said}
    assert len(paths) == 1
    assert calls.read_text(encoding="utf-8").count("called") == 1
    assert max(float(out.split()[1]) for out, _ in said) < 60
    left = sorted(path.name for path in (tmp_path / "perturbation_kernels").iterdir())
    assert left == sorted(["lock", Path(paths.pop()).name])


def test_a_broken_compiler_gives_one_warning_and_the_reference(tmp_path: Path) -> None:
    program = ("from trainer.kernels import dispatch\nfrom trainer.runs.log import log_to_terminal\n"
               "log_to_terminal()\n"
               "names = [dispatch.select('auto', announce=told)[0] for told in (True, False)]\n"
               "print(*names, dispatch.why_not()['cpu'])")
    process = start(program, tmp_path, CXX="/bin/false", CUDA_VISIBLE_DEVICES="")
    out, err = process.communicate(timeout=120)
    assert out.startswith("reference reference the C++ compiler /bin/false failed with exit code 1")
    warnings = [line for line in err.splitlines() if line.startswith("warning: kernels:")]
    assert len(warnings) == 1, err
    assert "the slower reference runs instead of cpu: the C++ compiler /bin/false failed" in warnings[0]


def test_ranks_share_a_failure_and_a_later_start_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    tries = []

    def broken(target: Path) -> None:
        tries.append(target)
        raise build.Unbuildable(f"failed the {len(tries)}. time")

    monkeypatch.setattr(build, "_compile", broken)
    for _ in range(2):
        with pytest.raises(build.Unbuildable, match=r"failed the 1\. time"):
            build.shared_library()
    (failure,) = (tmp_path / "perturbation_kernels").glob("*.failed")
    long_ago = time.time() - 2 * build.FAILURE_HOLDS_SECONDS
    os.utime(failure, (long_ago, long_ago))
    with pytest.raises(build.Unbuildable, match=r"failed the 2\. time"):
        build.shared_library()


def test_a_folder_that_cannot_be_written_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "file"))
    with pytest.raises(build.Unbuildable, match="the compiled kernels cannot be cached"):
        build.shared_library()


@pytest.mark.parametrize(("variable", "value", "reason"), [
    ("PATH", "/nowhere", "no C\\+\\+ compiler"), ("CXX", "/nowhere/c++", "No such file")])
def test_no_compiler_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str,
                                 reason: str) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(build.Unbuildable, match=reason):
        build._compile(tmp_path / "perturb.so")


def test_backends_by_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.select("reference") == ("reference", reference)
    with pytest.raises(InputError, match="no backend 'triton9'"):
        dispatch.select("triton9")
    monkeypatch.setattr(cpu, "why_not", lambda: "the compiler is on holiday")
    monkeypatch.setattr(dispatch.torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="kernels: backend 'cpu' is not available here: the compiler is on holiday"):
        dispatch.select("cpu")
    assert dispatch.why_not()["cpu"] == "the compiler is on holiday"
    assert dispatch.select("auto") == ("reference", reference)
    assert capsys.readouterr().err.count("warning: kernels:") == 1
    monkeypatch.setattr(cpu, "why_not", lambda: None)
    assert dispatch.select("auto") == ("cpu", cpu)
    assert capsys.readouterr().err == ""
    assert {"reference", "cpu"} <= set(dispatch.available())
