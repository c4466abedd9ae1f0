"""The engine that a recipe asks for."""

from __future__ import annotations

from torch import nn

from trainer.config.schema import Recipe
from trainer.distributed.ranks import Ranks
from trainer.engine.engine import Engine


def build_engine(model: nn.Module, recipe: Recipe, ranks: Ranks, max_steps: int) -> Engine:
    """Build the engine of a run of `max_steps` from the sections of `recipe`."""
    return Engine(
        model, ranks, max_steps, engine=recipe.engine, batch=recipe.batch, optimizer=recipe.optimizer,
        schedule=recipe.schedule, background_writes=recipe.checkpoint.background,
        ema_decay=recipe.robust.ema_decay, parts=recipe.mixture.tasks_per_step)
