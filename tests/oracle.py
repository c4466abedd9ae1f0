"""An independent training loop: one process, plain torch, equations straight from the papers.

It shares the model's initial weights, the order of examples and the collation with the product, and nothing of
`trainer.robust`, `trainer.kernels`, `trainer.engine` or `trainer.loop`: the noise generator is written again in numpy.
Notation: x_BLH word embeddings (the site), delta_BLH perturbation, m_BL true on content tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from trainer.config import Recipe
from trainer.data.collate import Batch
from trainer.data.loader import Examples, open_training_data
from trainer.data.sampler import epoch_batches
from trainer.model.build import build_model


def train(recipe: Recipe) -> tuple[dict[str, torch.Tensor], list[float]]:
    """(parameters, loss before each update) of the run that `recipe` describes; whole global batches, no engine."""
    data = open_training_data(recipe.data)
    model, _ = build_model(recipe, data.manifest, data.max_length)
    model.train()
    examples = Examples(data.train, data.max_length)
    optimizer = _optimizer(model, recipe)
    epsilon = recipe.robust.epsilon * (_mean_norm(model, examples) if recipe.robust.relative else 1.0)
    updates = int(recipe.schedule.updates or 0)
    per_epoch = len(examples) // recipe.batch.size
    losses = []
    for update in range(updates):
        epoch = update // per_epoch
        order = epoch_batches(examples.lengths, recipe.batch.size, recipe.seed, epoch, recipe.data.bucket_by_length)
        batch = examples[epoch, order[update % per_epoch]]
        loss = _update_loss(model, batch, recipe, epsilon, update)
        optimizer.zero_grad()
        loss.backward()
        if recipe.optimizer.clip_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.optimizer.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = recipe.optimizer.lr * _course(update, updates, recipe.schedule.warmup_share)
        optimizer.step()
        losses.append(loss.item())
    return {name: value.detach().clone() for name, value in model.state_dict().items()}, losses


def _update_loss(model: Any, batch: Batch, recipe: Recipe, epsilon: float, update: int) -> torch.Tensor:
    s = recipe.robust
    words = model.roberta.embeddings.word_embeddings(batch.input_ids)
    m = batch.content_mask.unsqueeze(-1).float()
    if s.method == "plain":
        return _loss(model, batch, words)
    if s.method == "random_noise":
        draws = [_uniform_ball(recipe.seed, update, batch, words.shape[2], epsilon, draw) for draw in range(s.draws)]
        total = sum(_loss(model, batch, words + delta * m) for delta in draws) / s.draws
    else:
        delta = _uniform_ball(recipe.seed, update, batch, words.shape[2], epsilon, 0) * m \
            if s.start == "uniform" else torch.zeros_like(words)
        step = (s.step_size or (1.0 if s.steps == 1 else 2.5 / s.steps)) * epsilon
        for _ in range(s.steps):
            # Madry et al. 2018: x <- Proj(x + alpha g / ||g||), per token, on content tokens
            delta = delta.detach().requires_grad_(True)
            (g,) = torch.autograd.grad(_loss(model, batch, words.detach() + delta), delta)
            g = g * m
            stepped = delta.detach() + step * g / g.norm(dim=-1, keepdim=True).clamp(min=1e-30)
            size = stepped.norm(dim=-1, keepdim=True).clamp(min=1e-30)
            delta = stepped * torch.minimum(torch.ones_like(size), epsilon / size) * m
        total = _loss(model, batch, words + delta.detach())
    return total + s.clean_weight * _loss(model, batch, words) if s.clean_weight else total


def _loss(model: Any, batch: Batch, words: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the global batch, through transformers' own forward pass."""
    output = model(inputs_embeds=words, attention_mask=batch.attention_mask.long(), position_ids=batch.position_ids)
    return functional.cross_entropy(output.logits, batch.labels)


def _mean_norm(model: Any, examples: Examples, rows: int = 512) -> float:
    """Mean L2 norm of the word vectors of content tokens over the first rows."""
    batch = examples[0, np.arange(min(rows, len(examples)))]
    with torch.no_grad():
        words = model.roberta.embeddings.word_embeddings(batch.input_ids)
    return float(words[batch.content_mask].norm(dim=-1).double().mean())


def _optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer:
    decay = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": recipe.optimizer.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    if recipe.optimizer.name == "sgd":
        return torch.optim.SGD(groups, lr=recipe.optimizer.lr)
    return torch.optim.AdamW(groups, lr=recipe.optimizer.lr)


def _course(update: int, updates: int, warmup_share: float) -> float:
    warmup = round(warmup_share * updates)
    return (update + 1) / (warmup + 1) if update < warmup else (updates - update) / (updates - warmup)


# --- Philox 4x32-10 in numpy, from the algorithm's description (Salmon et al. 2011) ----------------------------------
def _words(seed: int, update: int, ids: np.ndarray, length: int, dims: int, stream: int) -> np.ndarray:
    """uint64 (B, L, D) of 32-bit words; counter (token * blocks + dim // 4, id, update, stream + id's high bits)."""
    blocks = -(-dims // 4)
    shape = (len(ids), length * blocks)
    c = [np.broadcast_to(np.arange(length * blocks, dtype=np.uint64), shape),
         np.broadcast_to(ids.astype(np.uint64)[:, None] & np.uint64(0xFFFFFFFF), shape),
         np.full(shape, update, dtype=np.uint64),
         np.broadcast_to(np.uint64(stream) | (ids.astype(np.uint64)[:, None] >> np.uint64(32) << np.uint64(16)), shape)]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> shift) ^ c[1] ^ np.uint64(k[0]), b & low, (a >> shift) ^ c[3] ^ np.uint64(k[1]), a & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, axis=-1).reshape(len(ids), length, 4 * blocks)[..., :dims]


def _uniform_ball(seed: int, update: int, batch: Batch, width: int, epsilon: float, draw: int) -> torch.Tensor:
    """Uniform in the L2 ball of radius epsilon around every token: Gaussian direction, radius epsilon u^(1/width)."""
    ids, length = batch.example_ids.numpy(), batch.input_ids.shape[1]
    u = ((_words(seed, update, ids, length, width, draw) >> np.uint64(9)).astype(np.float64) + 0.5) / 2**23
    radius, angle = np.sqrt(-2 * np.log(u[..., 0::2])), 2 * np.pi * u[..., 1::2]
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(*u.shape)
    v = ((_words(seed, update, ids, length, 1, 4096 + draw) >> np.uint64(9)).astype(np.float64) + 0.5) / 2**23
    direction = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    return torch.from_numpy(epsilon * v ** (1.0 / width) * direction).float()
