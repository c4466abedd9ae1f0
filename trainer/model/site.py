"""The perturbation site: where delta enters an encoder, and the forward pass below and above it.

    site `word_embeddings`   x = word vectors            below: the table look-up
    site `embeddings`        x = embedding block output  below: look-up, positions, normalisation, dropout
    site `layer:K`           x = output of layer K       below: the embedding block and layers 1..K

The model is a plain transformers model; only its forward pass is taken apart, by its family, so that weights save and
load as transformers' own. Everything runs inside `SiteModel.forward`, as ZeRO-3 gathers weights by module hooks.
Shapes: B batch, L length, H width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from data_prep.base.errors import InputError
from trainer.kinds import Kind
from trainer.kinds.batch import Batch
from trainer.model.encoders import FAMILIES


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
    """A transformers model whose forward pass can stop at, or start from, the perturbation site."""

    def __init__(self, model: PreTrainedModel, kind: Kind, site: str) -> None:
        super().__init__()
        self.model: Any = model  # transformers' classes differ per head; Any spares casts to each
        self.kind = kind
        self.family = FAMILIES[model.config.model_type]
        self.site = Site.parse(site, model.config.num_hidden_layers)

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
        """Logits from the output of the last layer."""
        head = self.family.heads[self.kind.head].logits
        return self.kind.logits(lambda hidden: head(self.model, hidden, batch), hidden_BLH, batch)
