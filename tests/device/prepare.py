"""Wheels of what a machine with a GPU lacks, for `check`, which runs there without a network.

    python -m tests.device.prepare OUT --python 3.12 --there installed.txt

installed.txt: `pip list --format=freeze` of that machine, or one name a line; its packages are not brought along, but
for those of --also, whose version matters. Taken are the versions installed here, and what they need. OUT/wheels then
travels with the working tree.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (39, 35, 34, 31, 28, 27, 24, 17)] + [
    "manylinux2014_x86_64", "manylinux1_x86_64"]
SOURCES = ("deepspeed", "seqeval")
"""Published as sources only; their wheels are built here, and fit every Python."""
NEVER = ("torch", "triton", "playwright", "ruff", "mypy")
"""torch and triton have to be there, built for the accelerator; the others are not needed there."""


def main() -> None:
    """Parse the arguments, and write the wheels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--there", type=Path, help="names of the packages that are installed on that machine")
    parser.add_argument("--also", default="transformers", help="names, by comma, of those to bring nevertheless")
    given = parser.parse_args()
    there = set() if given.there is None else {
        plain(re.split(r"[=\s@]", line)[0]) for line in given.there.read_text(encoding="utf-8").splitlines() if line}
    listed = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    named = [re.split(r"[=<>; ]", line)[0] for line in listed if line and not line.startswith("#")]
    missing = sorted(closure([*named, "accelerate"]) - (there - set(given.also.split(","))) - set(NEVER))
    wheels = given.out / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for name in missing:
        fetch(name, version(name), wheels, given.python)
    size = sum(file.stat().st_size for file in wheels.iterdir())
    print(f"{wheels}: {len(missing)} packages, {size / 1e6:.1f} MB: {', '.join(missing)}")


def plain(name: str) -> str:
    """The name of a package as all its spellings are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: list[str]) -> set[str]:
    """`names` and the packages that they need, as far as they are installed here."""
    found: set[str] = set()
    waiting = [plain(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found or name in NEVER:
            continue
        try:
            needed = requires(name) or []
        except PackageNotFoundError:  # of another platform or Python
            continue
        found.add(name)
        waiting += [plain(re.split(r"[ ;<>=!~(\[]", line)[0]) for line in needed if "extra ==" not in line]
    return {name for name in found if not name.startswith("types-")}


def fetch(name: str, wanted: str, wheels: Path, python: str) -> None:
    """Put the wheel of a package into `wheels`."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    if name in SOURCES:
        command += ["wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), f"{name}=={wanted}"]
    else:
        command += ["download", "--no-deps", "--only-binary=:all:", "--implementation", "cp",
                    f"--python-version={python}", *(f"--platform={platform}" for platform in PLATFORMS),
                    "-d", str(wheels), f"{name}=={wanted}"]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
