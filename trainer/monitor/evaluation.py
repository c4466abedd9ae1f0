"""Evaluation of the dev cells during training."""

from __future__ import annotations

from functools import partial

import torch

from trainer.data.loader import Examples
from trainer.distributed.collectives import gather_objects
from trainer.distributed.ranks import Ranks
from trainer.evaluate.predict import Predictions, predict
from trainer.model.site import SiteModel


def evaluate_dev(
    model: SiteModel, dev: dict[str, Examples], batch_size: int, device: torch.device, ranks: Ranks,
) -> dict[str, Predictions]:
    """The model's predictions on every dev cell, by name; every rank must call it and gets all of them."""
    return {name: predict(model, examples, batch_size, device, ranks, partial(gather_objects, ranks=ranks))
            for name, examples in dev.items()}
