"""An independent training loop: one process, plain torch, equations straight from the papers.

It shares the model's initial weights, the order of examples and the collation with the product, and nothing of
`trainer.robust`, `trainer.kernels`, `trainer.engine` or `trainer.loop`: the noise generator is written again in numpy.
Notation: x_BLH word embeddings (the site), delta_BLH perturbation, m_BL true on content tokens.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from tests.encoder_sites import added, inputs_of, output_of, site_module
from trainer.config import Recipe
from trainer.data.loader import Examples, open_training_data
from trainer.data.partners import partner_choice
from trainer.data.sampler import epoch_batches
from trainer.kinds import Masking
from trainer.kinds.batch import Batch
from trainer.model.build import build_model


def train(recipe: Recipe) -> tuple[dict[str, torch.Tensor], list[float]]:
    """(parameters, loss before each update) of the run that `recipe` describes; whole global batches, no engine."""
    data = open_training_data(recipe.data)
    model, _ = build_model(recipe, data.manifest, data.max_length)
    model.train()
    examples = Examples(data.train, data.max_length)
    optimizer = _optimizer(model, recipe)
    epsilon = getattr(recipe.robust, "epsilon", 0.0)
    epsilon *= _mean_norm(model, examples, recipe) if getattr(recipe.robust, "relative", False) else 1.0
    momentum = getattr(recipe.robust, "bregman_momentum", 0.0)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    updates = int(recipe.schedule.max_steps or 0)
    per_epoch = len(examples) // recipe.batch.size
    losses = []
    for update in range(updates):
        epoch = update // per_epoch
        order = epoch_batches(examples.lengths, recipe.batch.size, recipe.seed, epoch, recipe.data.bucket_by_length)
        rows = order[update % per_epoch]
        batch = examples[epoch, rows]
        if recipe.robust.method == "mixup":
            batch = examples[epoch, rows, partner_choice(recipe.robust.partner, data.train, recipe.seed)(rows, update)]
        step = Step(model, batch, recipe, epsilon, update)
        step.average = average
        loss = METHODS[recipe.robust.method](step)
        optimizer.zero_grad()
        loss.backward()
        if recipe.optimizer.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.optimizer.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = recipe.optimizer.lr * _course(update, updates, recipe.schedule.warmup_ratio)
        optimizer.step()
        for name, value in model.state_dict().items():
            average[name] = momentum * average[name] + (1 - momentum) * value
        losses.append(loss.item())
    return {name: value.detach().clone() for name, value in model.state_dict().items()}, losses


def train_mixture(recipe: Recipe) -> tuple[dict[str, torch.Tensor], list[float]]:
    """(parameters, losses) of a run of several tasks: a whole model for each, whose encoders are made equal after every
    update. Parameters of a head are named `task: name`. A head that an update does not use has a gradient of zero.
    """
    data = open_training_data(recipe.data)
    masking, place = Masking(recipe.data.mask_ratio, recipe.seed), {cell.path: n for n, cell in enumerate(data.train)}
    models, examples = [], []
    for number, (task, cells) in enumerate(data.tasks.items()):
        models.append(build_model(recipe, cells[0].manifest, data.max_length, number)[0].train())
        examples.append(Examples(cells, data.max_length, masking=masking, task=task,
                                 numbers=[place[cell.path] for cell in cells]))
    encoders = [{name: p for name, p in model.named_parameters(remove_duplicate=False) if name.startswith("roberta.")}
                for model in models]
    encoder, of_encoders = encoders[0], {id(p) for one in encoders for p in one.values()}
    heads = {f"{task}: {name}": p for task, model in zip(data.tasks, models, strict=True)
             for name, p in model.named_parameters() if id(p) not in of_encoders}  # the word table is tied to a head's
    parameters = encoder | heads
    optimizer = _optimizer_of(list(parameters.values()), recipe)
    epsilon = getattr(recipe.robust, "epsilon", 0.0)
    if getattr(recipe.robust, "relative", False):  # fewer rows than the product samples of each task
        balls = torch.cat([_norms(model, one, recipe) for model, one in zip(models, examples, strict=True)])
        epsilon *= float(balls.double().mean())
    parts, seen, losses = recipe.mixture.tasks_per_step, [0] * len(models), []
    size, updates = recipe.batch.size // parts, int(recipe.schedule.max_steps or 0)
    for update in range(updates):
        for model in models:
            model.load_state_dict({name: p.detach() for name, p in encoder.items()}, strict=False)
        total = torch.zeros(())
        for number in tasks_of(recipe, [len(one) for one in examples], update):
            one = examples[number]
            epoch, at = divmod(seen[number], len(one) // size)
            seen[number] += 1
            rows = epoch_batches(one.lengths, size, recipe.seed, epoch, recipe.data.bucket_by_length)[at]
            step = Step(models[number], one[epoch, rows], recipe, epsilon, update)
            loss = METHODS[recipe.robust.method](step)
            total = total + recipe.mixture.loss_weights.get(one.task, 1.0) * loss / parts
        for model in models:
            model.zero_grad()
        total.backward()
        for name, parameter in encoder.items():
            grads = [grad for model in models if (grad := model.get_parameter(name).grad) is not None]
            parameter.grad = torch.stack(grads).sum(dim=0)
        for parameter in heads.values():
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if recipe.optimizer.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(parameters.values(), recipe.optimizer.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = recipe.optimizer.lr * _course(update, updates, recipe.schedule.warmup_ratio)
        optimizer.step()
        losses.append(total.item())
    return {name: value.detach().clone() for name, value in parameters.items()}, losses


def tasks_of(recipe: Recipe, rows: list[int], update: int) -> list[int]:
    """Number of the task of every part of an update, by proportional or uniform sampling."""
    weights = np.array(rows if recipe.mixture.sampling == "proportional" else [1] * len(rows), dtype=float)
    parts = recipe.mixture.tasks_per_step
    u = (_words(recipe.seed, update, np.zeros(1, dtype=np.int64), parts, 1, 5 * 4096)[0, :, 0] + 0.5) / 2**32
    return [int((weights.cumsum() / weights.sum() < one).sum()) for one in u]


class Step:
    """One update's whole global batch: forward passes with a perturbation at the site, and one ascent step."""

    def __init__(self, model: Any, batch: Batch, recipe: Recipe, epsilon: float, update: int) -> None:
        self.model, self.batch, self.recipe, self.epsilon, self.update = model, batch, recipe, epsilon, update
        self.s = recipe.robust
        self.finds_spans, self.has_choices = "start" in batch.targets, "examples" in batch.targets
        every_B = torch.cat([batch.targets["start"], batch.targets["end"]]) if self.finds_spans \
            else batch.targets["scores"] if "scores" in batch.targets else batch.targets["labels"]
        self.known_B = every_B > -1
        self.gold_B = every_B[self.known_B]
        self.words = batch.targets.get("words")  # positions, where there is a label per word, not per row
        self.m = batch.content_mask.unsqueeze(-1).float()
        self.width = model.config.hidden_size
        self.average: dict[str, torch.Tensor] = {}

    def logits(self, delta: torch.Tensor | None = None) -> torch.Tensor:
        """transformers' own forward pass, with delta added to the output of the module at the site by a hook.

        Where spans are found, a row for each start, then for each end, if known, over tokens, of which padding is none.
        """
        module = site_module(self.model, getattr(self.s, "site", "word_embeddings"))
        with nullcontext() if delta is None else added(module, delta):
            return self.rows_of(self.model(**self.inputs()))

    def inputs(self) -> dict[str, torch.Tensor]:
        """Arguments of transformers' own forward pass; choices as examples of one choice each."""
        inputs = inputs_of(self.model, self.batch)
        return {name: value.unsqueeze(1) for name, value in inputs.items()} if self.has_choices else inputs

    def rows_of(self, output: Any) -> torch.Tensor:
        """One row of logits per prediction, of a model's output."""
        if self.has_choices:  # any number per example, scored one by one
            of_examples = output.logits.view(-1).split(self.batch.targets["examples"].bincount().tolist())
            return pad_sequence(of_examples, batch_first=True, padding_value=-1e9)
        if self.words is not None:
            return torch.cat([row[words[words >= 0]] for row, words in zip(output.logits, self.words, strict=True)])
        if self.known_B.dim() == 2:  # masked tokens
            return output.logits[self.known_B]
        if not self.finds_spans:
            logits: torch.Tensor = output.logits
            return logits
        both = torch.cat([output.start_logits, output.end_logits])
        return torch.where(self.batch.attention_mask.repeat(2, 1), both, -1e9)[self.known_B]

    def clean(self, site: str) -> torch.Tensor:
        """Output of the module at `site`, unperturbed."""
        found: list[torch.Tensor] = []
        hook = site_module(self.model, site).register_forward_hook(
            lambda module, inputs, output: found.append(output_of(output)))
        self.logits()
        hook.remove()
        return found[0]

    def loss(self, delta: torch.Tensor | None = None) -> torch.Tensor:
        """Mean cross-entropy over the global batch."""
        return self.fit(self.logits(delta))

    def fit(self, logits: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of these logits, or mean squared error of the only one."""
        if logits.shape[-1] == 1:
            return functional.mse_loss(logits[:, 0], self.gold_B)
        return functional.cross_entropy(logits, self.gold_B)

    def zero(self) -> torch.Tensor:
        return torch.zeros(*self.batch.input_ids.shape, self.width)

    def noise(self, kind: str, draw: int = 0, radius: float | None = None) -> torch.Tensor:
        """Noise in the ball of this radius (epsilon) around every content token."""
        radius = self.epsilon if radius is None else radius
        if kind == "uniform":
            return _uniform_ball(self.recipe.seed, self.update, self.batch, self.width, radius, draw) * self.m
        ids, length = self.batch.example_ids.numpy(), self.batch.input_ids.shape[1]
        normal = _normal(self.recipe.seed, self.update, ids, length, self.width, draw)
        return self.project(torch.from_numpy(radius / self.width**0.5 * normal).float(), radius)

    def start(self, kind: str, draw: int = 0) -> torch.Tensor:
        """Where an ascent begins: noise in a ball of its own, whose radius is a share of epsilon."""
        return self.noise(kind, draw, self.s.start_radius * self.epsilon)

    def project(self, delta: torch.Tensor, radius: float | None = None) -> torch.Tensor:
        """The nearest point of the L2 ball around every token; nothing on padding and special tokens."""
        size = delta.norm(dim=-1, keepdim=True).clamp(min=1e-30)
        return delta * torch.minimum(torch.ones_like(size), (radius or self.epsilon) / size) * self.m

    def climb(self, delta: torch.Tensor, objective: Any, steps: int) -> torch.Tensor:
        """x <- Proj(x + alpha g / ||g||), per content token (Madry et al. 2018)."""
        length = (getattr(self.s, "ascent_step_size", None) or (1.0 if steps == 1 else 2.5 / steps)) * self.epsilon
        for _ in range(steps):
            delta = delta.detach().requires_grad_(True)
            (g,) = torch.autograd.grad(objective(delta), delta)
            g = g * self.m
            delta = self.project(delta.detach() + length * g / g.norm(dim=-1, keepdim=True).clamp(min=1e-30))
        return delta.detach()


def _kl(p_logits: torch.Tensor, q_logits: torch.Tensor) -> torch.Tensor:
    """Mean over predictions of sum_c p log(p / q)."""
    if p_logits.shape[-1] == 1:  # of normal distributions of variance 1
        return 0.5 * (p_logits - q_logits).square().mean()
    p, q = p_logits.log_softmax(-1), q_logits.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).mean()


def _plain(t: Step) -> torch.Tensor:
    return t.loss()


def _pgd(t: Step) -> torch.Tensor:
    start = t.start(t.s.start) if t.s.start in ("uniform", "gaussian") else t.zero()
    best = t.climb(start, t.loss, t.s.ascent_steps)
    for draw in range(1, t.s.restarts):
        other = t.climb(t.start(t.s.start or "uniform", draw), t.loss, t.s.ascent_steps)
        with torch.no_grad():
            one, two = (functional.cross_entropy(t.logits(d), t.gold_B, reduction="none") for d in (best, other))
        worse = two > one
        worse = worse[t.batch.targets["examples"]] if t.has_choices else worse
        best = torch.where(worse[:, None, None], other, best)
    adversarial = t.loss(best)
    return adversarial + t.s.clean_weight * t.loss() if t.s.clean_weight else adversarial


def _fgm(t: Step) -> torch.Tensor:
    return t.loss() + t.loss(t.climb(t.zero(), t.loss, 1))


def _freelb(t: Step) -> torch.Tensor:
    """Algorithm 1 of Zhu et al. 2020, the K losses added up before one backward."""
    delta, total = t.start("uniform"), t.s.clean_weight * t.loss() if t.s.clean_weight else torch.zeros(())
    length = (t.s.ascent_step_size or (1.0 if t.s.ascent_steps == 1 else 2.5 / t.s.ascent_steps)) * t.epsilon
    for _ in range(t.s.ascent_steps):
        point = delta.detach().requires_grad_(True)
        loss = t.loss(point)
        (g,) = torch.autograd.grad(loss, point, retain_graph=True)
        total = total + loss / t.s.ascent_steps
        g = g * t.m
        delta = t.project(delta.detach() + length * g / g.norm(dim=-1, keepdim=True).clamp(min=1e-30))
    return total


def _smart(t: Step) -> torch.Tensor:
    clean = t.logits()
    fixed = clean.detach()

    def divergence(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return _kl(a, b) + _kl(b, a)

    delta = t.climb(t.start("gaussian"), lambda d: divergence(fixed, t.logits(d)), t.s.ascent_steps)
    with torch.no_grad():
        averaged = t.rows_of(torch.func.functional_call(t.model, t.average, (), t.inputs()))
    return (t.fit(clean) + t.s.smoothness_weight * divergence(clean, t.logits(delta))
            + t.s.bregman_weight * divergence(averaged, clean))


def _trades(t: Step) -> torch.Tensor:
    clean = t.logits()
    fixed = clean.detach()
    delta = t.climb(t.start("gaussian"), lambda d: _kl(fixed, t.logits(d)), t.s.ascent_steps)
    return functional.cross_entropy(clean, t.gold_B) + t.s.smoothness_weight * _kl(clean, t.logits(delta))


def _random_noise(t: Step) -> torch.Tensor:
    noisy = sum(t.loss(t.noise(t.s.noise, draw)) for draw in range(t.s.draws)) / t.s.draws
    return noisy + t.s.clean_weight * t.loss() if t.s.clean_weight else noisy


def _r3f(t: Step) -> torch.Tensor:
    clean = t.logits()
    noisy = [t.logits(t.noise(t.s.noise, draw)) for draw in range(t.s.draws)]
    smoothness = sum(_kl(clean, other) + _kl(other, clean) for other in noisy) / t.s.draws
    return functional.cross_entropy(clean, t.gold_B) + t.s.smoothness_weight * smoothness


def _mixup(t: Step) -> torch.Tensor:
    """Equation 1 of Zhang et al. 2018 where both sentences have a token, at the site."""
    def seen(batch: Batch) -> torch.Tensor:
        return Step(t.model, batch, t.recipe, t.epsilon, t.update).clean(t.s.site)

    mate = t.batch.partner
    u = ((_words(t.recipe.seed, t.update, t.batch.example_ids.numpy(), 1, 1, 3 * 4096) >> np.uint64(9)) + 0.5) / 2**23
    drawn = stats.beta.ppf(u[:, 0, 0], t.s.mixing_alpha, t.s.mixing_alpha)
    w = torch.from_numpy(np.maximum(drawn, 1 - drawn)).float()
    both = (t.batch.content_mask & mate.content_mask).unsqueeze(-1).float()
    logits = t.logits((1 - w).view(-1, 1, 1) * both * (seen(mate) - seen(t.batch)))
    own = functional.cross_entropy(logits, t.gold_B, reduction="none")
    other = functional.cross_entropy(logits, mate.targets["labels"], reduction="none")
    return (w * own + (1 - w) * other).mean()


METHODS = {"plain": _plain, "pgd": _pgd, "fgm": _fgm, "freelb": _freelb, "smart": _smart, "trades": _trades,
           "random_noise": _random_noise, "r3f": _r3f, "mixup": _mixup}


def _mean_norm(model: Any, examples: Examples, recipe: Recipe) -> float:
    """Mean L2 norm of content tokens at the site, over all rows (the tests have fewer than the product samples)."""
    return float(_norms(model, examples, recipe).double().mean())


def _norms(model: Any, examples: Examples, recipe: Recipe) -> torch.Tensor:
    batch = examples[0, np.arange(len(examples))]
    with torch.no_grad():
        x_BLH = Step(model, batch, recipe, 1.0, 0).clean(recipe.robust.site)
    return x_BLH[batch.content_mask].norm(dim=-1)


def _optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer:
    return _optimizer_of(list(model.parameters()), recipe)


def _optimizer_of(parameters: list[torch.nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    trainable = [p for p in parameters if p.requires_grad]
    decay, rest = [p for p in trainable if p.ndim >= 2], [p for p in trainable if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": recipe.optimizer.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    if recipe.optimizer.name == "sgd":
        return torch.optim.SGD(groups, lr=recipe.optimizer.lr)
    return torch.optim.AdamW(groups, lr=recipe.optimizer.lr, eps=recipe.optimizer.eps)


def _course(update: int, updates: int, warmup_ratio: float) -> float:
    warmup = round(warmup_ratio * updates)
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


def _normal(seed: int, update: int, ids: np.ndarray, length: int, width: int, draw: int) -> np.ndarray:
    """Standard normal (B, L, width), by Box and Muller from neighbouring words."""
    u = ((_words(seed, update, ids, length, width, draw) >> np.uint64(9)).astype(np.float64) + 0.5) / 2**23
    radius, angle = np.sqrt(-2 * np.log(u[..., 0::2])), 2 * np.pi * u[..., 1::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(*u.shape)


def _uniform_ball(seed: int, update: int, batch: Batch, width: int, epsilon: float, draw: int) -> torch.Tensor:
    """Uniform in the L2 ball of radius epsilon around every token: Gaussian direction, radius epsilon u^(1/width)."""
    ids, length = batch.example_ids.numpy(), batch.input_ids.shape[1]
    normal = _normal(seed, update, ids, length, width, draw)
    v = ((_words(seed, update, ids, length, 1, 4096 + draw) >> np.uint64(9)).astype(np.float64) + 0.5) / 2**23
    direction = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    return torch.from_numpy(epsilon * v ** (1.0 / width) * direction).float()
