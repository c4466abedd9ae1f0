"""The perturbation site: where delta enters an encoder, and the forward pass below and above it.

    site `word_embeddings`   x = word vectors            below: the table look-up
    site `embeddings`        x = embedding block output  below: look-up, positions, normalisation, dropout
    site `layer:K`           x = output of layer K       below: the embedding block and layers 1..K

The model is a plain transformers model; only its forward pass is taken apart, by its family, so that weights save and
load as transformers' own. Everything runs inside `SiteModel.forward`, as ZeRO-3 gathers weights by module hooks.
Shapes: B batch, L length, H width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from data_prep.base.errors import InputError
from trainer.kinds import Kind
from trainer.kinds.batch import Batch
from trainer.model.encoders import FAMILIES
from trainer.model.heads import own_parts, own_weights


@dataclass(frozen=True)
class Site:
    """A parsed `robust.site`: kind is "word_embeddings", "embeddings" or "layer"; layer counts from 1."""

    kind: str
    layer: int = 0

    @classmethod
    def parse(cls, text: str, layers: int) -> Site:
        """The site `text` in an encoder of `layers` layers; raises InputError for a layer that it does not have."""
        kind, _, number = text.partition(":")
        if kind != "layer":
            return cls(kind)
        if not 1 <= int(number) <= layers:
            raise InputError(f"perturbation site: the encoder has layers 1 to {layers}, found {text!r}")
        return cls("layer", int(number))


class SiteModel(nn.Module):
    """A transformers model whose forward pass can stop at, or start from, the perturbation site.

    With `others` it is the model of the first of several tasks, whose encoder theirs share (`trainer.model.heads`).
    """

    def __init__(self, model: PreTrainedModel, kind: Kind, site: str, task: str = "",
                 others: Mapping[str, tuple[PreTrainedModel, Kind]] | None = None) -> None:
        """task: name of the model's task in batches, if there are several; others: model and kind of each other."""
        super().__init__()
        self.model: Any = model  # transformers' classes differ per head; Any spares casts to each
        self.kind = kind
        self.tasks: dict[str, tuple[Any, Kind]] = {task: (model, kind), **(others or {})}
        if others:  # of their models the heads only are registered, so that every weight has one owner
            self.heads = nn.ModuleDict({f"{name}_head": own_parts(other) for name, (other, _) in others.items()})
        self.own_weights = {name: own_weights(of_task) for name, (of_task, _) in self.tasks.items()} if others else {}
        """Trainable weights of each head, by task."""
        self.family = FAMILIES[model.config.model_type]
        self.site = Site.parse(site, model.config.num_hidden_layers)

    def of(self, batch: Batch) -> tuple[Any, Kind]:
        """(model, kind) of the batch's task."""
        return self.tasks[batch.task] if len(self.tasks) > 1 else next(iter(self.tasks.values()))

    def forward(
        self,
        batch: Batch,
        delta_BLH: Tensor | None = None,
        x_BLH: Tensor | None = None,
        only_below: bool = False,
    ) -> Tensor:
        """Logits in the shape of the task's kind; with `only_below`, the representation x_BLH at the site.

        delta_BLH is added at the site. x_BLH, as returned by a call with `only_below`, spares the layers below.
        """
        x = self._below(batch) if x_BLH is None else x_BLH
        if only_below:
            return x
        return self.logits(self.above(x if delta_BLH is None else x + delta_BLH.to(x.dtype), batch), batch)

    def _below(self, batch: Batch) -> Tensor:
        encoder, family = self.model.base_model, self.family
        words_BLH = family.words(encoder, batch)
        if self.site.kind == "word_embeddings":
            return words_BLH
        return family.run(encoder, family.embed(encoder, words_BLH, batch), batch, 0, self.site.layer)

    # At ZeRO-3 the following two are for `forward` only: called from outside, they would find weights taken apart.
    def above(self, x_BLH: Tensor, batch: Batch) -> Tensor:
        """Output of the last layer, (B, L, H), from x_BLH at the site."""
        encoder = self.model.base_model
        if self.site.kind == "word_embeddings":
            x_BLH = self.family.embed(encoder, x_BLH, batch)
        return self.family.run(encoder, x_BLH, batch, self.site.layer, self.model.config.num_hidden_layers)

    def logits(self, hidden_BLH: Tensor, batch: Batch) -> Tensor:
        """Logits of the batch's task from the output of the last layer."""
        model, kind = self.of(batch)
        head = self.family.heads[kind.head].logits
        logits = kind.logits(lambda hidden: head(model, hidden, batch), hidden_BLH, batch)
        if len(self.tasks) > 1 and torch.is_grad_enabled():
            logits = logits + self._zero_of_other_heads(batch, logits.dtype)
        return logits

    def _zero_of_other_heads(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Zero, with a gradient of zero for the heads that the batch does not use.

        Every backward pass so reaches every weight: at all ZeRO stages the optimiser's moments decay alike, and ranks
        reduce the same gradients. Sums over no entries are zero whatever the weights are.
        """
        others = (weight for task, own in self.own_weights.items() if task != batch.task for weight in own)
        return torch.stack([weight.reshape(-1)[:0].sum() for weight in others]).sum().to(dtype)
