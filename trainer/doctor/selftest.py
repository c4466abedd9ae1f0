"""Two-rank self-test of exactness, started by the doctor through the deepspeed launcher:

    deepspeed --num_accelerators 2 --module trainer.doctor.selftest RESULT.json

Trains a tiny random model with every method at every ZeRO stage, two micro-batches per rank, and compares the
parameters with those of a single process without an engine (`PlainContext`), on whole batches.
Output: {"method, ZeRO stage": largest relative error}.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from data_prep.base.files import write_json
from data_prep.shards.template import InputTemplate
from trainer.config import Recipe
from trainer.data.collate import collate
from trainer.distributed.collectives import barrier
from trainer.distributed.ranks import Ranks, find_ranks
from trainer.engine.build import build_engine
from trainer.engine.ds_config import read_engine_config
from trainer.engine.engine import start_distributed
from trainer.engine.step_context import StepContext
from trainer.kernels import philox, reference
from trainer.kinds import KINDS
from trainer.kinds.batch import Batch
from trainer.kinds.tokens import Tokens
from trainer.model.encoders import RANDOM
from trainer.model.site import SiteModel
from trainer.robust import METHODS, MethodSettings, settings_for
from trainer.robust.settings import ball_of

STEPS, BATCH, MICRO, LR, EPSILON, SITE = 3, 8, 2, 0.05, 0.5, "embeddings"
MAX_LENGTH = 24
TOKENS = Tokens(InputTemplate(single="0 A 2", pair="0 A 2 2 B 2"), pad_id=1, mask_id=59, unk_id=3, vocab_size=60)


class PlainContext:
    """Context of a method without an engine: one process, the whole batch, plain autograd."""

    def __init__(self, model: SiteModel, settings: MethodSettings, batch: Batch, step: int) -> None:
        self.model, self.batch, self.step = model, batch, step
        self.settings = settings
        self.kernels: ModuleType = reference
        self.epsilon = EPSILON
        self.weight = model.kind.loss_count(batch)

    def site(self) -> tuple[Tensor, Tensor]:
        """(x, content mask)."""
        return self.model(self.batch, only_below=True).detach(), self.batch.content_mask

    def loss(self, delta_BLH: Tensor | None = None, *, ascent: bool = False) -> tuple[Tensor, Tensor]:
        """(loss sum, logits), through the whole model."""
        del ascent
        logits = self.model(self.batch, delta_BLH)
        return self.losses(logits).sum(), logits

    def input_grad(self, loss: Tensor, delta_BLH: Tensor) -> Tensor:
        """d loss / d delta."""
        return torch.autograd.grad(loss, delta_BLH)[0]

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        """Add the gradient of the mean."""
        del last
        (loss / BATCH).backward()

    def accumulate(self, delta_BLH: Tensor, share: float, *, last: bool) -> tuple[Tensor, Tensor]:
        """Add a share of the gradient at x + delta; (loss sum, d loss / d delta)."""
        del last
        point = delta_BLH.detach().requires_grad_(True)
        loss, _ = self.loss(point)
        (grad,) = torch.autograd.grad(loss, point, retain_graph=True)
        self.backward(share * loss)
        return loss.detach(), grad

    def losses(self, logits: Tensor, *, of_partner: bool = False) -> Tensor:
        """(B,) losses."""
        return self.model.kind.losses(logits, self._partner if of_partner else self.batch)

    def divergence(self, logits: Tensor, other: Tensor) -> Tensor:
        """KL, summed."""
        return self.model.kind.divergence(logits, other, self.batch)

    def ema_logits(self) -> Tensor:
        """Not part of the self-test: it trains without the Bregman term."""
        raise NotImplementedError

    def towards_partner(self) -> Tensor:
        """Partner minus example, where both have content."""
        mine, other = (self.model(batch, only_below=True) for batch in (self.batch, self._partner))
        both_BL: Tensor = self.batch.content_mask & self._partner.content_mask
        towards: Tensor = (other - mine) * both_BL.unsqueeze(-1)
        return towards

    def uniform(self) -> Tensor:
        """(B,) numbers in (0, 1)."""
        bits = philox.counter_bits(0, self.step, self.batch.example_ids, 1, 1, philox.STREAM_MIXING)
        return philox.uniform(bits).view(-1).double()

    @property
    def _partner(self) -> Batch:
        if self.batch.partner is None:
            raise RuntimeError("batch() gives every example a partner")
        return self.batch.partner

    def noise(self, kind: str, draw: int) -> Tensor:
        """Noise in the ball."""
        x_BLH, m_BL = self.site()
        s = ball_of(self.settings)
        return reference.perturb_init(
            x_BLH, m_BL, EPSILON, s.norm, s.scope, kind, 0, self.step, self.batch.example_ids, draw)[1]


def main(result: str) -> None:
    """Run all cells on every rank; the main rank writes the errors."""
    ranks = find_ranks()
    start_distributed(ranks)
    errors = {}
    configs = [sharding_config(stage, Path(result), ranks) for stage in range(4)]
    for method in METHODS:
        expected = plain_loop(method)
        for stage, config in enumerate(configs):
            found = engine_loop(method, config, ranks)
            if ranks.is_main:
                errors[f"{method}, ZeRO {stage}"] = max(
                    float((found[name] - value).abs().max() / value.abs().max().clamp(min=1e-2))
                    for name, value in expected.items())
    if ranks.is_main:
        write_json(Path(result), errors)
    barrier(ranks)
    torch.distributed.destroy_process_group()  # left to the interpreter's exit, its threads can abort the process


def sharding_config(stage: int, result: Path, ranks: Ranks) -> str:
    """Write the shipped configuration of a stage beside RESULT, with ZeRO 3 made to partition even small weights."""
    config = read_engine_config(f"zero{stage}")
    if stage == 3:
        config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    file = result.with_name(f"{result.stem}-zero{stage}-rank{ranks.rank}.json")
    write_json(file, config)
    return str(file)


def recipe_of(method: str, config: str) -> Recipe:
    """Recipe with SGD and no schedule, so that parameters can be compared number by number."""
    return Recipe.model_validate({
        "model": {"random": "tiny"}, "data": {"train": ["none"]}, "batch": {"size": BATCH, "micro_batch_size": MICRO},
        "optimizer": {"name": "sgd", "lr": LR, "weight_decay": 0.0, "max_grad_norm": None},
        "schedule": {"max_steps": STEPS, "warmup_ratio": 0.0, "decay": "constant"},
        # Near the clean point the gradient of a divergence is small compared with rounding errors.
        "robust": settings_for(method, {"site": SITE, "epsilon": EPSILON, "relative": False, "ascent_steps": 2,
                                        "start_radius": 0.5}),
        "engine": {"config": config}})


def model() -> SiteModel:
    """Tiny model with three classes, the same in every process."""
    torch.manual_seed(0)
    network = AutoModelForSequenceClassification.from_config(RANDOM.random_config(
        "tiny", TOKENS.vocab_size, MAX_LENGTH, pad_id=TOKENS.pad_id, hidden_size=32, intermediate_size=64, num_labels=3,
        initializer_range=0.2,  # ten times the usual: a fresh model predicts 1/3 for every class, whatever the method
        **dict.fromkeys(RANDOM.dropout_settings, 0.0)))
    return SiteModel(network, KINDS["pair"], SITE).train()


def batch(step: int, rows: slice) -> Batch:
    """Some rows of a step's global batch of random ids; every row's partner is the row before it."""
    generator = np.random.default_rng(step)
    pairs = [(generator.integers(4, 59, generator.integers(2, 9)), generator.integers(4, 59, 4)) for _ in range(BATCH)]
    labels = generator.integers(0, 3, BATCH)
    own, before = np.arange(BATCH)[rows], np.roll(np.arange(BATCH), 1)[rows]
    mine, partner = (replace(collate([pairs[row] for row in some], some, TOKENS, MAX_LENGTH, pad_to=MAX_LENGTH),
                             targets={"labels": torch.from_numpy(labels[some])}) for some in (own, before))
    return replace(mine, partner=partner)


def engine_loop(method: str, config: str, ranks: Ranks) -> dict[str, Any]:
    """Parameters after a few steps through the engine; complete on the main rank."""
    recipe, site_model = recipe_of(method, config), model()
    engine = build_engine(site_model, recipe, ranks, STEPS)
    for step in range(STEPS):
        for micro_step in range(engine.accumulation):
            start = (micro_step * ranks.world_size + ranks.rank) * MICRO
            METHODS[method].step(StepContext(
                engine, reference, recipe.robust, batch(step, slice(start, start + MICRO)).to(engine.device),
                epsilon=EPSILON, seed=0, step=step, global_weight=BATCH,
                ends_step=micro_step == engine.accumulation - 1))
        engine.step()
    state = engine.full_state(site_model.model)
    engine.close()
    return state


def plain_loop(method: str) -> dict[str, Any]:
    """Parameters after the same steps in one process, without an engine."""
    site_model, settings = model(), recipe_of(method, "zero0").robust
    optimizer = torch.optim.SGD(site_model.parameters(), lr=LR)
    for step in range(STEPS):
        optimizer.zero_grad()
        METHODS[method].step(PlainContext(site_model, settings, batch(step, slice(0, BATCH)), step))
        optimizer.step()
    return dict(site_model.model.state_dict())


if __name__ == "__main__":
    main(next(word for word in sys.argv[1:] if not word.startswith("--local_rank")))
