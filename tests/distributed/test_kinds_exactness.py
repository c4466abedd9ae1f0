"""Rule 1 for kinds that are not classification: one cell of the matrix each against the plain loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributed.test_exactness import Case, Runs, run_on_ranks, write_recipes

pytestmark = pytest.mark.timeout(600)


def test_choices_equal_the_plain_loop(tmp_path: Path) -> None:
    """Examples of two, three and four choices, so ranks and micro-batches hold different numbers of inputs.

    Of fgm: two steps of pgd magnify rounding to 4e-5 here, on one rank as well.
    """
    start, path = write_recipes(tmp_path, "random: tiny", kind="multiple_choice")
    run_on_ranks(1, [start], tmp_path / "start.json")
    runs, case = Runs(path), Case("fgm", "word_embeddings", 2, 2, 2)
    runs.train([case])
    runs.check_parameters(case)
