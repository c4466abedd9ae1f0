"""Output in a narrow terminal is folded between words; without a terminal lines stay whole."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

import trainer.commands
from data_prep.base.cli import main
from data_prep.base.folding import fold, fold_docstring

DOCSTRING = """Train one run.

A paragraph of two lines, of which
this is one.

name: of the run's folder, and more.
label: of its rows."""


def test_lines_stay_whole_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")  # as test runners set it
    assert fold("word " * 500) == "word " * 500
    assert fold_docstring(DOCSTRING) == DOCSTRING


def test_words_and_flags_stay_whole_in_a_narrow_one(on_terminal: Callable[[int], None]) -> None:
    on_terminal(20)
    assert fold("  train  a well-known /path/to/some/place/far/away", 9) == (
        "  train  a\n         well-known\n         /path/to/some/place/far/away")
    assert fold_docstring(DOCSTRING) == (
        "Train one run.\n\nA paragraph of two\nlines, of which this\nis one.\n\nname: of the run's\nfolder, and more.\n"
        "label: of its rows.")


@pytest.mark.parametrize("line", ["", "train --help", "study plan --help", "recipes", "keys engine",
                                  "study plan robust_xlt"])
def test_nothing_is_wider_than_the_terminal(line: str, on_terminal: Callable[[int], None],
                                            capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for columns in (1000, 80):
        on_terminal(columns)
        assert main(trainer.commands.COMMANDS, line.split(), "python -m trainer") == 0
        shown.append(re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out))
    assert shown[0].split() == shown[1].split()
    assert max(map(len, shown[1].splitlines())) <= 80
