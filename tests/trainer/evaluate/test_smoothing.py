"""Randomized smoothing: the bound against scipy's, radii against a model whose true radii are known, the command."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import trainer.__main__
from data_prep.base.errors import InputError
from data_prep.shards.read import open_cell
from data_prep.shards.write import write_cell
from tests.random_cells import LABELS, VOCABULARY, write_random_cell
from tests.trainer.small_runs import TEXT, run, tree_of, write_recipe
from trainer.data.loader import Examples
from trainer.evaluate.run import evaluate
from trainer.evaluate.smoothing import (
    Smoothing,
    Votes,
    certify,
    count_votes,
    fewest_samples,
    lower_bound,
    noise,
    read_settings,
    vote,
)
from trainer.kinds.batch import Batch
from trainer.results.outcomes import read_outcomes
from trainer.results.predictions import ABSTAIN, read_certificates, read_predictions
from trainer.results.scores import RESULTS_FILE, ResultRow, read_rows

WIDTH = 8
CPU = torch.device("cpu")


class Linear(nn.Module):
    """Two classes by the sign of a linear function of all real tokens: the distance to the boundary is known.

    Special tokens count too, so that noise on them would show.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = scale * torch.randn(VOCABULARY, WIDTH, generator=generator)
        self.weight = torch.randn(WIDTH, generator=generator)
        self.model = SimpleNamespace(config=SimpleNamespace(num_labels=2))
        self.below, self.widest, self.modes = 0, 0, set[bool]()

    def score(self, x_BLH: Tensor, batch: Batch) -> Tensor:
        return ((x_BLH @ self.weight) * batch.attention_mask).sum(dim=1)

    def forward(self, batch: Batch, x_BLH: Tensor | None = None, only_below: bool = False) -> Any:
        self.modes.add(self.training)
        if only_below:
            self.below += 1
            return self.table[batch.input_ids]
        assert x_BLH is not None
        self.widest = max(self.widest, len(x_BLH))
        score = self.score(x_BLH, batch)
        return torch.stack([-score, score], dim=1)

    def distances(self, examples: Examples) -> np.ndarray:
        """Signed L2 distance of each example to the boundary, over all content tokens together."""
        batch = examples[0, np.arange(len(examples))]
        tokens = batch.content_mask.sum(dim=1)
        distance = self.score(self.table[batch.input_ids], batch) / (self.weight.norm() * tokens.sqrt())
        return np.asarray(distance)


def settings(**fields: Any) -> Smoothing:
    return Smoothing(**{"samples": 100, "sigma": 1.0, "site": "word_embeddings", **fields})


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    root = tmp_path_factory.mktemp("smoothing")
    return Examples([open_cell(write_random_cell(root, "xnli/test/en", 60))], 24)


def test_the_bound_is_clopper_and_pearsons() -> None:
    for k, n, alpha in ((0, 10, 0.05), (1, 10, 0.05), (7, 10, 0.001), (10, 10, 0.001), (993, 1000, 0.001),
                        (99_950, 100_000, 0.001)):
        expected = stats.binomtest(k, n, alternative="greater").proportion_ci(1 - alpha, "exact").low
        assert lower_bound(k, n, alpha) == pytest.approx(expected, rel=1e-9)
    assert lower_bound(10, 10, 0.05) == pytest.approx(0.05 ** 0.1)  # all alike: alpha^(1/n)
    assert lower_bound(8, 10, 0.05) == pytest.approx(0.4931, abs=5e-5)  # a table's value
    assert lower_bound([0, 100], 100, 0.001)[0] == 0.0


@pytest.mark.parametrize(("alpha", "fewest"), [(0.001, 10), (0.05, 5), (1 / 1024, 11), (0.5, 2), (0.9, 1)])
def test_fewest_samples_is_where_certificates_begin(alpha: float, fewest: int) -> None:
    assert fewest_samples(alpha) == fewest
    assert lower_bound(fewest, fewest, alpha) > 0.5
    assert fewest == 1 or lower_bound(fewest - 1, fewest - 1, alpha) <= 0.5 + 1e-12


def test_certificates_never_exceed_the_true_radius_and_are_tight(examples: Examples) -> None:
    samples, alpha = 2000, 1e-6
    model, smoothing = Linear(scale=0.4), settings(samples=samples, selection_samples=200, alpha=alpha)
    distance = model.distances(examples)
    votes = count_votes(model, examples, smoothing, 6000, CPU)  # type: ignore[arg-type]
    found, radii = certify(votes, smoothing)
    certified = found >= 0
    assert 40 <= certified.sum() < 60, "examples near and far from the boundary"
    assert (found[certified] == (distance[certified] > 0)).all()
    assert (radii[certified] <= np.abs(distance[certified])).all()
    # As large as the sampling allows: the bound at four standard deviations below the expected count.
    p = stats.norm.cdf(np.abs(distance))
    pessimistic = np.maximum(0, np.floor(samples * p - 4 * np.sqrt(samples * p * (1 - p)) - 1))
    least = stats.norm.ppf(np.maximum(0.5, lower_bound(pessimistic, samples, alpha)))
    far = np.abs(distance) > 0.3  # nearer, the few samples of the selection may choose the other class
    assert (radii >= least)[far].all()
    # The counts themselves: with noise on special tokens, or too little of it, this would be off by a tenth.
    share = votes.certification_NC[np.arange(60), (distance > 0).astype(int)] / samples
    middle = far & (np.abs(distance) < 2)
    assert middle.sum() > 20
    assert np.mean(stats.norm.ppf(share[middle]) / np.abs(distance[middle])) == pytest.approx(1, abs=0.03)


def test_the_radius_scales_with_sigma(examples: Examples) -> None:
    unit = Votes(np.array([[0, 3]]), np.array([[2, 98]]), 1.0, 8)
    radius = certify(unit, settings())[1]
    assert certify(unit, settings(sigma=0.25))[1] == pytest.approx(0.25 * radius)
    assert radius == pytest.approx(stats.norm.ppf(lower_bound(98, 100, 0.001)))


def test_a_coin_flip_is_not_called(examples: Examples) -> None:
    smoothing = settings(samples=400)
    votes = count_votes(Linear(scale=0.0), examples, smoothing, 6000, CPU)  # type: ignore[arg-type]
    assert (certify(votes, smoothing)[0] == -1).all()
    assert (certify(votes, smoothing)[1] == 0).all()
    assert (vote(votes, 0.001) == -1).all()


def test_the_class_is_chosen_by_other_samples_than_those_that_certify_it() -> None:
    votes = Votes(np.array([[9, 1], [1, 9]]), np.array([[4, 96], [4, 96]]), 1.0, 8)
    assert certify(votes, settings())[0].tolist() == [-1, 1]
    assert vote(votes, 0.001).tolist() == [1, 1]


def test_a_vote_too_close_to_call() -> None:
    for first, second in ((60, 40), (66, 34), (67, 33), (90, 10), (1, 0), (50, 50)):
        p = stats.binomtest(first, first + second, 0.5).pvalue
        votes = Votes(np.zeros((1, 3), dtype=int), np.array([[second, 0, first]]), 1.0, 8)
        assert vote(votes, 0.001).tolist() == [2 if p <= 0.001 else -1]


def test_noise_is_gaussian_on_content_tokens_and_nowhere_else(examples: Examples) -> None:
    batch = examples[0, np.arange(60)]
    z = noise(settings(sigma=0.3), 0, 5, batch, 64)
    assert (z[~batch.content_mask] == 0).all()
    inside = z[batch.content_mask].flatten().numpy()
    assert stats.kstest(inside / 0.3, "norm").pvalue > 0.01
    others = (noise(settings(sigma=0.3), 1, 5, batch, 64), noise(settings(sigma=0.3), 0, 6, batch, 64),
              noise(settings(sigma=0.3, seed=1), 0, 5, batch, 64))
    for other in others:
        assert abs(np.corrcoef(inside, other[batch.content_mask].flatten())[0, 1]) < 0.02
    few = replace(batch, **{key: getattr(batch, key)[3:5, :20] for key in ("input_ids", "content_mask")},
                  example_ids=batch.example_ids[3:5])
    assert torch.equal(noise(settings(sigma=0.3), 0, 5, few, 64), z[3:5, :20])


def test_votes_do_not_depend_on_batches_and_what_lies_below_is_run_once(examples: Examples) -> None:
    counts = []
    smoothing = settings(samples=30, selection_samples=30)
    for batch_size in (4, 60, 1000):
        model = Linear(scale=0.7).train()
        counts.append(count_votes(model, examples, smoothing, batch_size, CPU))  # type: ignore[arg-type]
        assert model.below == -(-60 // batch_size)
        assert model.widest <= batch_size
        assert (model.modes, model.training) == ({False}, True)  # no dropout in the counts
    for found in counts[1:]:
        assert np.array_equal(found.selection_NC, counts[0].selection_NC)
        assert np.array_equal(found.certification_NC, counts[0].certification_NC)
        assert found.token_norm == pytest.approx(counts[0].token_norm)
    assert (counts[0].selection_NC.sum(axis=1) == 30).all()
    assert (counts[0].certification_NC.sum(axis=1) == 30).all()
    assert not np.array_equal(counts[0].selection_NC, counts[0].certification_NC), "the same noise twice"


def test_logits_that_are_no_numbers_are_no_votes(examples: Examples) -> None:
    model = Linear(scale=0.7)
    model.weight[0] = torch.nan
    votes = count_votes(model, examples, settings(), 6000, CPU)  # type: ignore[arg-type]
    assert votes.certification_NC.sum() == 0
    assert (certify(votes, settings())[0] == -1).all()
    assert (vote(votes, 0.001) == -1).all()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of kind pair and mlm, and the cells they read."""
    root = tmp_path_factory.mktemp("smoothed") / "shards"
    for name, kind in (("xnli/train/en", "pair"), ("xnli/dev/en", "pair"), ("text/train/en", "mlm"),
                       ("text/dev/en", "mlm"), ("text/test/en", "mlm")):
        write_random_cell(root, name, 40, kind=kind)
    write_random_cell(root, "xnli/test/en", 25, seed=1)
    write_random_cell(root, "xnli/test/de", 25, seed=2)
    write_random_cell(root, "xnli/test/ur", 6, seed=3, labelled=False)
    recipe = write_recipe(root.parent, root)
    long = {"optimizer.lr": "0.003", "schedule.max_steps": "120", "evaluation.every_steps": "60",
            "robust.method": "random_noise", "robust.site": "layer:1", "robust.epsilon": "0.001",
            "kernels": "reference", "model.dropout": "0.3"}
    return {"pair": run(recipe, "pair", long), "mlm": run(recipe, "mlm", TEXT), "shards": root}


@pytest.fixture
def pair(finished: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(finished["pair"], tmp_path / "run")
    return tmp_path / "run"


def smoothed(folder: Path) -> dict[tuple[str, str], ResultRow]:
    """Smoothed rows by language and noise."""
    rows = read_rows(folder / "eval" / RESULTS_FILE)
    return {(row.language, row.smoothing.noise): row for row in rows if row.smoothing}


def smooth(folder: Path, sigma: float = 0.1, languages: str = "en,de", batch_size: int = 64, **more: str) -> None:
    more = {f"smoothing.{key}": value for key, value in {"samples": "40", "sigma": str(sigma), **more}.items()}
    assert evaluate(str(folder), tasks="xnli", languages=languages, batch_size=batch_size, **more) == 0


def test_rows_and_files_of_a_smoothed_run(pair: Path, finished: dict[str, Path],
                                          capsys: pytest.CaptureFixture[str]) -> None:
    smooth(pair, 0.1)
    smooth(pair, 0.5, alpha="0.01", selection_samples="20")
    smooth(pair, 0.1, "en", site="word_embeddings")
    rows = smoothed(pair)
    assert set(rows) == {("en", "layer:1 0.1"), ("de", "layer:1 0.1"), ("en", "layer:1 0.5"), ("de", "layer:1 0.5"),
                         ("en", "word_embeddings 0.1")}  # the run's own site, unless another is asked for
    plain = {row.language: row for row in read_rows(pair / "eval" / RESULTS_FILE)
             if row.setting == "standard" and row.selection == "best" and row.split == "test"}
    assert set(plain) == {"en", "de"}
    for (language, _), row in rows.items():
        figures = row.smoothing
        assert figures is not None
        found = read_certificates(pair / "eval" / figures.certified)
        gold = [LABELS[i] for i in open_cell(finished["shards"] / "xnli/test" / language).dataset["label"]]
        assert found.ids.tolist() == list(range(25))
        assert found.correct.tolist() == [said == true for said, true in zip(found.labels, gold, strict=True)]
        assert row.n == 25
        assert row.value == np.mean(found.correct == 1)
        assert figures.abstained == np.mean([label == ABSTAIN for label in found.labels])
        assert figures.mean_radius == pytest.approx(np.mean(found.radii * found.correct))
        assert figures.median_radius == pytest.approx(np.median(found.radii * found.correct))
        ceiling = figures.sigma * stats.norm.ppf(figures.alpha ** (1 / 40))
        assert found.radii.max() <= ceiling * (1 + 1e-9)
    figures = rows["en", "layer:1 0.5"].smoothing
    assert figures is not None
    assert (figures.samples, figures.selection_samples, figures.alpha, figures.seed) == (40, 20, 0.01, 0)
    assert figures.certified == "certified/layer1-0.5/xnli/test-en.tsv"
    printed = capsys.readouterr().out
    row = rows["de", "layer:1 0.1"]
    assert row.smoothing is not None
    assert (f"xnli/test/de  plain {100 * plain['de'].value:.1f} %  smoothed {100 * row.value:.1f} %  abstained "
            f"{100 * row.smoothing.abstained:.1f} %  median certified radius {row.smoothing.median_radius:.3g}  "
            f"(mean token norm {row.smoothing.token_norm:.3g})") in printed.splitlines()


def test_next_to_no_noise_is_the_plain_model(pair: Path) -> None:
    smooth(pair, 1e-6)
    for language in ("en", "de"):
        found = read_certificates(pair / "eval" / f"certified/layer1-1e-06/xnli/test-{language}.tsv")
        assert found.labels == read_predictions(pair / "eval" / f"predictions/xnli/test-{language}.tsv")
        keys, counts, _ = read_outcomes(pair / "eval" / f"outcomes/xnli/test-{language}.tsv")
        assert (found.ids.astype(str).tolist(), found.correct.tolist()) == (keys.tolist(), counts[:, 0].tolist())


def test_smoothing_does_not_depend_on_batches_or_on_the_order_of_rows(pair: Path, finished: dict[str, Path],
                                                                      tmp_path: Path) -> None:
    file = pair / "eval/certified/layer1-1.0/xnli/test-en.tsv"
    found = []
    for batch_size in (64, 4):
        smooth(pair, 1.0, "en", batch_size)
        found.append(file.read_bytes())
    cell = open_cell(finished["shards"] / "xnli/test/en")
    turned = cell.dataset.select(range(24, -1, -1)).with_format("numpy")[:]
    write_cell(tmp_path / "turned/xnli/test/en", cell.manifest.model_copy(update={"shards": []}), [dict(turned)])
    assert evaluate(str(pair), tasks="xnli", shards=str(tmp_path / "turned"),
                    **{"smoothing.samples": "40", "smoothing.sigma": "1.0"}) == 0
    found.append(file.read_bytes())
    assert found[0] == found[1] == found[2]
    assert len({line.split(b"\t")[3] for line in found[0].splitlines()}) > 3, "all alike would prove nothing"
    smooth(pair, 1.0, "en", seed="1")
    assert file.read_bytes() != found[0]


def test_without_labels_there_are_certificates_and_no_score(pair: Path) -> None:
    smooth(pair, 0.1, "ur")
    (row,) = smoothed(pair).values()
    assert row.smoothing is not None
    assert (row.value, row.note, row.smoothing.vote, row.smoothing.mean_radius) == (None, "no label", None, None)
    found = read_certificates(pair / "eval" / row.smoothing.certified)
    assert found.correct.tolist() == [-1] * 6
    assert set(found.labels) - {ABSTAIN}


@pytest.mark.parametrize(("flags", "message"), [
    ("--smoothing.samples=100", "without smoothing.sigma; smoothing needs"),
    ("--smoothing.sigma=0.1", "without smoothing.samples; smoothing needs"),
    ("--smoothing.sampels=100 --smoothing.sigma=1", "unknown key 'smoothing.sampels', did you mean 'smoothing.samples"),
    ("--smoothing.epsilon=1", "unknown key 'smoothing.epsilon'"),
    ("--robust.epsilon=1", "unknown key 'robust'"),
    ("--smoothing.samples=9 --smoothing.sigma=1", "set smoothing.samples to at least 10"),
    ("--smoothing.samples=4 --smoothing.sigma=1 --smoothing.alpha=0.05", "set smoothing.samples to at least 5"),
    ("--smoothing.samples=1e3 --smoothing.sigma=1", "smoothing.samples: "),
    ("--smoothing.samples=100 --smoothing.sigma=0", "smoothing.sigma: "),
    ("--smoothing.samples=100 --smoothing.sigma=nan", "smoothing.sigma: "),
    ("--smoothing.samples=100 --smoothing.sigma=1 --smoothing.alpha=1", "smoothing.alpha: "),
    ("--smoothing.samples=100 --smoothing.sigma=1 --smoothing.selection_samples=0", "smoothing.selection_samples: "),
    ("--smoothing.samples=100 --smoothing.sigma=1 --smoothing.seed=-1", "smoothing.seed: "),
    ("--smoothing.samples=100 --smoothing.sigma=1 --smoothing.site=head", "smoothing.site: "),
    ("--smoothing.samples=100 --smoothing.sigma=1 --smoothing.site=layer:3", "layers 1 to 2, found 'layer:3'"),
    ("--smoothing.samples=100 --smoothing.sigma=1 --generalized", "found --generalized too"),
    ("--smoothing.samples", "--smoothing.samples needs a value"),
    ("--smooting=3", "no flag --smooting"),
])
def test_what_is_wrong_is_said_before_anything_is_written(pair: Path, flags: str, message: str,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    before = tree_of(pair)
    assert trainer.__main__.main(["evaluate", str(pair), "--tasks=xnli", *flags.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error: ") == 1
    assert error.strip().count("\n") == 0
    assert tree_of(pair) == before


def test_only_classification_is_smoothed(finished: dict[str, Path]) -> None:
    before = tree_of(finished["mlm"])
    with pytest.raises(InputError, match="one class per example; a task of kind 'mlm' has none"):
        evaluate(str(finished["mlm"]), tasks="text", **{"smoothing.samples": "40", "smoothing.sigma": "1"})
    assert tree_of(finished["mlm"]) == before


def test_a_recipe_without_a_site(pair: Path) -> None:
    given = {"smoothing.samples": "40", "smoothing.sigma": "1"}
    (pair / "config.yaml").write_text("robust: {}\n")
    with pytest.raises(InputError, match=r"give --smoothing\.site"):
        read_settings(given, pair)
    named = read_settings({**given, "smoothing.site": "embeddings"}, pair)
    assert named is not None
    assert named.site == "embeddings"
    assert read_settings({}, pair) is None


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Smoothing.model_fields.values())
