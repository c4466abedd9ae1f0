"""Which names mean a task's labels, and which do not."""

from __future__ import annotations

import pytest

from data_prep.shards.manifest import Manifest, read_manifest
from data_prep.tasks import TASKS
from tests.random_cells import write_random_cell
from trainer.model.classes import label_order


@pytest.fixture(scope="module")
def nli(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Labels contradiction, entailment, neutral."""
    return read_manifest(write_random_cell(tmp_path_factory.mktemp("cell"), "xnli/train/en", 3))


@pytest.mark.parametrize(("names", "order"), [
    (["contradiction", "entailment", "neutral"], [0, 1, 2]),
    (["entailment", "neutral", "contradiction"], [2, 0, 1]),
    (["NEUTRAL", " Contradictory", "Entailment"], [1, 2, 0]),
    (["n", "e", "c"], [2, 1, 0]),
    (["positive", "negative", "neutral"], None),
    (["LABEL_0", "LABEL_1", "LABEL_2"], None),
    (["0", "1", "2"], None),
    (["contradiction", "contradictory", "neutral"], None),
    (["entailment", "neutral"], None),
    (["contradiction", "entailment", "neutral", "other"], None),
    ([], None),
], ids=str)
def test_names_of_inference_labels(nli: Manifest, names: list[str], order: list[int] | None) -> None:
    assert label_order(names, nli) == order


def test_spaces_and_dashes_make_no_difference(nli: Manifest) -> None:
    mrpc = nli.model_copy(update={"labels": ["0", "1"], "label_aliases": TASKS["mrpc"].aliases})
    assert label_order(["Equivalent", "not-equivalent"], mrpc) == [1, 0]
    assert label_order(["equivalent", "Not Equivalent"], mrpc) == [1, 0]
    assert label_order(["1", "0"], mrpc) == [1, 0]
    assert label_order(["LABEL_0", "LABEL_1"], mrpc) is None


def test_aliases_are_the_manifests_own(nli: Manifest) -> None:
    names = ["contradictory", "neutral", "entailment"]
    without = nli.model_copy(update={"label_aliases": {}})
    assert label_order(names, nli) == [0, 2, 1]
    assert label_order(names, without) is None
    assert label_order(["NEUTRAL", *nli.labels[:2]], without) == [1, 2, 0]
    with pytest.raises(ValueError, match="label_aliases"):
        Manifest.model_validate({**nli.model_dump(), "label_aliases": {"contradictory": "contradict"}})


def test_labels_that_only_their_exact_spelling_tells_apart(nli: Manifest) -> None:
    odd = nli.model_copy(update={"labels": ["a b", "a-b"], "label_aliases": {}})
    assert label_order(["a b", "a-b"], odd) == [0, 1]
    assert label_order(["a-b", "a b"], odd) is None
    generic = nli.model_copy(update={"labels": ["LABEL_0", "LABEL_1"], "label_aliases": {}})
    assert label_order(["LABEL_0", "LABEL_1"], generic) == [0, 1]
