"""Completion in a real bash and zsh; `test_commands` compares the flags in its script with the functions."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import data_prep.commands
import data_prep.completion
import trainer.commands
import trainer.completion
from data_prep.base.errors import InputError
from trainer.config.load import shipped_recipes
from trainer.robust import METHODS

COMPLETE = """
source "$1"; source "$2"
shift 2
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_complete_python_m
printf '%s\\n' "${COMPREPLY[@]}"
"""

# zsh's own completion runs in its line editor only: what it is asked for is printed instead.
ZSH_COMPLETE = """
compdef() { }; _default() { }; compset() { PREFIX=${words[CURRENT]#*=} }
compadd() { local word; for word in ${@:2}; do [[ $word == ${PREFIX}* ]] && print -r -- $word; done; return 0 }
source $1; source $2; shift 2
words=("$@"); CURRENT=$#; PREFIX=${words[CURRENT]}
_complete_python_m
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Files of the two programs by shell."""
    folder = tmp_path_factory.mktemp("scripts")
    files: dict[str, list[str]] = {"bash": [], "zsh": []}
    for shell, found in files.items():
        for name, module in (("trainer", trainer.completion), ("data_prep", data_prep.completion)):
            path = folder / f"{name}.{shell}"
            with pytest.MonkeyPatch.context() as patch, path.open("w") as file:
                patch.setattr("sys.stdout", file)
                module.completion(shell)
            found.append(str(path))
    return files


LINES = [
    ("python -m trainer tra", {"train"}),
    ("python -m trainer bench st", {"steps"}),
    ("python -m trainer train ", set(shipped_recipes())),
    ("python -m trainer train xnli_p", {"xnli_pgd", "xnli_plain"}),
    ("python -m trainer train xnli_pgd --optimizer.l", {"--optimizer.lr"}),
    ("python3 -m trainer train xnli_pgd --seed 1 --see", {"--seed"}),
    ("python -m trainer train xnli_pgd --engine.precision ", {"fp32", "bf16", "fp16"}),
    ("python -m trainer train xnli_pgd --method = sm", {"smart"}),  # bash splits at the sign
    ("python -m trainer train xnli_pgd --method =", set(METHODS)),
    ("python -m trainer train xnli_pgd --optimizer.lr ", set()),
    ("python -m trainer average runs/a --overwrite --la", {"--last", "--label"}),
    ("python -m trainer evaluate runs/a --sp", {"--splits"}),
    ("python -m trainer keys robust.eps", {"robust.epsilon"}),
    ("python -m data_prep build paw", {"paws", "pawsx"}),
    ("python -m data_prep augment noi", {"noise"}),
    ("python -m data_prep augment noise xnli --only", {"--only_perturbed"}),
    ("python -m data_prep build --suite x", {"xtreme", "xtreme_r", "xglue"}),
    ("python -m pytest tra", set()), ("python train", set()), ("python -m tra", set()),
]


def offered_by(*words: str) -> set[str]:
    """What a shell prints as candidates."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(("line", "offered"), LINES)
def test_bash_completes(scripts: dict[str, list[str]], line: str, offered: set[str]) -> None:
    assert offered_by("bash", "-c", COMPLETE, "bash", *scripts["bash"], *line.split(" ")) == offered


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
@pytest.mark.parametrize(("line", "offered"), [(line.replace(" = ", "=").replace(" =", "="), offered)
                                               for line, offered in LINES])
def test_zsh_completes(scripts: dict[str, list[str]], line: str, offered: set[str]) -> None:
    assert offered_by("zsh", "-f", "-c", ZSH_COMPLETE, "zsh", *scripts["zsh"], *line.split(" ")) == offered


def test_another_shell_is_refused() -> None:
    with pytest.raises(InputError, match="no completion for 'fish'; shells: bash, zsh"):
        trainer.completion.completion("fish")


def test_the_scripts_hold_no_path_of_this_machine(scripts: dict[str, list[str]]) -> None:
    files = [file for found in scripts.values() for file in found]
    assert str(Path.home()) not in "".join(Path(file).read_text(encoding="utf-8") for file in files)
