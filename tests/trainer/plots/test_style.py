"""Labels of figures on several lines."""

from __future__ import annotations

from trainer.plots.style import wrapped


def test_words_are_broken_only_where_one_is_longer_than_a_line() -> None:
    assert wrapped("random noise (RS-RP)", 1.3) == "random noise\n(RS-RP)"
    assert wrapped("xlm-roberta-base twice", 1.0) == "xlm-\nroberta-\nbase twice"
    assert wrapped("", 1.0) == ""
