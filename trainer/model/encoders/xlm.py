"""XLM (Lample and Conneau 2019, arXiv 1901.07291): xlm-mlm-100-1280, xlm-mlm-17-1280, xlm-mlm-tlm-xnli15-1024.

Absolute positions from 0 on; some models add a vector per language (`use_lang_emb`), found through `lang2id`. The
second text and the separator before it have the language of the second, as in XLM's `concat_batches`. Hidden states of
padding are zero. transformers has no modules of layers, no fast attention and no gradient checkpointing here.

XLM's own tokenizer (`vocab.json`, `merges.txt`) is in Python only, needs sacremoses and the language of each text;
`data_prep` refuses it. Shards need a fast tokenizer with XLM's vocabulary, ids and special tokens, which a user makes
(BPE of the tokenizers library with `</w>` at the end of words, over texts in Moses' tokenisation and XLM's lower case)
and puts as `tokenizer.json` into a local folder with the model. Shapes: B batch, L length, H width.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import AliasChoices, Field, model_validator
from torch import Tensor
from torch.nn import functional

from data_prep.languages import canonical_code
from trainer.kinds.batch import Batch
from trainer.kinds.languages import LONGEST_CODE, language_number
from trainer.model.encoders import bert
from trainer.model.encoders.family import ConfigBounds, Family, Head, TokenId
from trainer.settings import Share

WORD_TABLE = "embeddings.weight"
# XLM's names of settings, and other names that transformers reads too.
OTHER_NAMES = {
    "vocab_size": "n_words",
    "emb_dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads",
    "pad_token_id": "pad_index", "bos_token_id": "bos_index", "eos_token_id": "eos_index",
}
IDENTITY = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings", "n_langs",
    "use_lang_emb", "lang2id", "gelu_activation", "layer_norm_eps", "init_std", "embed_init_std", "pad_token_id",
    "summary_activation", "tie_word_embeddings")
# Languages of xlm-mlm-tlm-xnli15-1024, in its order; random models have them too.
XNLI = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")


def _named(name: str) -> AliasChoices:
    return AliasChoices(name, OTHER_NAMES[name])


class Bounds(ConfigBounds):
    """Bounds of an XLM configuration.

    Of `summary_type` only the first token: the last of a row is padding, and a mean would count it. Sinusoidal
    positions, which transformers would train and writes in a slow loop, are in no multilingual model.
    """

    vocab_size: int = Field(ge=1, le=2**24, validation_alias=_named("vocab_size"))
    hidden_size: int = Field(ge=1, le=2**16, validation_alias=_named("emb_dim"))
    num_hidden_layers: int = Field(ge=1, le=1000, validation_alias=_named("n_layers"))
    num_attention_heads: int = Field(ge=1, le=1000, validation_alias=_named("n_heads"))
    max_position_embeddings: int = Field(default=512, ge=3, le=2**20)
    n_langs: int = Field(default=1, ge=1, le=10_000)
    use_lang_emb: bool = True
    lang2id: dict[Annotated[str, Field(max_length=100)], Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    gelu_activation: bool = True
    sinusoidal_embeddings: Literal[False] = False
    causal: Literal[False] = False
    asm: Literal[False] = False
    is_encoder: Literal[True] = True
    layer_norm_eps: float = Field(default=1e-12, gt=0, le=1)
    init_std: float = Field(default=0.02, gt=0, le=10)
    embed_init_std: float = Field(default=2048**-0.5, gt=0, le=10)
    dropout: Share = 0.1
    attention_dropout: Share = 0.1
    summary_type: Literal["first"] = "first"
    summary_use_proj: Literal[True] = True
    summary_proj_to_labels: Literal[True] = True
    summary_activation: Literal["tanh"] | None = None
    summary_first_dropout: Share = 0.1
    pad_token_id: TokenId = Field(default=2, validation_alias=_named("pad_token_id"))
    bos_token_id: TokenId = Field(default=0, validation_alias=_named("bos_token_id"))
    eos_token_id: TokenId = Field(default=1, validation_alias=_named("eos_token_id"))
    tie_word_embeddings: bool = True

    @model_validator(mode="before")
    @classmethod
    def _one_value(cls, content: Any) -> Any:
        """Refuse two names of a setting with different values, of which transformers takes the last."""
        for name, other in OTHER_NAMES.items():
            if name in content and other in content and content[name] != content[other]:
                raise ValueError(f"{name} {content[name]!r} contradicts {other} {content[other]!r}"[:200])
        return content

    @model_validator(mode="after")
    def _agree(self) -> Bounds:
        if self.hidden_size % self.num_attention_heads or self.pad_token_id >= self.vocab_size:
            raise ValueError(f"settings contradict each other: width {self.hidden_size}, {self.num_attention_heads} "
                             f"heads, {self.vocab_size} tokens, padding {self.pad_token_id}")
        if max(self.lang2id.values(), default=0) >= self.n_langs:
            raise ValueError(f"lang2id has ids up to {max(self.lang2id.values())}, n_langs is {self.n_langs}")
        if _languages(self) == {}:
            raise ValueError(f"use_lang_emb with {self.n_langs} languages, but no lang2id to tell which")
        return self


def _has_languages(config: Any) -> bool:
    """True if transformers builds language embeddings."""
    return bool(config.use_lang_emb) and config.n_langs > 1


def _languages(config: Any) -> dict[str, int] | None:
    """As in `Family`, by canonical code. Of two codes of one language (Wikipedia's `als` is CLDR's Albanian) the
    canonical one counts; codes that `language_number` cuts are left out."""
    if not _has_languages(config):
        return None
    ordered = sorted(config.lang2id.items(), key=lambda item: item[0] == canonical_code(item[0]))
    return {code: row for language, row in ordered
            if len((code := canonical_code(language)).encode()) <= LONGEST_CODE}


def _shape(hidden: int, layers: int, heads: int) -> dict[str, int]:
    return {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}


def _random_settings(max_length: int, pad_id: int) -> dict[str, Any]:
    return {"max_position_embeddings": max(512, max_length), "n_langs": len(XNLI),
            "lang2id": {language: index for index, language in enumerate(XNLI)}}


def _shapes(settings: Bounds) -> dict[str, tuple[int, ...]]:
    width = settings.hidden_size
    expected: dict[str, tuple[int, ...]] = {
        WORD_TABLE: (settings.vocab_size, width),
        "position_embeddings.weight": (settings.max_position_embeddings, width),
        f"ffns.{settings.num_hidden_layers - 1}.lin1.weight": (4 * width, width),
    }
    return expected | ({"lang_embeddings.weight": (settings.n_langs, width)} if _has_languages(settings) else {})


def _words(encoder: Any, batch: Batch) -> Tensor:
    words_BLH: Tensor = encoder.embeddings(batch.input_ids)
    return words_BLH


def _language_rows(rows_by_language: dict[str, int], languages_BL: Tensor) -> Tensor:
    """(B, L) rows of the language embeddings; some row on padding. Languages were checked before."""
    known = sorted((language_number(language), row) for language, row in rows_by_language.items())
    numbers_and_rows = torch.tensor(known, device=languages_BL.device).T.contiguous()
    return numbers_and_rows[1][torch.searchsorted(numbers_and_rows[0], languages_BL).clamp_max(len(known) - 1)]


def _embed(encoder: Any, words_BLH: Tensor, batch: Batch) -> Tensor:
    """As in `Family`; without languages in the batch, as transformers without `langs`."""
    positions = torch.arange(words_BLH.shape[1], device=words_BLH.device)
    x_BLH: Tensor = words_BLH + encoder.position_embeddings(positions)
    if (languages := _languages(encoder.config)) is not None and batch.languages is not None:
        x_BLH = x_BLH + encoder.lang_embeddings(_language_rows(languages, batch.languages))
    normed_BLH: Tensor = encoder.layer_norm_emb(x_BLH)
    dropped_BLH = functional.dropout(normed_BLH, p=encoder.dropout, training=encoder.training)
    return dropped_BLH * batch.attention_mask.unsqueeze(-1)


def _run(encoder: Any, x_BLH: Tensor, batch: Batch, first: int, last: int) -> Tensor:
    """As in `Family`: transformers' loop over the parts of layers."""
    mask_BL = batch.attention_mask
    for layer in range(first, last):
        attended = encoder.attentions[layer](x_BLH, mask_BL)[0]
        attended = functional.dropout(attended, p=encoder.dropout, training=encoder.training)
        x_BLH = encoder.layer_norm1[layer](x_BLH + attended)
        x_BLH = encoder.layer_norm2[layer](x_BLH + encoder.ffns[layer](x_BLH)) * mask_BL.unsqueeze(-1)
    return x_BLH


def _classify(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, C) logits from the first token: dropout, linear, perhaps tanh."""
    logits: Tensor = model.sequence_summary(hidden_BLH)
    return logits


def _score_choices(model: Any, hidden_BLH: Tensor, batch: Batch) -> Tensor:
    """(B, 1) logits: a classifier, and a linear layer behind it."""
    logits: Tensor = model.logits_proj(_classify(model, hidden_BLH, batch))
    return logits


def _score_words(model: Any, hidden_PH: Tensor, batch: Batch) -> Tensor:
    logits: Tensor = model.pred_layer(hidden_PH)[0]
    return logits


FAMILY = Family(
    model_type="xlm",
    prefix="transformer.",
    layers="attentions.",
    heads={
        "AutoModelForSequenceClassification": Head(
            _classify, "sequence_summary.summary", dropout="summary_first_dropout"),
        "AutoModelForMultipleChoice": Head(_score_choices, "logits_proj", dropout="summary_first_dropout"),
        "AutoModelForTokenClassification": Head(bert.classify_tokens, "classifier"),
        "AutoModelForQuestionAnswering": Head(bert.find_spans, "qa_outputs"),
        "AutoModelForMaskedLM": Head(_score_words, "pred_layer.proj"),
    },
    config_bounds=Bounds,
    sizes={"tiny": _shape(64, 2, 4), "base": _shape(1024, 12, 8), "large": _shape(1280, 16, 16)},
    random_settings=_random_settings,
    identity=IDENTITY,
    dropouts={"hidden": "dropout", "attention": "attention_dropout"},
    max_length=lambda config: config.max_position_embeddings,
    token_types=lambda config: None,
    languages=_languages,
    shapes=_shapes,
    words=_words,
    embed=_embed,
    run=_run,
)
