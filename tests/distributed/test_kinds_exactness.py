"""Rule 1 for kinds that are not classification: one cell of the matrix each against the plain loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributed.test_exactness import Case, Runs, run_on_ranks, write_recipes

pytestmark = pytest.mark.timeout(600)

CHOICES = [Case("pgd", "word_embeddings", 2, 2, 2), Case("freelb", "embeddings", 3, 2, 1)]


def test_choices_equal_the_plain_loop(tmp_path: Path) -> None:
    """Examples of two, three and four choices, so ranks and micro-batches hold different numbers of inputs.

    The right choice follows from the texts. With labels at random, gradients of pgd's second step nearly cancel at some
    tokens, and normalising them enlarges rounding: in fp32 plain loop and engine were 3e-5 and 6e-6 off fp64, where
    they agree to 1e-14. Divergences cancel with any labels here (smart 2e-5, trades 5e-5), so that
    `tests/trainer/kinds/test_multiple_choice.py` compares the gradients of all methods in fp64.
    """
    start, path = write_recipes(tmp_path, "random: tiny", kind="multiple_choice")
    run_on_ranks(1, [start], tmp_path / "start.json")
    runs = Runs(path)
    runs.train(CHOICES)
    for case in CHOICES:
        runs.check_parameters(case)
