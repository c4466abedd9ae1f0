"""Command tables: complete, light, and resolved only for the command that was chosen."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import data_prep.commands
import trainer.commands
from data_prep.base import interrupt
from data_prep.base.cli import main
from data_prep.base.command_table import Commands, LazyCommand, Table, declared, resolve
from slurm.jobs import KINDS
from tests.command_tables import entries
from tests.trainer.report.synthetic_runs import make_runs

ROOT = Path(__file__).parents[1]
TABLES: dict[str, Commands] = {"trainer": trainer.commands.COMMANDS, "data_prep": data_prep.commands.COMMANDS}
KEPT = {"trainer": trainer.commands.KEPT, "data_prep": data_prep.commands.KEPT}
ENTRIES = [(program, *entry) for program, table in TABLES.items() for entry in entries(table)]
HEAVY = ("torch", "datasets", "transformers", "deepspeed", "matplotlib", "scipy", "pandas", "pyarrow", "tokenizers")
# Runs `python -m PROGRAM WORDS...` with the packages of argv[1] blocked; the last line of stdout says what came of it.
# Blocked by a finder: scipy takes a None in sys.modules for an imported torch.
REAL_COMMAND_LINE = """
import json, runpy, sys
blocked = sys.argv[1].split(",")
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)
sys.meta_path.insert(0, Blocked())
program = sys.argv[2]
sys.argv = sys.argv[2:]
try:
    runpy.run_module(program, run_name="__main__", alter_sys=True)
    code = 0
except SystemExit as left:
    code = left.code or 0
print()
print(json.dumps({"code": code, "loaded": sorted(sys.modules)}))
"""


def run_real(program: str, *words: str, blocked: str = "") -> tuple[int, str, str, set[str]]:
    """(exit code, stdout, stderr, packages and modules that were loaded) of `python -m program words`."""
    done = subprocess.run([sys.executable, "-c", REAL_COMMAND_LINE, blocked, program, *words], cwd=ROOT, check=False,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    shown, _, outcome = done.stdout.rstrip("\n").rpartition("\n")
    found = json.loads(outcome)
    return found["code"], shown, done.stderr, set(found["loaded"])


@pytest.mark.parametrize(("program", "listed"), [
    ("trainer", TABLES["trainer"]), ("data_prep", TABLES["data_prep"]), ("slurm.submit", [*KINDS, "chain"])])
def test_help_lists_every_command_and_imports_none(program: str, listed: Commands | list[str]) -> None:
    code, shown, errors, loaded = run_real(program, "--help")
    assert (code, errors) == (0, "")
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("  ")] == list(listed)
    for name, command in TABLES.get(program, {}).items():
        (line,) = [line for line in shown.splitlines() if line.startswith(f"  {name} ")]
        assert isinstance(command, LazyCommand | Table), "says what it is for"
        assert line.endswith(f"  {command.help}" if isinstance(command, LazyCommand)
                             else f"  {command.help}; one of: {', '.join(command)}")
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("line", [
    "trainer trian small.yaml", "trainer bench lodaer", "trainer --hepl", "trainer bench", "data_prep biuld xnli",
    "data_prep --hepl", "slurm.submit robsut xnli_pgd", "slurm.submit prepare biuld", "slurm.status --hepl"])
def test_a_mistyped_command_imports_none(line: str) -> None:
    program, *words = line.split()
    code, _, errors, loaded = run_real(program, *words)
    assert code == (0 if line == "trainer bench" else 2)
    assert errors.count("\n") == (0 if line == "trainer bench" else 1), errors
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("words", [
    "report --help", "report --uot=there", "demo --help", "demo --methdos=pgd", "doctor --help", "doctor --selftset",
    "keys lr", "completion bash", "bench steps --help", "bench steps --siez=tiny", "bench claims --help",
    "train --help", "train xnli_pgd --sede=1", "train xnli_pgd --seed=one", "train xnli_pgd stray",
    "train xnli_pgd --lr=1", "evaluate --help", "evaluate runs/a --task=xnli", "size xnli_pgd --method=pgd"])
def test_light_commands_answer_without_torch(words: str) -> None:
    _, _, _, loaded = run_real("trainer", *words.split())
    assert not loaded & set(HEAVY)


def test_training_starts_without_what_it_needs_later_or_never() -> None:
    _, _, errors, loaded = run_real("trainer", "train", "xnli_pgd", "--data.shards=nowhere")
    assert errors.count("\n") == 1  # extensions would report what a frozen heap holds back at the end of the process
    assert "trainer.training" in loaded
    assert not loaded & {"datasets", "pandas", "torch.utils.tensorboard", "matplotlib"}


@pytest.mark.parametrize("words", ["xnli_pdg", "xnli_pgd --method=pdg", "xnli_pgd --robust.epslion=1",
                                   "xnli_pgd --engine.precision=fp8", "xnli_pgd --then=evalute"])
def test_a_recipe_is_read_before_torch(words: str) -> None:
    code, _, errors, loaded = run_real("trainer", "train", *words.split())
    assert (code, errors.count("\n")) == (2, 1)
    assert not loaded & {"torch", "deepspeed", "transformers"}


def test_only_the_module_of_the_chosen_command_is_imported() -> None:
    _, _, _, loaded = run_real("data_prep", "tasks")
    assert "data_prep.listing" in loaded
    assert not loaded & {"data_prep.build", "data_prep.verify", "datasets"}


@pytest.mark.parametrize(("program", "words", "command"), ENTRIES, ids=[" ".join((p, *w)) for p, w, _ in ENTRIES])
def test_every_entry_is_a_documented_function(program: str, words: tuple[str, ...], command: LazyCommand) -> None:
    function = resolve(command)
    assert callable(function)
    assert f"{function.__module__}:{function.__name__}" == command.target
    assert command.help == (inspect.getdoc(function) or "").split("\n")[0]
    assert words[0] in KEPT[program] or words == ("train",)
    parameters = inspect.signature(function).parameters.values()
    assert list(inspect.signature(declared(command)).parameters.values()) == list(parameters)
    assert inspect.getdoc(declared(command)) == inspect.getdoc(function)


def test_words_for_interrupted_commands_name_commands() -> None:
    for program, kept in KEPT.items():
        assert kept.keys() <= TABLES[program].keys()


def test_a_lazy_command_gets_its_words_checked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "greeting.py").write_text(
        "def greet(name: str, times: int = 1) -> int:\n    '''Greet.'''\n    print(name * times)\n    return times\n",
        encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    table: Commands = {"say": {"hello": LazyCommand("greeting:greet", "Greet."), "none": LazyCommand("no:no", "No.")}}
    assert main(table, ["say", "helo"], "speak") == 2
    assert "did you mean 'hello'" in capsys.readouterr().err
    assert "greeting" not in sys.modules
    assert main(table, ["say", "hello", "Ada", "--tmies=2"], "speak") == 2
    assert capsys.readouterr() == ("", "error: speak say hello: no flag --tmies (did you mean 'times'?); "
                                       "flags: --name, --times\n")
    assert main(table, ["say", "hello", "Ada", "--times=2"], "speak") == 2  # the function's own exit code
    assert capsys.readouterr() == ("AdaAda\n", "")
    sys.modules.pop("greeting")
    with pytest.raises(TypeError, match="hello, none"):
        resolve(table["say"])


def listening() -> None:
    """A suite that a script has put into the background hands on an ignored SIGINT, which a program keeps ignoring."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_during_the_import_of_a_command_is_before_it_began(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n",
                                      encoding="utf-8")
    program = ("from data_prep.base import cli, command_table, interrupt\ninterrupt.listen()\n"
               "cli.main({'run': command_table.LazyCommand('slow:run', 'Run.')}, ['run'], 'slow')\n")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, capture_output=True, text=True,
                          timeout=50, env={**os.environ, "PYTHONPATH": str(tmp_path)},
                          preexec_fn=listening)
    assert (done.returncode, done.stdout) == (interrupt.EXIT_INTERRUPTED, "")
    assert done.stderr == f"interrupted {interrupt.TOO_EARLY}\n"


def test_reports_are_made_without_torch_and_deepspeed(tmp_path: Path) -> None:
    runs = make_runs(tmp_path / "runs", seeds=(1, 2), labels=("plain", "pgd"), languages=("en", "de"))
    code, shown, errors, loaded = run_real("trainer", "report", *map(str, runs), "--out", str(tmp_path / "report"),
                                           blocked="torch,deepspeed,transformers,datasets,tensorboard")
    assert code == 0, errors
    assert "TensorBoard: not written, tensorboard is not installed" in shown
    assert {"report.html", "report.md", "results.csv"} <= {path.name for path in (tmp_path / "report").iterdir()}
    assert not {name for name in loaded if name.partition(".")[0] in ("torch", "deepspeed")}
