"""Every Triton kernel compiles to machine code of a GPU, which needs none: the interpreter accepts more than that.

What the code computes is compared where a GPU is (`tests/device`).
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

SCALARS = {"epsilon": "fp32", "epsilon_rest": "fp32", "step_rest": "fp32", "length": "i32", "width": "i32",
           "dims": "i32", "draw": "i32", "key0": "i64", "key1": "i64"}
POINTERS = {"mask": "*u8", "ids": "*i64", "contents": "*i64", "peaks": "*i32"}
CASES: dict[str, dict[str, tuple[Any, ...]]] = {
    "row_peaks": {},
    "row_squares": {"SCALED": (False, True)},
    "ascend_rows": {"PHASE": (0, 1, 2), "LINF": (False, True)},
    "project_rows": {"SHARED": (False, True), "LINF": (False, True)},
    "counter_bits": {},
    "noise_rows": {"PHASE": (0, 1, 2), "LINF": (False, True), "NORMAL": (False, True)},
}
STORED = ("fp32", "bf16", "fp16", "fp64")


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.parametrize("kernel", CASES)
def test_compiles_for_a_gpu(kernel: str, tmp_path: Path) -> None:
    # A process of its own: what was imported to be interpreted cannot be compiled.
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-m", "tests.trainer.kernels.test_compiled", kernel],
                          cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False,
                          env=environment | {"TRITON_CACHE_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) == len(STORED if kernel != "counter_bits" else ("int64",)) * len(
        list(product(*CASES[kernel].values())))


def compile_all(kernel: str) -> int:
    """Compile every variant of a kernel for compute capability 9.0; the number of programs."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from trainer.kernels import triton_kernels

    function: Any = getattr(triton_kernels, kernel)
    function = getattr(function, "fn", function) if kernel != "counter_bits" and kernel != "noise_rows" else function
    done = 0
    for stored in STORED if kernel != "counter_bits" else ("i64",):
        for values in product(*CASES[kernel].values()):
            constants = dict(zip(CASES[kernel], values, strict=True)) | {"BLOCK": 1024}
            if "WORK" in function.arg_names:
                constants["WORK"] = tl.float64 if stored == "fp64" else tl.float32
            signature = {name: "constexpr" if name in constants else SCALARS.get(name) or POINTERS.get(name) or (
                "i32" if name == "step" and kernel in ("counter_bits", "noise_rows") else
                "fp32" if name == "step" else f"*{stored}") for name in function.arg_names}
            if stored == "fp64" and "peaks" in signature:
                signature["peaks"] = "*i64"
            for name in ("squares", "grad_squares", "moved_squares"):
                if name in signature:
                    signature[name] = "*fp64" if stored == "fp64" else "*fp32"
            source = ASTSource(function, signature, {(function.arg_names.index(name),): value
                                                     for name, value in constants.items()})
            compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False})
            done += bool(compiled.asm["cubin"])
    return done


if __name__ == "__main__":
    print(compile_all(sys.argv[1]))
