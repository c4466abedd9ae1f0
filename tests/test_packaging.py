"""pyproject.toml: the same requirements as requirements.txt, all data files, and commands that run from any folder."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = ("data_prep", "trainer", "slurm", "ds_configs")


def listed(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")}


def test_requirements_are_those_of_pyproject() -> None:
    runtime, development = (ROOT / "requirements.txt").read_text(encoding="utf-8").split("\n# To develop it")
    assert listed(runtime) == set(PROJECT["project"]["dependencies"])
    assert listed(development.partition("\n")[2]) == set(PROJECT["project"]["optional-dependencies"]["dev"])


def test_the_linter_of_pre_commit_is_the_pinned_one() -> None:
    """Local hooks: nothing is downloaded, and the version is that of the environment."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert "repo: local" in hooks
    assert "repo: http" not in hooks
    assert "language: system" in hooks


def test_every_data_file_is_packaged() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*")
             if path.is_file() and path.suffix not in (".py", ".pyc") and path.name != "site.env"]
    assert len(files) > 20
    assert not [str(path) for path in files if not any(fnmatch(path.name, pattern) for pattern in patterns)]
    found = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert all(any(fnmatch(package, pattern) for pattern in found) for package in PACKAGES)
    assert not any(fnmatch("tests", pattern) for pattern in found)


@pytest.mark.skipif(int(version("setuptools").split(".")[0]) < 77, reason="setuptools here is older than 77")
def test_installed_commands_run_from_any_folder(tmp_path: Path) -> None:
    """`pip install -e .` into a fresh environment, without downloads: it borrows the packages of this one."""
    environment, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    libraries = next(environment.glob("lib/python3*/site-packages"))
    (libraries / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    installed = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-e",
         str(ROOT)],
        capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(python), "-m", *words], cwd=elsewhere, capture_output=True, text=True, check=False,
                              timeout=300)

    for words in ("trainer --help", "data_prep --help", "slurm.submit --help", "trainer study plan demo"):
        assert run(*words.split()).returncode == 0, words
    refused = run("trainer", "train", "xnli_plain", "--data.shards=nowhere", "--engine.config=zero1")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "nowhere: no such folder" in refused.stderr, "the recipe and the DeepSpeed configuration are found"
    config = "from trainer.engine.ds_config import CONFIGS; print(sorted(path.stem for path in CONFIGS.glob('*.json')))"
    shown = subprocess.run([str(python), "-c", config], cwd=elsewhere, capture_output=True, text=True, check=True)
    assert "'zero3_offload'" in shown.stdout
