"""Robust methods in a training loop of one's own: plain torch, one process, any optimiser, no DeepSpeed.

    robust = RobustTraining(model, "pgd", epsilon=0.1)
    for rows in batches:
        robust.backward(model.batch(rows))
        optimizer.step()
        optimizer.zero_grad()

The methods, kernels and losses are those of `python -m trainer train`; what DeepSpeed, checkpoints and evaluation do
there is left to the caller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import ValidationError

from data_prep.base.errors import InputError
from data_prep.base.files import first_error
from trainer.engine.plain import PlainEngine
from trainer.engine.step_context import StepContext
from trainer.kernels import dispatch
from trainer.kinds.batch import Batch
from trainer.model.norms import mean_norm
from trainer.model.site import Site, SiteModel
from trainer.robust import METHODS, MethodSettings
from trainer.robust.schedule import radius
from trainer.robust.settings import BallSettings, site_of

if TYPE_CHECKING:
    from trainer.predict.model import TaskModel


class RobustTraining:
    """Gradients of a robust method, for an optimiser of the caller's.

    model: whose gradients are computed, in its present mode (`model.model.train()` switches dropout on). method: a key
    of `trainer.robust.METHODS`; settings: its keys in a recipe, without `robust.`, e.g. epsilon=0.1, site="layer:2".
    seed: of the noise, a function of (seed, update, place in the batch). site_norm: unit of a relative epsilon; None
    measures the mean norm over the batches of the first update, see `measure_norm`. kernels: as in a recipe.

    Raises InputError for an unknown method, setting or layer, and for what a loop of one's own does not have.
    """

    def __init__(
        self, model: TaskModel | SiteModel, method: str = "pgd", *, seed: int = 0, site_norm: float | None = None,
        kernels: str = "auto", **settings: Any,
    ) -> None:
        self.settings = _settings(method, settings)
        self.module = model if isinstance(model, SiteModel) else model.module
        self.module.site = Site.parse(site_of(self.settings), self.module.model.config.num_hidden_layers)
        if self.settings.partner_source == "batch" and not all(kind.can_be_mixed for _, kind in
                                                               self.module.tasks.values()):
            raise InputError(f"{method}: only examples with one label can be mixed")
        self.seed, self.site_norm, self.updates = seed, site_norm, 0
        self._step = METHODS[method].step
        self._engine = PlainEngine(self.module, self.settings.ema_decay)
        _, self._kernels = dispatch.select(kernels)

    def measure_norm(self, batches: Sequence[Batch]) -> float:
        """Measure the unit of a relative epsilon, the mean norm at the site over `batches`, and keep it.

        `python -m trainer train` measures it over 512 examples before the first step.
        """
        ball = self.settings
        if not isinstance(ball, BallSettings):
            raise InputError(f"{ball.method} has no ball, and so no epsilon to measure a unit for")
        norm = mean_norm(self.module, batches, ball)
        if not 0 < norm < math.inf:
            raise InputError(f"the mean norm at {ball.site} is {norm:g}, expected a positive number; give site_norm, "
                             "or set relative=False")
        self.site_norm = norm
        return norm

    def backward(self, batches: Batch | Sequence[Batch], progress: float = 1.0) -> dict[str, float]:
        """Add the gradient of one update to `.grad`; returns means over the update, among them `loss`.

        batches: one, or the micro-batches of an update, whose mean is taken over all of their predictions. progress:
        share of training that is done, for `ramp_start` and `ramp_end`; without a ramp it has no effect.
        """
        micro = [batches] if isinstance(batches, Batch) else list(batches)
        if not micro:
            raise ValueError("an update without a batch")
        if self.updates:
            self._engine.average()  # the weights since the last update, which the caller's optimiser has made
        ball = self.settings
        if isinstance(ball, BallSettings) and ball.relative and self.site_norm is None:
            self.measure_norm(micro)
        epsilon = radius(self.settings, progress, self.site_norm)
        weight = float(sum(self.module.of(batch)[1].loss_count(batch) for batch in micro))
        sums: dict[str, tuple[float, float]] = {}
        for number, batch in enumerate(micro):
            context: StepContext = StepContext(
                self._engine, self._kernels, self.settings, self._with_partner(batch), epsilon=epsilon, seed=self.seed,
                step=self.updates, global_weight=weight, ends_step=number == len(micro) - 1)
            _add(sums, {**self._step(context), **context.metrics()})
        self.updates += 1
        return {name: total / count if count else 0.0 for name, (total, count) in sums.items()}

    def _with_partner(self, batch: Batch) -> Batch:
        """For mixup, the batch with another example of it as the partner of each, drawn by seed and update."""
        if self.settings.partner_source is None or batch.partner is not None:
            return batch
        size = len(batch.input_ids)
        order = torch.from_numpy(np.random.default_rng([self.seed, self.updates]).permutation(size)).to(
            batch.input_ids.device)
        return replace(batch, partner=batch.map(lambda tensor: tensor[order]))


def _settings(method: str, given: Mapping[str, Any]) -> MethodSettings:
    """Validated settings of a method. Raises InputError."""
    if method not in METHODS:
        raise InputError(f"no robust method {method!r}; methods: {', '.join(METHODS)}")
    try:
        settings = METHODS[method].settings.model_validate({"method": method, **given})
    except ValidationError as error:
        known = [name for name in METHODS[method].settings.model_fields if name != "method"]
        raise InputError(f"{method}: {first_error(error)}; its settings: {', '.join(known) or 'none'}") from None
    if settings.partner_source == "copy":
        raise InputError("mixup with partner='copy' needs cells of `data_prep augment`; set partner='batch'")
    return settings


def _add(sums: dict[str, tuple[float, float]], metrics: Mapping[str, tuple[Any, Any]]) -> None:
    for name, (total, count) in metrics.items():
        before = sums.get(name, (0.0, 0.0))
        sums[name] = (before[0] + float(total), before[1] + float(count))
