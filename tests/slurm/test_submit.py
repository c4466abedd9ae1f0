"""What `slurm.submit` renders, refuses and keeps, without a cluster; `test_jobs.py` runs it on one."""

from __future__ import annotations

import inspect
import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.base.command_table import resolve
from data_prep.base.errors import InputError
from data_prep.commands import COMMANDS as PREPARE
from slurm import scheduler, submit
from slurm import submission as record
from slurm.jobs import KINDS, RECIPE, Work
from slurm.render import PLACE, render
from tests.command_tables import entries
from tests.trainer.small_runs import tree_of, write_recipe
from trainer.commands import COMMANDS
from trainer.config.schema import Recipe

GOLDEN = Path(__file__).parent / "golden"
SLURM = Path(__file__).parents[2] / "slurm"
LINES = {
    "prepare": "build xnli --source hub --tokenizer FacebookAI/xlm-roberta-large --out shards --cpus 16",
    "intermediate": "mnli_intermediate --nodes 2 --gpus 8 --time 12:00:00 --account=nlp",
    "robust": "xnli_pgd --seed 3 --nodes 4 --gpus 8 --lives 9 --engine.config zero2 "
              "--options='--constraint=h100 --exclusive'",
    "evaluate": "runs/xnli_pgd-seed3 --tasks xnli --languages en,de,sw --partition=short",
    "sweep": "xnli_pgd --seeds 1,2,3 --methods plain,pgd --gpus 4 --options=--array=0-5%2",
    "report": "runs/a runs/b --out report --gpus 0",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the recipe small.yaml and no SLURM."""
    write_recipe(tmp_path, Path("shards"))
    for name in ("train", "dev"):  # that they are there is all that is asked of them
        (tmp_path / f"shards/xnli/{name}/en").mkdir(parents=True)
        (tmp_path / f"shards/xnli/{name}/en/manifest.json").touch()
    (tmp_path / "small.yaml").write_text((tmp_path / "small.yaml").read_text().replace(str(tmp_path / "runs"), "runs"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin/none")
    return tmp_path


class Cluster:
    """Stands in for SLURM: takes everything, or refuses the N-th job."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refuses: int | None = None) -> None:
        self.submitted: list[tuple[str, list[str]]] = []
        self.cancelled: list[str] = []
        self.jobs: dict[str, scheduler.Job] = {}
        self.refuses = refuses
        monkeypatch.setattr(scheduler, "check", lambda script: "it would start now")
        monkeypatch.setattr(scheduler, "submit", self.submit)
        monkeypatch.setattr(scheduler, "cancel", self.cancelled.extend)
        monkeypatch.setattr(scheduler, "queue", lambda: self.jobs)

    def submit(self, script: str, after: list[str], when: str = "afterok") -> str:
        if len(self.submitted) == self.refuses:
            raise InputError("SLURM refuses: no")
        self.submitted.append((script, after))
        return str(100 + len(self.submitted))


# --- what is rendered -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_golden_texts(kind: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit.main([kind, *shlex.split(LINES[kind]), "--dry_run"]) == 0
    text = capsys.readouterr().out.replace(str(place), "/home/user/project")
    assert text == (GOLDEN / f"{kind}.sbatch").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_in_them(kind: str) -> None:
    text = (GOLDEN / f"{kind}.sbatch").read_text(encoding="utf-8")
    done = subprocess.run(["shellcheck", "-x", "-"], input=text, cwd=SLURM.parent, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout


def test_every_kind_has_a_template_to_fill_in() -> None:
    assert {path.stem for path in SLURM.glob("*.sbatch")} == KINDS.keys() | {"study"}
    assert KINDS.keys() == LINES.keys()
    assert all(path.read_text(encoding="utf-8").count(PLACE) == 1 for path in SLURM.glob("*.sbatch"))


def test_our_flags_are_not_those_of_the_commands() -> None:
    ours = set(inspect.signature(submit.job_command("prepare", ())).parameters)
    preparing = [command for _, command in entries(PREPARE)]
    for command in (COMMANDS["train"], COMMANDS["evaluate"], COMMANDS["report"], *preparing):
        parameters = inspect.signature(resolve(command)).parameters.values()
        assert not ours & {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL}
    assert not ours & Recipe.model_fields.keys()


# --- what users type ------------------------------------------------------------------------------------------------
PRINTED = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.lists(PRINTED, max_size=4))
def test_words_reach_the_command_as_they_were_typed(words: list[str]) -> None:
    work = Work("prepare", "prepare", Path("runs"), words)
    text = render(work, {}, Path("/home/a 'b' $c;d/runs/slurm/1-prepare"))
    lines = [line for line in text.splitlines() if line.startswith(("code=", "set --"))]
    done = subprocess.run(["/bin/bash", "-c", "\n".join([*lines, 'printf "%s\\0" "$code" "$@"'])], capture_output=True,
                          text=True, check=True)
    assert done.stdout.split("\0")[:-1] == ["/home/a 'b' $c;d/runs/slurm/1-prepare/code", *words]


@pytest.mark.parametrize("name", ["x; touch PWNED", "$(touch PWNED)", "`touch PWNED`", "a b", "-x", "é"])
def test_a_recipe_may_be_called_anything(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "small.yaml").rename(place / f"{name}.yaml")
    cluster = Cluster(monkeypatch)
    assert submit.main(["robust", f"./{name}.yaml", "--name=fine"]) == 0
    (script, _), = cluster.submitted
    (line,) = [line for line in script.splitlines() if line.startswith("set -- ")]
    assert shlex.split(line) == ["set", "--", str(place / f"runs/fine/slurm/1-robust/{name}.yaml")]
    assert (place / f"runs/fine/slurm/1-robust/{name}.yaml").is_file()


BAD = [
    ("robust", "error: robust: expected one RECIPE, found none"),
    ("robust small.yaml other", "expected one RECIPE, found 'small.yaml' 'other'"),
    ("robust nowhere", "no recipe 'nowhere'"),
    ("robust small.yaml --method pdg", "robust.method: expected one of 'plain', 'pgd'"),
    ("robust small.yaml --robust.epslion=1", "unknown key 'robust.epslion', did you mean 'robust.epsilon'?"),
    ("robust small.yaml --nodse 2", "unknown key 'nodse'"),
    ("robust small.yaml --then evaluate", "--then is not for jobs; submit an evaluation behind it, in a chain"),
    ("robust small.yaml --nodes two", "--nodes must be a whole number, found 'two'"),
    ("robust small.yaml --nodes 0", "--nodes must be at least 1, found 0"),
    ("robust small.yaml --gpus -1", "--gpus must be at least 0, found -1"),
    ("robust small.yaml --nodes", "--nodes needs a value"),
    ("robust small.yaml --seed", "--seed needs a value"),
    ("robust small.yaml --seed 1 --seed 2", "--seed is given twice"),
    ("robust small.yaml --name '../out'", "name: "),
    ("robust small.yaml --name 'a\nb'", "name: "),
    ("robust 'small\n#SBATCH --nodes=9.yaml'", "no recipe"),
    ("robust small.yaml --partition 'a b'", "--partition 'a b' cannot stand in a job script"),
    ("robust small.yaml --time '1\n#SBATCH --nodes=9'", "cannot stand in a job script"),
    ("robust small.yaml --options='--mem=\"4 G\"'", "--mem '4 G' cannot stand in a job script"),
    ("robust small.yaml --options='rm -rf'", "--options: expected options of sbatch such as --mem=64G, found 'rm'"),
    ("prepare", "expected a command of python -m data_prep (tasks, tokenizer,"),
    ("prepare biuld", "found 'biuld'"),
    ("prepare build xnli", "missing source, tokenizer, out"),
    ("prepare peek 'a\nb'", "a control character on the command line"),
    ("evaluate", "missing run"),
    ("evaluate runs/plain-seed0", "missing tasks"),
    ("evaluate runs/x --tasks xnli --langauges en", "no flag --langauges (did you mean 'languages'?)"),
    ("sweep small.yaml --methods pgd", "sweep: missing --seeds"),
    ("sweep small.yaml --seeds 1 --methods pgd,pdg", "robust.method: "),
    ("sweep small.yaml --seeds 1,x --methods pgd", "seed: "),
    ("sweep small.yaml --seeds 1 --methods pgd --name a", "every run gets its own name, found --name"),
    ("report --uot x", "no flag --uot (did you mean 'out'?)"),
    ("rubost small.yaml", "no command 'rubost' in python -m slurm.submit (did you mean 'robust'?)"),
    ("chain nowhere.txt", "nowhere.txt cannot be read: No such file or directory"),
    ("chain small.yaml", "small.yaml, line 1: no kind of job 'output:'"),
    ("robust small.yaml", "no sbatch on this machine"),
    ("robust small.yaml --data.shards nowhere", "nowhere is not there, and the job waits for none"),
    ("robust small.yaml --data.dev [xnli/dev/de]", "error: shards/xnli/dev/de/manifest.json is not there"),
    ("robust small.yaml --init_from runs/a --model.random null", "error: runs/a is not there"),
    ("sweep small.yaml --seeds 1 --methods pgd --data.shards nowhere", "error: nowhere is not there"),
    ("evaluate runs/x --tasks xnli", "error: runs/x/run.json is not there"),
    ("report runs/x", "error: runs/x/eval/results.jsonl is not there"),
]


@pytest.mark.parametrize(("line", "words"), BAD, ids=lambda value: value[:50])
def test_bad_input_is_one_line_and_leaves_nothing(
    line: str, words: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree_of(place)
    assert submit.main(shlex.split(line)) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert tree_of(place) == before


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_folders_that_no_script_can_name_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(tmp_path / name, Path("shards"))
    monkeypatch.chdir(tmp_path / name)
    assert submit.main(["report", "runs/a", "--dry_run"]) == 2
    assert "a job script cannot name a folder with" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "elements"), [
    ("--tasks xnli,pawsx --languages en,de,sw", 3), ("--tasks xnli,pawsx", 2), ("--tasks=xnli", 1),
    ("--tasks xnli --languages en,de,sw --generalized", 1), ("--tasks xnli --languages=en,de --nogeneralized", 2),
    ("--suite xtreme", None)])
def test_an_evaluation_is_shared_out(flags: str, elements: int | None) -> None:
    for words in (["runs/x", *flags.split()], [*flags.split(), "runs/x"]):  # a switch takes no word
        work = KINDS["evaluate"](words, Path("runs"))
        assert (work.elements, work.home) == (elements, Path("runs/x"))


# --- what is kept ---------------------------------------------------------------------------------------------------
def test_the_record_holds_all_that_the_job_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch)
    assert submit.main(["robust", "small.yaml", "--seed=3", "--nodes", "2", "--robust.method=pgd"]) == 0
    folder = place / "runs/small-pgd-seed3/slurm/1-robust"
    kept = json.loads((folder / "job.json").read_text())
    assert (kept["job"], kept["kind"], kept["runs"], kept["after"]) == ("101", "robust", ["small-pgd-seed3"], [])
    assert kept["command"] == ["robust", "small.yaml", "--seed=3", "--nodes", "2", "--robust.method=pgd"]
    assert (folder / "job.sbatch").read_text() == cluster.submitted[0][0]
    assert "method: pgd" in (folder / "small.yaml").read_text()
    assert (folder / "code/COMMIT").read_text().strip() == kept["commit"]
    for name in ("trainer/kernels/csrc", "data_prep/base/cli.py", "ds_configs/zero2.json", "slurm/job.sh"):
        assert (folder / "code" / name).exists(), name
    assert not list(folder.rglob("__pycache__"))
    cluster.jobs = {}
    assert submit.main(["robust", "small.yaml", "--seed=3", "--robust.method=pgd"]) == 0
    assert (place / "runs/small-pgd-seed3/slurm/2-robust/job.json").is_file()


def test_training_takes_the_folder_for_a_new_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.config import load_recipe
    from trainer.runs import folder as run_dir

    Cluster(monkeypatch)
    assert submit.main(["robust", "small.yaml"]) == 0
    snapshot = load_recipe(str(place / "runs/small-seed7/slurm/1-robust/small.yaml"))
    assert snapshot == load_recipe("small.yaml")
    assert run_dir.inspect(snapshot) == "new"


def test_each_method_of_a_sweep_takes_its_own_settings(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planned, and in the job from the snapshot, which must not hold the defaults of the first method."""
    from trainer.config import load_recipe

    Cluster(monkeypatch)
    words = ["sweep", "small.yaml", "--seeds=1", "--methods=plain,pgd,smart", "--robust.epsilon=0.3"]
    assert submit.main([*words, "--robust.start=uniform", "--robust.restarts=2"]) == 0
    snapshot = str(place / "runs/slurm/1-sweep/small.yaml")
    plain, pgd, smart = (load_recipe(snapshot, {"method": method}).robust for method in ("plain", "pgd", "smart"))
    assert plain.model_fields_set == {"method"}
    assert (pgd.epsilon, pgd.start, pgd.restarts, pgd.ascent_steps) == (0.3, "uniform", 2, 3)
    assert (smart.epsilon, smart.start, smart.start_radius, smart.ascent_steps) == (0.3, "uniform", 0.1, 1)
    assert submit.main([*words, "--robust.draws=2"]) == 2
    assert "sweep: none of plain, pgd, smart has robust.draws; leave it out" in capsys.readouterr().err


def test_a_run_that_waits_or_runs_is_not_submitted_again(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster(monkeypatch)
    assert submit.main(["sweep", "small.yaml", "--seeds=1,2", "--methods=pgd"]) == 0
    cluster.jobs = {"101_0": scheduler.Job("COMPLETED", "", ""), "101_1": scheduler.Job("PENDING", "", "Priority")}
    again = ["robust", "small.yaml", "--seed=2", "--robust.method=pgd", "--name=small-pgd-seed2", "--label=pgd"]
    assert submit.main(again) == 2
    assert "job 101 (sweep) is in the queue already" in capsys.readouterr().err
    cluster.jobs = {"101_1": scheduler.Job("CANCELLED", "", "")}
    assert submit.main(again) == 0


def test_inputs_may_come_from_a_job_before(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch)
    assert submit.main(["evaluate", "runs/x", "--tasks", "xnli", "--after", "7,8"]) == 0
    assert cluster.submitted[0][1] == ["7", "8"]


def test_a_refused_job_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree_of(place)
    Cluster(monkeypatch, refuses=0)
    assert submit.main(["robust", "small.yaml"]) == 2
    assert tree_of(place).keys() == before.keys()


# --- chains ---------------------------------------------------------------------------------------------------------
CHAIN = """\
# what a week of work looks like
prepare build sick --source hub --tokenizer T --out shards

intermediate small.yaml --name first --nodes 2
robust small.yaml --name second --init_from runs/first --model.random null
evaluate runs/second --tasks sick  # all languages
report runs/second
"""


def test_a_link_waits_for_all_before_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "chain.txt").write_text(CHAIN)
    cluster = Cluster(monkeypatch)
    assert submit.main(["chain", "chain.txt"]) == 0
    assert [after for _, after in cluster.submitted] == [[], ["101"], ["101", "102"], ["101", "102", "103"],
                                                         ["101", "102", "103", "104"]]
    assert [found.kind for _, found in record.read_all(Path("runs"))] == [
        "prepare", "intermediate", "robust", "evaluate", "report"]
    assert {path.name for path in place.glob("runs/*/slurm/*")} | {path.name for path in place.glob("runs/slurm/*")} \
        == {"1-prepare", "1-intermediate", "1-robust", "2-evaluate", "2-report"}


def test_a_bad_line_submits_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "chain.txt").write_text(CHAIN + "report --uot x\n")
    cluster = Cluster(monkeypatch)
    before = tree_of(place)
    assert submit.main(["chain", "chain.txt"]) == 2
    assert capsys.readouterr().err.startswith("error: chain.txt, line 8: ")
    assert cluster.submitted == []
    assert tree_of(place) == before


def test_a_chain_is_submitted_whole_or_not_at_all(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "chain.txt").write_text(CHAIN)
    cluster = Cluster(monkeypatch, refuses=3)
    assert submit.main(["chain", "chain.txt"]) == 2
    assert cluster.cancelled == ["101", "102", "103"]
    assert "cancelled again: 101, 102, 103" in capsys.readouterr().err


def test_a_chain_given_again_leaves_out_what_is_done(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trainer.config import load_recipe
    from trainer.runs import folder as run_dir

    run_dir.create(load_recipe("small.yaml", {"name": "first"}))
    (place / "runs/first/done.json").write_text("{}")
    (place / "chain.txt").write_text(CHAIN)
    cluster = Cluster(monkeypatch)
    assert submit.main(["chain", "chain.txt"]) == 0
    assert "intermediate first is done; nothing to do\n" in capsys.readouterr().out
    assert len(cluster.submitted) == 4


def test_recipes_in_words_are_told_from_the_snapshot() -> None:
    assert not RECIPE.isprintable()
