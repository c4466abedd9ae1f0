"""`size`: FLOPs and bytes against formulas, and what it prints for XLM-R large."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification

from data_prep.base.errors import InputError
from tests.trainer.size.cases import Case
from tests.trainer.small_runs import TAGS, TEXT
from trainer.kinds import KINDS
from trainer.size.duration import traffic_of
from trainer.size.memory import Plan
from trainer.size.passes import PassCost, Weight, run_on_paper
from trainer.size.run import size

BASE = {"model.name": "null", "model.random": "base"}


def on_paper(case: Case, gpu: bool = False) -> tuple[list[Weight], PassCost]:
    return run_on_paper(
        case.model_config(), AutoModelForSequenceClassification, KINDS["pair"], case.batch(0), case.recipe(1).robust,
        case.precision, checkpointing=case.checkpointing, frozen_words=False, gpu=gpu)


@pytest.mark.parametrize("gpu", [False, True])
def test_flops_are_those_of_the_matrices_and_attention(gpu: bool) -> None:
    """Two per weight and token forward, four backward, but that of the first layer's input, which is none's output."""
    case = Case("zero0", size="tiny", layers=2, rows=3, length=32)
    _, cost = on_paper(case, gpu)
    width, inner, tokens = 64, 128, 3 * 32
    layers = 2 * (4 * width * width + 2 * width * inner) * tokens
    head = (width * width + width * 2) * 3  # the first token's
    attention = 2 * 2 * 3 * 32 * 32 * width  # per layer and token: scores, and their product with values
    backward = 2.0 if not gpu else 2.5  # a fused kernel computes the scores again
    assert cost.flops == pytest.approx(6 * (layers + head) + attention * 2 * (1 + backward), rel=0.01)


def test_an_ascent_has_memory_of_its_own() -> None:
    plain = on_paper(Case("zero0", size="tiny", layers=1))[1]
    assert plain.ascent_bytes == 0
    for method in ("pgd", "smart", "freelb", "random_noise"):
        cost = on_paper(Case("zero0", method=method, size="tiny", layers=1))[1]
        assert (cost.ascent_bytes > 0) == (method in ("pgd", "smart"))


def test_traffic_of_64_ranks() -> None:
    weights = [Weight("table", 1_000_000, 2, True), Weight("bias", 1000, 1, True), Weight("frozen", 500_000, 2, False)]
    cost = PassCost(0, 0, 0, 0, {}, {"table": 2_000_000, "bias": 2000, "frozen": 1_000_000})
    share = 63 / 64
    for stage, precision, accumulation, expected in (
            (0, "fp32", 1, {"gradients": 8 * 1_001_000}),
            (1, "bf16", 4, {"gradients": 2 * 1_001_000, "weights": 2 * 1_001_000}),
            (2, "bf16", 4, {"gradients": 8 * 1_001_000, "weights": 2 * 1_001_000}),
            (3, "bf16", 4, {"gradients": 8 * 1_001_000, "gathers": 8 * 3_000_000})):  # the bias stays whole
        plan = Plan({"stage": stage}, 64, precision, "adamw", True, accumulation)
        found = traffic_of(weights, cost, plan, reduced_in_fp32=False)
        assert found == {name: int(volume * share) for name, volume in expected.items()}
    assert traffic_of(weights, cost, Plan({"stage": 2}, 1, "bf16", "adamw", True, 1), False) == {
        "gradients": 0, "weights": 0}


@pytest.mark.parametrize(("trims", "weights", "sent"), [("false", 278_045_187, 0.0547), ("true", 109_083_651, 0.0215)])
def test_xlm_r_base_on_8_nodes(
    trims: str, weights: int, sent: float, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = {**BASE, "data.shards": str(tmp_path), "batch.size": "64", "engine.trim_vocabulary": trims}
    assert size("xnli_plain", ranks=64, device="gpu", vocabulary=250_002, mean_length=45, memory_gb=4,
                tflops=100, memory_gb_per_s=1000, network_gb_per_s=20, **given) == 0
    told = capsys.readouterr().out
    assert f"{weights / 1e6:.3g} million weights, bf16, plain; 64 ranks on 8 nodes; batch 64 = 64 x 1 x 1" in told
    rows = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]]
            for line in told.splitlines() if line.count("│") > 3}
    assert rows["weights"][:2] == [f"{2 * weights / 1e9:.2f}"] * 2  # in bf16
    assert rows["fits 4 GB"][1] == "yes"
    assert "rates (as given)" in told
    assert rows["s, communicating"][1] == f"{sent}"  # 2 x its gradients and weights x 63 / 64 at 20 GB/s


@pytest.mark.parametrize(("changes", "told"), [
    ({}, "xnli: 60 rows, inputs of 22 tokens"), (TEXT, "text: 60 rows"), (TAGS, "udpos: 60 rows"),
    ({"robust.method": "mixup"}, "xnli: 60 rows"), ({"engine.precision": "bf16", "engine.config": "zero1"}, ", bf16,"),
])
def test_shards_tell_the_kind_the_lengths_and_the_vocabulary(
    recipe: Path, changes: dict[str, str], told: str, capsys: pytest.CaptureFixture[str],
) -> None:
    assert size(str(recipe), device="cpu", memory_gb=2, **changes) == 0
    said = capsys.readouterr().out
    assert told in said
    assert "rates (measured here)" in said
    assert "hours, whole run" in said


@pytest.mark.parametrize(("flags", "message"), [
    ({"ranks": 0}, "--ranks and --gpus_per_node at least 1"), ({"device": "tpu"}, "--device must be one of gpu, cpu"),
    ({"ranks": 5}, "does not divide among 5 ranks"), ({"vocabulary": 0}, "give --vocabulary"),
    ({"mean_length": 200}, "at most --length 128"),
])
def test_what_is_refused(flags: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        size("xnli_plain", **{"vocabulary": 250_002, **BASE, "data.shards": str(tmp_path), **flags})  # type: ignore[arg-type]
