"""Colours of labels: one of a method in every report, all different within one."""

from __future__ import annotations

from trainer.plots.palette import COLOURS, METHODS, assign, colour_of, marker_of
from trainer.robust import METHODS as TRAINED


def test_a_method_has_one_colour_whatever_stands_beside_it() -> None:
    assert set(TRAINED) <= set(METHODS)
    alone = assign({"plain": "plain", "freelb": "freelb"})
    beside = assign({"plain": "plain", "pgd": "pgd", "RS-DA": "plain", "smart": "smart", "freelb": "freelb"})
    assert alone["freelb"] == beside["freelb"] == METHODS["freelb"]
    assert beside["RS-DA"] == METHODS["rs_da"]
    held = assign({"plain": "plain", "synonyms (RS-DA)": "plain", "synonyms (RS-DA) (average of last 3)": "plain"})
    assert held["synonyms (RS-DA)"] == METHODS["rs_da"] not in (held["synonyms (RS-DA) (average of last 3)"],)
    assert assign({"none": "plain", "PGD, 4 shots": "pgd"}) == {"none": 0, "PGD, 4 shots": METHODS["pgd"]}


def test_labels_of_one_report_differ() -> None:
    labels = {f"pgd (epsilon {i})": "pgd" for i in range(23)} | {"MNLI": "plain", "STS-B": "plain", "pgd": "pgd"}
    found = assign(labels)
    assert list(found) == list(labels)
    assert found["pgd"] == METHODS["pgd"]
    assert len(set(found.values())) == len(labels)
    assert len({(colour_of(index), marker_of(index)) for index in found.values()}) == len(labels)
    few = assign(dict.fromkeys(("none", "MNLI", "STS-B", "QQP", "ANLI", "SST-2", "PAWS"), "plain"))
    assert len({colour_of(index) for index in few.values()}) == len(few) <= len(COLOURS)
