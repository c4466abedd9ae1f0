"""Rule 1 on this device: one rank at ZeRO 0 to 3, every method, fp32, bf16 and fp16, against the plain loop on the CPU.

Cases and tolerances are those of `tests/distributed/test_exactness.py`; some processes share them out. Exit code: the
number of cases beyond the tolerance.
"""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.distributed import test_exactness as exactness

PROCESSES = max(1, min(6, (os.cpu_count() or 1) // 2))


def main() -> int:
    """Train the cases, and print the error of each."""
    cases = [case for case in exactness.SUBSET + exactness.OTHER_WAYS if case.world == 1]
    with tempfile.TemporaryDirectory() as folder:
        start, recipe = exactness.write_recipes(Path(folder), "random: tiny")
        exactness.run_on_ranks(1, [start], Path(folder) / "start.json")
        runs = exactness.Runs(recipe)
        words = [runs.words(case) for case in cases]
        shares = [words[number::PROCESSES] for number in range(PROCESSES)]
        with ThreadPoolExecutor(PROCESSES) as pool:
            waiting = [pool.submit(exactness.run_on_ranks, 1, share, Path(folder) / f"cases-{number}.json")
                       for number, share in enumerate(shares) if share]
            for share in waiting:
                if error := share.exception():
                    print(f"a process failed: {str(error)[-1500:]}")
        failed = []
        for case in cases:
            try:
                runs.check_parameters(case)
            except (AssertionError, OSError) as error:
                failed.append(str(case))
                print(f"{case}: {str(error).splitlines()[0][:160]}")
    print(f"{len(cases)} cases, {len(failed)} beyond the tolerance {' '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
