"""The two-rank self-test, started by the doctor through the deepspeed launcher:

    deepspeed --num_accelerators 2 --module trainer.doctor.selftest RESULT.json

Trains a tiny random model with pgd at every ZeRO stage, two micro-batches per rank, and compares the parameters
with those of a plain loop over whole batches. Output: {stage: largest relative error}.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

from trainer.config import Recipe
from trainer.context import StepContext
from trainer.data.collate import Batch, Tokens, collate
from trainer.engine import Engine, start_distributed
from trainer.kernels import reference
from trainer.launch import Ranks, find_ranks
from trainer.model.heads import HEADS
from trainer.model.site import SiteModel
from trainer.robust import METHODS
from trainer.telemetry.record import write_json

UPDATES, BATCH, MICRO, LR, EPSILON = 3, 8, 2, 0.3, 0.02
TOKENS = Tokens(cls_id=0, sep_id=2, pad_id=1, mask_id=59, unk_id=3, vocab_size=60)


def main(result: str) -> None:
    """Run all stages on every rank; the main rank writes the errors."""
    ranks = find_ranks()
    start_distributed(ranks)
    expected = plain_loop()
    errors = {}
    for stage in range(4):
        found = engine_loop(stage, ranks)
        if ranks.is_main:
            errors[stage] = max(
                float((found[name] - value).abs().max() / value.abs().max().clamp(min=1e-2))
                for name, value in expected.items())
    if ranks.is_main:
        write_json(Path(result), errors)


def model() -> XLMRobertaForSequenceClassification:
    """A tiny model with three classes, the same in every process."""
    torch.manual_seed(0)
    return XLMRobertaForSequenceClassification(XLMRobertaConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        id2label=dict(enumerate("abc")), label2id={c: i for i, c in enumerate("abc")}, type_vocab_size=1,
        max_position_embeddings=40, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))


def batch(update: int, rows: slice) -> Batch:
    """Some rows of the update's global batch, of random ids."""
    generator = np.random.default_rng(update)
    pairs = [(generator.integers(4, 59, generator.integers(2, 9)), generator.integers(4, 59, 4)) for _ in range(BATCH)]
    labels = generator.integers(0, 3, BATCH)
    return collate(pairs[rows], labels[rows], np.arange(BATCH)[rows], TOKENS, max_length=24)


def engine_loop(stage: int, ranks: Ranks) -> dict[str, torch.Tensor]:
    """Parameters after a few pgd updates through the engine; complete on the main rank."""
    recipe = Recipe.model_validate({
        "model": {"random": "tiny"}, "data": {"train": ["none"]}, "batch": {"size": BATCH, "micro_size": MICRO},
        "optimizer": {"name": "sgd", "lr": LR, "weight_decay": 0.0, "clip_norm": None},
        "schedule": {"updates": UPDATES, "warmup_share": 0.0, "decay": "constant"},
        "robust": {"method": "pgd", "epsilon": EPSILON, "relative": False}, "engine": {"config": f"zero{stage}"}})
    site_model = SiteModel(model(), HEADS["pair"], recipe.robust.site)
    engine = Engine(site_model, recipe, ranks, UPDATES)
    engine.module.train()
    for update in range(UPDATES):
        for step in range(engine.accumulation):
            start = (step * ranks.world_size + ranks.rank) * MICRO
            context = StepContext(
                engine, reference, recipe.robust, batch(update, slice(start, start + MICRO)).to(engine.device),
                epsilon=EPSILON, seed=0, update=update, global_weight=BATCH,
                ends_update=step == engine.accumulation - 1)
            METHODS["pgd"](context)
        engine.step()
    state = engine.full_state(site_model.model)
    engine.close()
    return state


def plain_loop() -> dict[str, torch.Tensor]:
    """The same updates in plain torch, one process, whole batches."""
    network = model().train()
    optimizer = torch.optim.SGD(network.parameters(), lr=LR)
    for update in range(UPDATES):
        whole = batch(update, slice(0, BATCH))
        words = network.roberta.embeddings.word_embeddings(whole.input_ids)

        def loss(inputs: torch.Tensor, whole: Batch = whole) -> torch.Tensor:
            mean: torch.Tensor = network(inputs_embeds=inputs, attention_mask=whole.attention_mask.long(),
                                         position_ids=whole.position_ids, labels=whole.labels).loss
            return mean

        point = words.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(point), point)
        gradient = gradient * whole.content_mask.unsqueeze(-1)
        delta = EPSILON * gradient / gradient.norm(dim=-1, keepdim=True).clamp(min=1e-30)
        optimizer.zero_grad()
        loss(words + delta).backward()
        optimizer.step()
    return copy.deepcopy(network.state_dict())


if __name__ == "__main__":
    main(next(word for word in sys.argv[1:] if not word.startswith("--local_rank")))
