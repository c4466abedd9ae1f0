"""Cases of which memory is measured and computed: a DeepSpeed configuration, a model, a batch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from trainer.bench.steps import batch_of
from trainer.config import Recipe
from trainer.kinds.batch import Batch
from trainer.model.encoders import RANDOM
from trainer.robust import settings_for


@dataclass(frozen=True)
class Case:
    """One measurement; `layers` None keeps those of the size."""

    config: str
    precision: str = "fp32"
    method: str = "plain"
    fused: bool = False
    accumulation: int = 1
    rows: int = 4
    """Of a micro-batch."""
    size: str = "base"
    layers: int | None = 1
    vocabulary: int = 6000
    length: int = 32
    checkpointing: bool = False

    def recipe(self, ranks: int) -> Recipe:
        """The recipe of the case."""
        own = {} if self.method == "plain" else {"epsilon": 0.05, "relative": False}
        return Recipe.model_validate({
            "model": {"random": "tiny", "gradient_checkpointing": self.checkpointing}, "data": {"train": ["none"]},
            "batch": {"size": self.rows * ranks * self.accumulation, "micro_batch_size": self.rows},
            "schedule": {"max_steps": 4}, "engine": {"config": self.config, "precision": self.precision},
            "optimizer": {"fused": self.fused}, "robust": settings_for(self.method, own)})

    def model_config(self) -> Any:
        """Configuration of the model."""
        found = RANDOM.random_config(self.size, self.vocabulary, self.length, pad_id=1)
        found.num_hidden_layers = self.layers or found.num_hidden_layers
        return found

    def batch(self, number: int) -> Batch:
        """A micro-batch of random ids."""
        return batch_of(number, self.rows, self.length, self.vocabulary)

    def as_dict(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)
