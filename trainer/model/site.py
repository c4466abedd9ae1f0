"""The perturbation site: where delta enters an XLM-R model, and the forward pass below and above it.

    site `word_embeddings`   x = word vectors            below: the table look-up
    site `embeddings`        x = embedding block output  below: look-up, positions, LayerNorm, dropout
    site `layer:K`           x = output of layer K       below: the embedding block and layers 1..K

The model is a plain transformers model; only its forward pass is taken apart, so weights save and load as
transformers' own. Everything runs inside `SiteModel.forward`, as ZeRO-3 gathers weights by module hooks.
Shapes: B batch, L length, H width, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.masking_utils import create_bidirectional_mask

from data_prep.base.errors import InputError
from trainer.kinds import Head
from trainer.kinds.batch import Batch


@dataclass(frozen=True)
class Site:
    """A parsed `robust.site`: kind is "word_embeddings", "embeddings" or "layer"; layer counts from 1."""

    kind: str
    layer: int = 0

    @classmethod
    def parse(cls, text: str, layers: int) -> Site:
        """The site that `text` names in an encoder of `layers` layers; InputError where there is none."""
        kind, _, number = text.partition(":")
        if kind != "layer":
            return cls(kind)
        if not 1 <= int(number) <= layers:
            raise InputError(f"perturbation site: the encoder has layers 1 to {layers}, found {text!r}")
        return cls("layer", int(number))


class SiteModel(nn.Module):
    """An XLM-R model with a head, whose forward pass can stop at, or start from, the perturbation site."""

    def __init__(self, model: PreTrainedModel, head: Head, site: str) -> None:
        super().__init__()
        self.model: Any = model  # transformers' classes differ per head; Any spares casts to each
        self.head = head
        self.site = Site.parse(site, model.config.num_hidden_layers)

    def forward(
        self,
        batch: Batch,
        delta_BLH: Tensor | None = None,
        x_BLH: Tensor | None = None,
        only_below: bool = False,
    ) -> Tensor:
        """Logits, as the kind of task has them; with `only_below`, the representation x_BLH at the site.

        delta_BLH is added at the site. x_BLH, as returned by a call with `only_below`, spares the layers below.
        """
        x = self._below(batch) if x_BLH is None else x_BLH
        if only_below:
            return x
        hidden = self.above(x if delta_BLH is None else x + delta_BLH.to(x.dtype), batch)
        return self.head.logits(self.model, hidden, batch)

    def _below(self, batch: Batch) -> Tensor:
        x: Tensor = self.model.roberta.embeddings.word_embeddings(batch.input_ids)
        if self.site.kind == "word_embeddings":
            return x
        x = self._embedding_block(x, batch)
        return self._layers(x, batch, 0, self.site.layer)

    def above(self, x_BLH: Tensor, batch: Batch) -> Tensor:
        """The output of the last layer, (B, L, H), from x_BLH at the site; not to be called from outside at ZeRO-3."""
        if self.site.kind == "word_embeddings":
            x_BLH = self._embedding_block(x_BLH, batch)
        return self._layers(x_BLH, batch, self.site.layer, self.model.config.num_hidden_layers)

    def _embedding_block(self, words_BLH: Tensor, batch: Batch) -> Tensor:
        # Position ids are given: derived from `inputs_embeds`, they would count padding.
        block: Tensor = self.model.roberta.embeddings(inputs_embeds=words_BLH, position_ids=batch.position_ids)
        return block

    def _layers(self, x_BLH: Tensor, batch: Batch, first: int, last: int) -> Tensor:
        if first == last:
            return x_BLH
        mask = create_bidirectional_mask(
            config=self.model.config, inputs_embeds=x_BLH, attention_mask=batch.attention_mask)
        for layer in self.model.roberta.encoder.layer[first:last]:
            x_BLH = layer(x_BLH, mask)
        return x_BLH
