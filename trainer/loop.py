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
from trainer.engine.step_context import StepContext, dropout_generator
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
    device, parts = engine.device, recipe.mixture.tasks_per_step
    meter = Meter(device)
    if state.windows:
        meter.load_dict(state.windows[engine.ranks.rank])
    engine.module.train()
    while state.step < max_steps and not state.out_of_patience:
        micro_batches = next(batches)
        # Dropout masks are a function of seed, step, rank and micro-batch: nothing to save, nothing to restore.
        # Seeded after the data came in: a loader draws a number when it starts, at another step after a resume.
        # Not by torch.manual_seed, which formats a stack trace for every kind of accelerator that is not there.
        seed = hash((recipe.seed, state.step, engine.ranks.rank)) & (2**63 - 1)
        for generator in {torch.default_generator, dropout_generator(device)}:
            generator.manual_seed(seed)
        weights = global_weights(engine, recipe, micro_batches)
        epsilon = radius(recipe.robust, state.step / max_steps, state.site_norm)
        losses = []
        for number, (batch, weight) in enumerate(zip(micro_batches, weights, strict=True)):
            meter.add_batch(batch)
            task_weight = recipe.mixture.loss_weights.get(batch.task, 1.0) / parts
            context = context_class(
                engine, kernels, recipe.robust, batch.to(device), epsilon=epsilon, seed=recipe.seed,
                step=state.step, global_weight=weight, task_weight=task_weight,
                ends_step=number == len(micro_batches) - 1)
            metrics = {**method.step(context), **context.metrics()}
            if batch.task:
                share = 1.0 / (len(micro_batches) * engine.ranks.world_size)
                metrics |= {f"loss/{batch.task}": metrics["loss"],
                            "loss": (metrics["loss"][0] * (task_weight / max(1.0, weight)), share)}
            losses.append(metrics["loss"])
            meter.add(metrics)
        learning_rate = engine.learning_rate
        applied = engine.step()
        state.step += 1
        if applied:
            state.decay *= 1.0 - learning_rate * recipe.optimizer.weight_decay
        state.examples += recipe.batch.size
        tasks = ", ".join(sorted(batch.task for batch in micro_batches[:: len(micro_batches) // parts]))
        after_step(meter, StepResult(
            losses, [batch.example_ids for batch in micro_batches], learning_rate, applied, tasks))


def global_weights(engine: Engine, recipe: Recipe, micro_batches: list[Batch]) -> list[float]:
    """Per micro-batch, the predictions over all ranks in the part of the global batch that it belongs to.

    Those are the examples of the part, or their masked tokens. Without a mixture the part is the whole.
    """
    parts = recipe.mixture.tasks_per_step
    size = len(micro_batches) // parts
    of_parts = [micro_batches[part * size : (part + 1) * size] for part in range(parts)]
    kinds = [engine.module.of(part[0])[1] for part in of_parts]
    weights = [float(recipe.batch.size // parts)] * parts
    if not all(kind.one_prediction for kind in kinds):
        counts = [sum(int(kind.loss_count(batch)) for batch in part)
                  for kind, part in zip(kinds, of_parts, strict=True)]
        counted = all_reduce_sum(torch.tensor(counts, device=engine.device), engine.ranks).tolist()
        weights = [weight if kind.one_prediction else float(count)
                   for kind, weight, count in zip(kinds, weights, counted, strict=True)]
    return [weight for weight in weights for _ in range(size)]
