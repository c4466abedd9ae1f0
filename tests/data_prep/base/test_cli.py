"""Command lines: what is mistyped is one line on stderr, exit code 2, and a file system that was not touched."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import data_prep.__main__
import data_prep.commands
import trainer.__main__
import trainer.commands
from data_prep.base.cli import main
from tests.command_tables import entries
from tests.trainer.small_runs import launcher_variables_kept, tree_of, write_cells, write_recipe
from trainer.config import load_recipe

PROGRAMS = {"trainer": trainer.__main__.main, "data_prep": data_prep.__main__.main}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with cells and the recipe small.yaml."""
    place = tmp_path_factory.mktemp("cli")
    write_cells(place / "shards")
    write_recipe(place, Path("shards"))
    (place / "raw").mkdir()
    (place / "mine.json").write_text('{"zero_optimisation": {"stage": 2}}', encoding="utf-8")
    return place


def outcome(place: Path, program: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.chdir(place)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with launcher_variables_kept():
        return PROGRAMS[program](words)


BAD = [
    ("trainer", "trian small.yaml", "no command 'trian' in python -m trainer (did you mean 'train'?)"),
    ("trainer", "train small.yaml --sede=1", "no flag --sede (did you mean 'seed'?)"),
    ("trainer", "train small.yaml --lr=1", "no flag --lr (did you mean --optimizer.lr?)"),
    ("trainer", "train small.yaml --batch-size=1", "no flag --batch-size (did you mean --batch.size?)"),
    ("trainer", "train xnli_pdg", "no recipe 'xnli_pdg' (did you mean 'xnli_pgd'?)"),
    ("trainer", "keys lrr", "no key has 'lrr' in its name or meaning"),
    ("trainer", "train small.yaml --robust.epslion=0.5", "unknown key 'robust.epslion', did you mean"),
    ("trainer", "train small.yaml --local_rank=0 --robust.epslion=0.5", "unknown key 'robust.epslion'"),
    ("trainer", "train small.yaml stray", "stray word 'stray'"),
    ("trainer", "train small.yaml --seed 1 2", "stray word '2'"),
    ("trainer", "train small.yaml -s 1", "flags are spelt with two dashes, found '-s'"),
    ("trainer", "train -", "flags are spelt with two dashes, found '-'"),
    ("trainer", "train small.yaml - help", "flags are spelt with two dashes, found '-'"),
    ("trainer", "train small.yaml -- --trace", "flags are spelt with two dashes, found '--'"),
    ("trainer", "train", "missing recipe"),
    ("trainer", "train nowhere.yaml", "no recipe 'nowhere.yaml'"),
    ("trainer", "train small.yaml --seed=one", "--seed must be a whole number, found 'one'"),
    ("trainer", "train small.yaml --seed=1.5", "--seed must be a whole number, found '1.5'"),
    ("trainer", "train small.yaml --optimizer.lr=fast", "optimizer.lr: "),
    ("trainer", "train small.yaml --optimizer.lr=nan", "optimizer.lr: "),
    ("trainer", "train small.yaml --seed", "--seed needs a value"),
    ("trainer", "train small.yaml --seed --name=a", "--seed needs a value"),
    ("trainer", "train small.yaml --optimizer.lr", "--optimizer.lr needs a value"),
    ("trainer", "train small.yaml --seed=1 --seed=2", "--seed is given twice"),
    ("trainer", "train small.yaml --optimizer.lr=1 --optimizer.lr=2", "--optimizer.lr is given twice"),
    ("trainer", "train small.yaml --name=../out", "name: "),
    ("trainer", "train small.yaml --engine.config=mine.json --data.shards=nowhere",
     "mine.json: unknown key 'zero_optimisation', did you mean 'zero_optimization'?"),
    ("trainer", "train small.yaml --data.shards=nowhere", "nowhere: no such folder, expected the shards that"),
    ("trainer", "train small.yaml --data.train=[xnli/train/fr]",
     "data.train: no cell xnli/train/fr below shards; build it with `python -m data_prep build`, or name another "
     "folder of shards with --data.shards"),
    ("trainer", "train small.yaml --data.train=xnil/train/en,xnli/train/en",
     "data.train: no cell xnil/train/en below shards (did you mean 'xnli/train/en'?)"),
    ("trainer", "train small.yaml --data.dev=xnli/dve/*", "matches 'xnli/dve/*' (did you mean 'xnli/dev/*'?)"),
    ("trainer", "train small.yaml --batch.size=1000", "60 rows, fewer than batch.size 1000"),
    ("trainer", "train small.yaml --batch.micro_batch_size=3", "batch.micro_batch_size 3 does not divide"),
    ("trainer", "train small.yaml --engine.config=zero9", "engine.config: no 'zero9' (did you mean 'zero3'?); give"),
    ("trainer", "train small.yaml --method=pdg", "found 'pdg' (did you mean 'pgd'?)"),
    ("trainer", "train small.yaml --engine.precision=bf61", "found 'bf61' (did you mean 'bf16'?)"),
    ("trainer", "train small.yaml --then=evalute", "found 'evalute' (did you mean 'evaluate'?)"),
    ("trainer", "train small.yaml --init_from=a --model.name=b", "--model.name and --init_from exclude each other"),
    ("trainer", "demo --methods=plain,pdg", "no method 'pdg' (did you mean 'pgd'?); expected"),
    ("trainer", "bench steps --size=tniy", "found 'tniy' (did you mean 'tiny'?)"),
    ("trainer", "study plan robst_xlt", "no study 'robst_xlt' (did you mean 'robust_xlt'?)"),
    ("trainer", "study plan robust_xlt --sizee=toy", "has no --sizee, did you mean --size?"),
    ("trainer", "study plan robust_xlt --size=tyo", "no size 'tyo' (did you mean 'toy'?)"),
    ("trainer", "study plan robust_xlt --levels.method=pdg", "no level 'pdg' (did you mean 'pgd'?)"),
    ("trainer", "train small.yaml --engine.precision=bf16 --engine.config=zero0", "bf16 needs ZeRO: set engine.config"),
    ("trainer", "train small.yaml --robust.method=pgd --robust.site=layer:3", "layers 1 to 2"),
    ("trainer", "train small.yaml --kernels=triton", "kernels: "),
    ("trainer", "train small.yaml --model.random=null --init_from=nowhere", "init_from: nowhere/best holds no model"),
    ("trainer", "train small.yaml --output=small.yaml", "small.yaml is a file"),
    ("trainer", "evaluate runs/none --tasks=xnli", "runs/none: no such folder"),
    ("trainer", "evaluate runs/none", "missing tasks"),
    ("trainer", "evaluate runs/none --tasks=xnli --generalised", "no flag --generalised (did you mean 'generalized'?)"),
    ("trainer", "evaluate runs/none --tasks=xnli --generalized=maybe", "--generalized must be true or false"),
    ("trainer", "evaluate runs/none --tasks=xnli --batch_size=x", "--batch_size must be a whole number"),
    ("trainer", "diagnose runs/none --tasks=xnli", "runs/none: no such folder"),
    ("trainer", "diagnose runs/none --tasks=xnli --noise-scale=1", "no flag --noise-scale (did you mean"),
    ("trainer", "export runs/none --out=there", "holds no model"),
    ("trainer", "export runs/none", "missing out"),
    ("trainer", "bench", None),
    ("trainer", "bench lodaer", "no command 'lodaer' in python -m trainer bench (did you mean 'loader'?)"),
    ("data_prep", "biuld xnli", "no command 'biuld' in python -m data_prep (did you mean 'build'?)"),
    ("data_prep", "build xnli --source=raw --tokeniser=t --out=o", "no flag --tokeniser (did you mean 'tokenizer'?)"),
    ("data_prep", "build xnli --source=raw --tokenizer=t --out=o stray", "stray word 'stray'"),
    ("data_prep", "build xnli --source=raw --out=o", "missing tokenizer"),
    ("data_prep", "build xnil --source=raw --tokenizer=raw --out=o", "no task 'xnil' (did you mean 'xnli'?)"),
    ("data_prep", "build --suite=xtrem --source=raw --tokenizer=raw --out=o", "(did you mean 'xtreme'?)"),
    ("data_prep", "tasks pawx", "no task or suite 'pawx' (did you mean 'pawsx'?)"),
    ("data_prep", "build xnli --source=raw --tokenizer=raw --out=o --max_length=long", "--max_length must be a whole"),
    ("data_prep", "build xnli --source=nowhere --tokenizer=raw --out=o", "nowhere"),
    ("data_prep", "build xnli --source=a --source=b --tokenizer=t --out=o", "--source is given twice"),
    ("data_prep", "verify nowhere", "nowhere"),
    ("data_prep", "peek nowhere", "nowhere"),
]


@pytest.mark.parametrize(("program", "line", "message"), BAD, ids=[f"{program} {line}" for program, line, _ in BAD])
def test_bad_input_is_one_line_and_touches_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, program: str, line: str, message: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = tree_of(place)
    code = outcome(place, program, line.split(), monkeypatch)
    captured = capsys.readouterr()
    assert tree_of(place) == before
    if message is None:  # a bare group of commands shows what there is
        assert (code, captured.err) == (0, "")
        assert "usage:" in captured.out
        return
    assert code == 2
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1, captured.err
    assert message in captured.err


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("words", [[], ["--help"], ["help"]])
def test_help_lists_the_commands(place: Path, monkeypatch: pytest.MonkeyPatch, program: str, words: list[str],
                                 capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(place, program, words, monkeypatch) == 0
    assert f"usage: python -m {program} COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_is_that_of_the_project(place: Path, monkeypatch: pytest.MonkeyPatch, program: str,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert outcome(place, program, ["--version"], monkeypatch) == 0
    assert capsys.readouterr().out == f"{project['name']} {project['version']}\n"


def test_help_shows_defaults_as_they_are_typed(place: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(place, "trainer", ["evaluate", "--help"], monkeypatch) == 0
    shown = capsys.readouterr().out
    for line in ("--tasks=TEXT   (optional)", "--splits=TEXT   (default: test)", "--batch_size=NUMBER   (default: 64)",
                 "--generalized=true|false   (default: false)"):
        assert f"  {line}\n" in shown
    assert "None" not in shown
    assert outcome(place, "trainer", ["train", "--help"], monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "  --seed=NUMBER   (default: as in the recipe)\n" in shown
    assert "  --then=TEXT   (default: nothing)\n" in shown
    for flag in ("name", "label", "seed", "output", "init_from", "kernels", "method", "then"):
        assert f"\n{flag}: " in shown, "what it means"
    assert "python -m trainer recipes" in shown
    assert "python -m trainer keys" in shown


def test_every_command_has_help(place: Path, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:
    before = tree_of(place)
    for program, commands in (("trainer", trainer.commands.COMMANDS), ("data_prep", data_prep.commands.COMMANDS)):
        for words, _ in entries(commands):
            assert outcome(place, program, [*words, "--help"], monkeypatch) == 0
            shown = capsys.readouterr().out
            assert len(shown.splitlines()) > 2, words
    assert tree_of(place) == before


@pytest.mark.parametrize("words", [["--name", "007"], ["--name=007"], ["--local_rank=0", "--name=007"]])
def test_names_reach_the_run_as_typed(place: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    assert outcome(place, "trainer", ["train", "small.yaml", *words, "--schedule.max_steps=1"], monkeypatch) == 0
    written = load_recipe(str(place / "runs" / "007" / "config.yaml"))
    assert written.name == "007"


def test_a_lone_dash_is_the_value_of_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    def show(word: str, file: str = "", times: int = 1) -> None:
        """Show."""
        print(word, file, times)

    for words in (["a", "--file", "-", "--times", "2"], ["a", "--times", "2", "--file", "-"],
                  ["--file=-", "a", "--times=2"]):
        assert main(show, words, "show") == 0
        assert capsys.readouterr().out == "a - 2\n"
