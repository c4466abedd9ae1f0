"""`diagnose`: rows that one sentence at a time through transformers alone agrees with; merging; refusals."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModelForSequenceClassification

from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from data_prep.shards.write import write_cell
from tests.random_cells import TOKENIZER, write_random_cell
from tests.trainer.small_runs import TEXT, run, tree_of, write_recipe
from trainer.diagnose.run import diagnose
from trainer.evaluate.run import evaluate
from trainer.kernels import philox
from trainer.results.diagnostics import DiagnosticRow, read_diagnostics
from trainer.results.scores import read_rows

EN, DE = list(range(14)), [13, 3, 4, 5, 6, 20, 7, 8, 9, 10, 2]  # numbers of sentences; 20 is German only
SCALES = "0,0.5,2"


def write_pairs(root: Path, name: str, ids: Sequence[int], labelled: bool = True, parallel: bool = True) -> None:
    """A cell whose row of some key shares a few words with the row of that key in every other language."""
    draft = open_cell(root / "xnli/dev/en").manifest.model_copy(update={
        "language": name.split("/")[2], "split": name.split("/")[1], "shards": [], "tokenizer": TOKENIZER,
        "parallel": parallel, "keys": "publisher", "source_rows": 0})
    own = np.random.default_rng(zlib.crc32(name.encode()))
    first, second = [], []
    for i in ids:
        common = np.random.default_rng(i)
        first.append(np.concatenate([common.integers(4, 59, 2), own.integers(4, 59, 1 + i % 6)]).astype(np.int32))
        second.append(own.integers(4, 59, 1 + i % 5).astype(np.int32))
    labels = [i % 3 if labelled else -1 for i in ids]
    write_cell(root / "xnli" / name.split("/", 1)[1], draft, [{
        "id": np.array(ids), "key": [f"q{i}" for i in ids], "first_ids": first, "second_ids": second,
        "label": np.array(labels),
        "length": np.array([len(a) + len(b) + 4 for a, b in zip(first, second, strict=True)], dtype=np.int32)}])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("diagnose") / "shards"
    write_random_cell(root, "xnli/train/en", 60)
    write_random_cell(root, "xnli/dev/en", 20)
    for language, ids in (("en", EN), ("de", DE), ("fr", EN)):
        write_pairs(root, f"xnli/test/{language}", ids)
    write_pairs(root, "xnli/test/sw", EN, labelled=False)
    write_pairs(root, "xnli/foreign/de", DE)
    write_pairs(root, "xnli/apart/en", [100, 101])
    write_pairs(root, "xnli/apart/de", [1, 2])
    write_pairs(root, "xnli/loose/en", EN)
    write_pairs(root, "xnli/loose/de", EN, parallel=False)
    write_random_cell(root, "xnli/shifted/en", 13)
    write_random_cell(root, "xnli/shifted/de", 14)
    write_random_cell(root, "text/train/en", 60, kind="mlm")
    write_random_cell(root, "text/dev/en", 20, kind="mlm")
    return root


@pytest.fixture(scope="module")
def trained(root: Path) -> Path:
    long = {"optimizer.lr": "0.003", "schedule.max_steps": "120", "evaluation.every_steps": "60",
            "checkpoint.every_steps": "120"}
    return run(write_recipe(root.parent, root), "pair", long)


@pytest.fixture
def pair(trained: Path, tmp_path: Path) -> Path:
    """A finished plain run of its own."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def as_if_trained_with(folder: Path, site_norm: float | None = None, **robust: Any) -> None:
    """Change what the run's recipe and record say of its ball; the weights stay."""
    recipe = yaml.safe_load((folder / "config.yaml").read_text())
    recipe["robust"].update(robust)
    (folder / "config.yaml").write_text(yaml.safe_dump(recipe))
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "site_norm": site_norm}))


def rows_of(folder: Path) -> dict[str, DiagnosticRow]:
    return {row.language: row for row in read_diagnostics(folder / "eval" / "diagnostics.jsonl")}


class Reckoning:
    """The same figures, one sentence and one token at a time, through transformers alone."""

    def __init__(self, folder: Path, root: Path, layer: int) -> None:
        self.model: Any = AutoModelForSequenceClassification.from_pretrained(folder / "best").eval()
        self.layer = layer  # of the site: -1 for word embeddings
        self.rows = {language: {row["id"]: row for row in open_cell(root / "xnli/test" / language).dataset}
                     for language in ("en", "de", "fr", "sw")}

    @torch.no_grad()
    def tokens(self, language: str, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of the content tokens at the site and at the last layer."""
        row = self.rows[language][i]
        ids = torch.tensor([[0, *row["first_ids"], 2, 2, *row["second_ids"], 2]])
        content = ~np.isin(ids[0].numpy(), (0, 2))
        states = self.model.roberta(ids, output_hidden_states=True).hidden_states
        word = self.model.roberta.embeddings.word_embeddings(ids)
        site = word if self.layer < 0 else states[self.layer]
        return site[0].numpy()[content].astype(float), states[-1][0].numpy()[content].astype(float)

    def norm(self, place: int) -> float:
        return float(np.mean(np.concatenate(
            [np.linalg.norm(self.tokens("en", i)[place], axis=1) for i in self.rows["en"]])))

    def ids(self, language: str) -> list[int]:
        return sorted(self.rows[language].keys() & self.rows["en"].keys())

    def nearest(self, language: str, i: int, place: int, order: float) -> list[float]:
        return [min(np.linalg.norm(token - other, order) for other in self.tokens("en", i)[place])
                for token in self.tokens(language, i)[place]]

    def apart(self, language: str, i: int, place: int, order: float) -> float:
        return float(np.linalg.norm(
            self.tokens(language, i)[place].mean(axis=0) - self.tokens("en", i)[place].mean(axis=0), order))

    @torch.no_grad()
    def right(self, language: str, scale: float, draw: int = 0) -> list[bool]:
        """Per row, whether the prediction is right under noise on the word embeddings."""
        found = []
        for i in self.ids(language):
            row = self.rows[language][i]
            ids = torch.tensor([[0, *row["first_ids"], 2, 2, *row["second_ids"], 2]])
            content = ~np.isin(ids[0].numpy(), (0, 2))
            x = self.model.roberta.embeddings.word_embeddings(ids)
            z = philox.gaussian(0, 0, torch.tensor([i]), x.shape[1], x.shape[2], philox.STREAM_NOISE + draw)
            x = x + scale * self.norm(0) / x.shape[2] ** 0.5 * z * torch.from_numpy(content)[None, :, None]
            found.append(int(self.model(inputs_embeds=x).logits.argmax()) == row["label"])
        return found


def test_distances_of_a_plain_run(pair: Path, root: Path) -> None:
    assert diagnose(str(pair), tasks="xnli", batch_size=4, noise_scales=SCALES) == 0
    rows, reckoning = rows_of(pair), Reckoning(pair, root, -1)
    assert list(rows) == ["en", "de", "fr", "sw"]
    assert (rows["de"].n, rows["de"].excluded) == (10, 1)
    for language, row in rows.items():
        ids = reckoning.ids(language)
        for place, found in enumerate((row.site, row.last)):
            norm = reckoning.norm(place)
            token = np.mean([np.mean(reckoning.nearest(language, i, place, 2)) for i in ids])
            sentence = np.mean([reckoning.apart(language, i, place, 2) for i in ids])
            assert found.english_norm == pytest.approx(norm, rel=1e-4)
            assert found.token == pytest.approx(token, rel=1e-4, abs=1e-9)
            assert found.sentence == pytest.approx(sentence, rel=1e-4, abs=1e-9)
            assert found.token_relative == pytest.approx(token / norm, rel=1e-4, abs=1e-9)
            assert found.sentence_relative == pytest.approx(sentence / norm, rel=1e-4, abs=1e-9)
        assert (row.site_name, row.radius, row.inside, row.inside_sentences) == ("word_embeddings", None, None, None)
    assert rows["en"].site.token == rows["en"].last.token == rows["en"].site.sentence == rows["en"].last.sentence == 0
    assert rows["en"].last.cosine == pytest.approx(1.0)
    assert rows["de"].site.token > 0


def test_accuracy_by_noise_and_distance(pair: Path, root: Path) -> None:
    diagnose(str(pair), tasks="xnli", batch_size=4, noise_scales="2,0,0.5", noise_draws=2)
    evaluate(str(pair), tasks="xnli", languages="en,fr")
    value = {row.language: row.value for row in read_rows(pair / "eval" / "results.jsonl") if row.split == "test"}
    rows, reckoning = rows_of(pair), Reckoning(pair, root, -1)
    seen = set()
    for language in ("en", "de", "fr"):
        row = rows[language]
        assert row.noise is not None
        assert [point.scale for point in row.noise] == [0.0, 0.5, 2.0]
        for point in row.noise:
            both = [reckoning.right(language, point.scale, draw) for draw in (0, 1)]
            assert point.accuracy == pytest.approx(np.mean(both))
            seen.add(point.accuracy)
        assert row.noise[0].accuracy == row.accuracy == pytest.approx(value.get(language, row.accuracy))
        if language == "en":
            assert row.bins is None
            continue
        assert row.bins is not None
        ids = np.array(reckoning.ids(language))
        apart = np.array([reckoning.apart(language, i, 0, 2) for i in ids])
        right = np.array(reckoning.right(language, 0.0))
        parts = np.array_split(np.argsort(apart, kind="stable"), 5)
        assert [part.n for part in row.bins] == [len(part) for part in parts]
        assert [part.accuracy for part in row.bins] == pytest.approx([right[part].mean() for part in parts])
        assert [part.distance * row.site.english_norm for part in row.bins] == pytest.approx(
            [apart[part].mean() for part in parts], rel=1e-4)
    assert len(seen) > 3, "noise must change something, or the test says little"


@pytest.mark.parametrize(("site", "layer", "norm", "scope"), [
    ("word_embeddings", -1, "l2", "token"), ("layer:1", 1, "l2", "token"), ("embeddings", 0, "linf", "token"),
    ("word_embeddings", -1, "l2", "sequence"), ("layer:2", 2, "linf", "sequence")])
def test_share_inside_the_radius(pair: Path, root: Path, site: str, layer: int, norm: str, scope: str) -> None:
    reckoning, order = Reckoning(pair, root, layer), np.inf if norm == "linf" else 2
    ids = reckoning.ids("fr")
    near = [np.array(reckoning.nearest("fr", i, 0, order)) for i in ids]
    apart = np.array([reckoning.apart("fr", i, 0, order) for i in ids])
    if scope == "sequence":
        near = [np.array([np.linalg.norm(row, order)]) for row in near]
        apart = apart * (np.sqrt([len(reckoning.tokens("fr", i)[0]) for i in ids]) if norm == "l2" else 1)
    for which in (np.concatenate(near), apart):
        radius = float(np.quantile(which, 0.6))  # so that some are inside and some are not
        as_if_trained_with(pair, 4.0, method="pgd", site=site, norm=norm, scope=scope, epsilon=radius / 4)
        diagnose(str(pair), tasks="xnli", languages="fr,en", noise_scales="0", batch_size=5)
        row, english = rows_of(pair)["fr"], rows_of(pair)["en"]
        assert row.radius == pytest.approx(radius)
        assert row.inside == pytest.approx(np.mean(np.concatenate(near) <= radius), abs=1e-6)
        assert row.inside_sentences == pytest.approx(np.mean(apart <= radius), abs=1e-6)
        assert (english.inside, english.inside_sentences, english.site.token) == (1.0, 1.0, 0.0)


def test_an_absolute_radius(pair: Path) -> None:
    as_if_trained_with(pair, None, method="random_noise", epsilon=0.25, relative=False)
    diagnose(str(pair), tasks="xnli", languages="en", noise_scales="0")
    assert rows_of(pair)["en"].radius == 0.25


@pytest.mark.parametrize("site", ["word_embeddings", "layer:1"])
def test_rows_do_not_depend_on_the_batch(pair: Path, site: str) -> None:
    as_if_trained_with(pair, 4.0, method="pgd", site=site, epsilon=0.2)
    found = []
    for size in (1, 3, 64):
        diagnose(str(pair), tasks="xnli", languages="de,sw", noise_scales=SCALES, batch_size=size)
        found.append([row.model_dump() for row in rows_of(pair).values()])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            for key in ("site", "last"):
                assert one[key] == pytest.approx(two[key], rel=1e-5)
            for part, again in zip(one["bins"] or [], two["bins"] or [], strict=True):
                assert part == pytest.approx(again, rel=1e-5)
            rest = set(one) - {"site", "last", "bins"}
            assert {key: one[key] for key in rest} == {key: two[key] for key in rest}


def test_without_labels_there_are_distances_only(pair: Path) -> None:
    diagnose(str(pair), tasks="xnli", languages="sw", noise_scales=SCALES)
    (row,) = rows_of(pair).values()
    assert row.site.token > 0
    assert (row.accuracy, row.bins, row.noise) == (None, None, None)


def test_more_merges_and_again_replaces(pair: Path) -> None:
    trained = {path.name for path in (pair / "tensorboard").iterdir()}
    diagnose(str(pair), tasks="xnli", languages="en,de", noise_scales="0")
    diagnose(str(pair), tasks="xnli", languages="fr", noise_scales="0,1")
    diagnose(str(pair), tasks="xnli", languages="de", noise_scales="0,2")
    scales = {language: [point.scale for point in row.noise or []] for language, row in rows_of(pair).items()}
    assert scales == {"en": [0], "de": [0, 2], "fr": [0, 1]}
    now = {path.name for path in (pair / "tensorboard").iterdir()}
    assert trained < now
    assert len(now - trained) == 1
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(pair / "tensorboard" / (now - trained).pop()))
    board.Reload()
    assert {tag.removeprefix("diagnose-xnli-test/") for tag in board.Tags()["images"]} == {
        "distance", "noise", "distance-bins"}


@pytest.mark.parametrize(("changes", "message"), [
    ({"splits": "foreign"}, "distances are to English: .*no finished cell xnli/foreign/en; built: de"),
    ({"splits": "test,foreign"}, "distances are to English"),
    ({"splits": "loose"}, "loose/de: its rows are not marked as parallel"),
    ({"splits": "apart"}, "apart/en have no row in common"),
    ({"splits": "shifted"}, "shifted/en cannot be joined by row number: 14 rows against 13 in their sources"),
    ({"languages": "en,xx"}, "no finished cell xnli/test/xx"),
    ({"noise_scales": "0,-1"}, "--noise_scales must be"),
    ({"noise_scales": "0;1"}, "--noise_scales must be"),
    ({"noise_scales": "inf"}, "--noise_scales must be"),
    ({"noise_scales": ""}, "--noise_scales must be"),
    ({"noise_draws": 0}, "--noise_draws must be at least 1"),
    ({"noise_draws": 5000}, "--noise_draws must lie"),
    ({"noise_seed": -1}, "--noise_seed must lie"),
    ({"batch_size": 0}, "--batch_size must be at least 1"),
    ({"precision": "fp8"}, "--precision must be one of"),
])
def test_inputs_are_checked_before_anything_is_written(pair: Path, changes: dict[str, Any], message: str) -> None:
    before = tree_of(pair)
    with pytest.raises(InputError, match=message) as caught:
        diagnose(str(pair), **{"tasks": "xnli", **changes})
    assert "\n" not in str(caught.value)
    assert tree_of(pair) == before


@pytest.mark.parametrize("case", ["unfinished", "no site norm", "no recipe", "damaged rows"])
def test_runs_that_cannot_be_diagnosed(pair: Path, case: str) -> None:
    message = {"unfinished": "is not a finished run", "no site norm": "no site_norm", "no recipe": "merged recipe",
               "damaged rows": "not a diagnostic row"}[case]
    if case == "unfinished":
        (pair / "done.json").unlink()
    elif case == "no site norm":
        as_if_trained_with(pair, None, method="pgd", relative=True)
    elif case == "no recipe":
        (pair / "config.yaml").unlink()
    else:
        (pair / "eval").mkdir()
        (pair / "eval" / "diagnostics.jsonl").write_text('{"run": "half')
    before = tree_of(pair)
    with pytest.raises(InputError, match=message):
        diagnose(str(pair), tasks="xnli")
    assert tree_of(pair) == before


def test_masked_language_models_are_refused(root: Path, tmp_path: Path) -> None:
    folder = run(write_recipe(tmp_path, root), "mlm", {**TEXT, "schedule.max_steps": "2"})
    with pytest.raises(InputError, match="needs a kind with one class per example, found 'mlm'"):
        diagnose(str(folder), tasks="text", splits="dev")
