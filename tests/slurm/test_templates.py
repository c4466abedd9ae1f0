"""The job scripts: clean shell, no place of our own in them, and what every training must ask SLURM for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SLURM = Path(__file__).parents[2] / "slurm"
SCRIPTS = sorted(SLURM.glob("*.sbatch"))
TRAININGS = ("intermediate", "robust", "study", "sweep")


def options(script: Path) -> dict[str, str]:
    """The options of sbatch that a script holds."""
    return dict(re.findall(r"^#SBATCH --([a-z-]+)=?(\S*)$", script.read_text(encoding="utf-8"), re.MULTILINE))


def test_they_are_all_there() -> None:
    assert [script.stem for script in SCRIPTS] == ["evaluate", "intermediate", "prepare", "report", "robust", "study",
                                                  "sweep"]
    assert all(f" slurm/{script.name} " in (SLURM / "README.md").read_text(encoding="utf-8") for script in SCRIPTS)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(["shellcheck", "-x", *map(str, SCRIPTS), str(SLURM / "job.sh")], cwd=SLURM.parent,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", TRAININGS)
def test_trainings_are_told_ahead_and_come_back(name: str) -> None:
    found = options(SLURM / f"{name}.sbatch")
    assert found["signal"] == "USR1@300"  # to the steps, whose ranks save; the batch script itself only waits
    assert "requeue" in found
    assert found["open-mode"] == "append"
    assert found["output"] == ("%x-%A_%a.out" if name == "sweep" else "%x-%j.out")
    assert "lives " in (SLURM / f"{name}.sbatch").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_nothing_of_one_site_is_in_them(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert not {"account", "partition", "mail-user", "chdir"} & options(script).keys()
    assert not re.search(r"/(home|scratch|work|data|root)/", text)


def in_job_script(tmp_path: Path, program: str, **variables: str) -> list[str]:
    """What `program` prints behind job.sh, with SLURM's own commands replaced by ones that do nothing.

    The job's output is the file `said` in tmp_path.
    """
    for name, says in (("scontrol", f"'   StdOut={tmp_path}/said'"), ("srun", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {says}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node1"} | variables
    done = subprocess.run(["bash", "-c", f"code=. record=; . slurm/job.sh; {program}"], cwd=SLURM.parent, env=env,
                          capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1]


def test_words_of_lists(tmp_path: Path) -> None:
    program = "count 1,2,3; pick en,de,sw 2; pick en 0; pick en,de 2 || echo refused"
    assert in_job_script(tmp_path, program) == ["3", "sw", "en", "refused"]


@pytest.mark.parametrize("words", ["run --languages en,de --tasks a", "run --tasks a --languages=en,de"])
def test_an_element_of_an_array_gets_its_member_of_a_list(words: str, tmp_path: Path) -> None:
    found = in_job_script(tmp_path, f"element_of --languages {words}; printf '%s\n' \"${{words[@]}}\"",
                          SLURM_ARRAY_TASK_ID="1", SLURM_ARRAY_JOB_ID="5")
    assert found == ["run", "--tasks", "a", "--languages=de"]


def test_the_site_and_the_snapshot(tmp_path: Path) -> None:
    (tmp_path / "slurm").mkdir()
    shutil.copy(SLURM / "job.sh", tmp_path / "slurm")
    (tmp_path / "slurm/site.env").write_text("PYTHON='apptainer exec image python'\nexport FROM_SITE=yes\n")
    program = f"code={tmp_path}; . {tmp_path}/slurm/job.sh; printf '%s\n' \"${{PYTHON[@]}}\" $FROM_SITE $PYTHONPATH"
    assert in_job_script(tmp_path, program, PYTHONPATH="/mine") == [
        "apptainer", "exec", "image", "python", "yes", f"{tmp_path}:/mine"]


def test_an_output_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    assert in_job_script(tmp_path, "code_of_ranks 139; losses; last_words") == ["139", "0"]


@pytest.mark.parametrize(("code", "calls"), [(3, ["-m slurm.study out"]), (2, []), (0, [])])
def test_a_collapsed_training_asks_for_its_next_seed(code: int, calls: list[str], tmp_path: Path) -> None:
    (tmp_path / "python").write_text(f"#!/bin/sh\necho $* >>{tmp_path}/calls\necho submitted\n")
    (tmp_path / "srun").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "scontrol").write_text("#!/bin/sh\n")
    for name in ("python", "srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "slurm/study.sbatch", "trainer.studies.node", "out", "target-1"], cwd=SLURM.parent, check=False,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node1",
             "SLURM_SUBMIT_DIR": str(SLURM.parent)}, capture_output=True, text=True)
    assert done.returncode == code, "that of the training"
    assert ("collapsed; a new seed: submitted" in done.stdout) == bool(calls)
    found = tmp_path / "calls"
    assert (found.read_text().splitlines() if found.exists() else []) == calls


LOST = "[job 7, life {0}, 2026-11-21 10:00:00] exit code 76: back into the queue\n"
LEFT = LOST.replace("76", "75")
NEW, RESUMED = "0: runs/a: new run, 9 steps\n", "0: runs/a: resumed after step {0}, 9 steps\n"


@pytest.mark.parametrize(("said", "losses"), [
    (NEW, 0), (NEW + LOST, 1), (LOST * 3, 3), (NEW + LOST + NEW + LOST, 2), (NEW + LOST + RESUMED, 0),
    (NEW + LOST + RESUMED + LOST + RESUMED + LOST, 2), (RESUMED + LOST + RESUMED.format(5) + LOST, 1),
    (NEW + LEFT + NEW + LEFT, 0)], ids=range(8))
def test_losses_without_progress_are_counted(said: str, losses: int, tmp_path: Path) -> None:
    (tmp_path / "said").write_text("[job 7, life 1, 2026-11-21 10:00:00] on node1: python\n" + said)
    assert in_job_script(tmp_path, "losses") == [str(losses)]


@pytest.mark.parametrize(("ends", "code"), [
    (["task 0: Exited with exit code 76", "task 1: Exited with exit code 2"], 2),
    (["tasks 0-2: Exited with exit code 76", "task 3: Killed"], 76),
    (["task 0: Exited with exit code 75", "task 1: Exited with exit code 76"], 76),
    (["task 1: Segmentation fault"], 139), ([], 139)], ids=range(5))
def test_the_code_that_decides(ends: list[str], code: int, tmp_path: Path) -> None:
    """srun says 139 here."""
    said = ["[job 7, life 1, now] on node1: python", "srun: error: node1: task 0: Exited with exit code 9",
            "[job 7, life 2, now] on node1: python", *(f"srun: error: node1: {end}" for end in ends)]
    (tmp_path / "said").write_text("\n".join(said) + "\n")
    assert in_job_script(tmp_path, "code_of_ranks 139", SLURM_RESTART_COUNT="1") == [str(code)]
