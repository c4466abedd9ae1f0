"""The order of a step: fetch micro-batches, let the robust method back-propagate each, update the weights.

Inputs: an engine, the data, the recipe, the state. Metrics are summed over micro-batches and ranks, so that they are
means over the global batch. What happens after a step is `trainer.monitor.watcher`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import torch

from trainer.config.schema import Recipe
from trainer.distributed.collectives import all_reduce_sum
from trainer.engine.engine import Engine
from trainer.engine.step_context import StepContext
from trainer.kinds.batch import Batch
from trainer.monitor.meter import Meter
from trainer.monitor.step_reduction import StepResult
from trainer.robust import METHODS
from trainer.robust.schedule import radius
from trainer.runs.state import TrainState


def run_steps(
    engine: Engine, recipe: Recipe, batches: Iterator[list[Batch]], state: TrainState, max_steps: int,
    kernels: ModuleType, after_step: Callable[[Meter, StepResult], None],
    context_class: type[StepContext] = StepContext,
) -> None:
    """Do steps `state.step` + 1 .. `max_steps`; `after_step` is called after each with the open window."""
    method = METHODS[recipe.robust.method]
    device = engine.device
    meter = Meter(device)
    if state.windows:
        meter.load_dict(state.windows[engine.ranks.rank])
    engine.module.train()
    while state.step < max_steps and not state.out_of_patience:
        micro_batches = next(batches)
        # Dropout masks are a function of seed, step, rank and micro-batch: nothing to save, nothing to restore.
        # Seeded after the data came in: a loader draws a number when it starts, at another step after a resume.
        torch.manual_seed(hash((recipe.seed, state.step, engine.ranks.rank)) & (2**63 - 1))
        weight = global_weight(engine, recipe, micro_batches)
        epsilon = radius(recipe.robust, state.step / max_steps, state.site_norm)
        losses = []
        for number, batch in enumerate(micro_batches):
            meter.add_batch(batch)
            context = context_class(
                engine, kernels, recipe.robust, batch.to(device), epsilon=epsilon, seed=recipe.seed,
                step=state.step, global_weight=weight, ends_step=number == len(micro_batches) - 1)
            metrics = {**method.step(context), **context.metrics()}
            losses.append(metrics["loss"])
            meter.add(metrics)
        learning_rate = engine.learning_rate
        applied = engine.step()
        state.step += 1
        state.examples += recipe.batch.size
        after_step(meter, StepResult(losses, [batch.example_ids for batch in micro_batches], learning_rate, applied))


def global_weight(engine: Engine, recipe: Recipe, micro_batches: list[Batch]) -> float:
    """Predictions in the global batch: its examples, or its masked tokens counted over all ranks."""
    kind = engine.module.kind
    if kind.one_prediction:
        return float(recipe.batch.size)
    masked = torch.tensor(sum(int(kind.loss_count(batch)) for batch in micro_batches), device=engine.device)
    return float(all_reduce_sum(masked, engine.ranks))
