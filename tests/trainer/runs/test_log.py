"""The log of a run: the same lines in the terminal and in train.log, those before the folder existed included."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from trainer.runs.log import run_log

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (.*)")


def said(folder: Path) -> list[str]:
    found = [LINE.fullmatch(line) for line in (folder / "train.log").read_text().splitlines()]
    return [match.group(1) if match else "?" for match in found]


def test_the_terminal_and_train_log_have_the_same_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("trainer.anything")
    with run_log(is_main=True) as log:
        logger.warning("early %d", 1)
        log.open(tmp_path)
        logger.info("a step")
        assert said(tmp_path) == ["warning: early 1", "a step"]  # line by line
        logger.error("the end")
    logger.info("later")
    assert said(tmp_path) == ["warning: early 1", "a step", "error: the end"]
    out, err = capsys.readouterr()
    assert (out, err) == ("a step\nlater\n", "warning: early 1\nerror: the end\n")


def test_an_error_that_ends_the_run_is_the_last_line_and_a_resume_appends(tmp_path: Path) -> None:
    def broken(number: int) -> None:
        with run_log(is_main=True) as log:
            log.open(tmp_path)
            raise ValueError(f"broken {number}")

    for number in (1, 2):
        with pytest.raises(ValueError, match="broken"):
            broken(number)
    assert said(tmp_path) == ["error: broken 1", "error: broken 2"]


def test_other_ranks_log_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with run_log(is_main=False):
        logging.getLogger("trainer.anything").error("a word")
    assert capsys.readouterr() == ("", "")
    logging.getLogger("trainer.anything").info("after")
    assert capsys.readouterr().out == "after\n"
