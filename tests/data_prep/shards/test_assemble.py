"""Input templates and assembled inputs against the tokenizers' own calls: XLM-R's, BERT's, and stranger ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from data_prep.base.errors import InputError
from data_prep.shards.assemble import assemble, token_types
from data_prep.shards.template import InputTemplate, derive_template
from data_prep.tokenizer import describe_tokenizer, load_tokenizer

XLMR = InputTemplate(single="0 A 2", pair="0 A 2 2 B 2")
BERT = InputTemplate(single="2 A 3", pair="2 A 3 B:1 3:1")
WORDS = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "cat", "▁"])}
NAMES = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]", "unk_token": "[UNK]"}
SPECIALS = [("[CLS]", 2), ("[SEP]", 3)]


def tokenizer_with(processor: Any) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece(WORDS, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if processor is not None:
        backend.post_processor = processor
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=["input_ids", "token_type_ids"], **NAMES)


def templated(single: str, pair: str) -> Any:
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=SPECIALS)


LIKE = {
    "bert": (processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)), BERT),
    "roberta": (processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)),
                InputTemplate(single="2 A 3", pair="2 A 3 3 B 3")),
    "xlnet": (templated("$A [SEP] [CLS]:2", "$A [SEP] $B:1 [SEP]:1 [CLS]:2"),
              InputTemplate(single="A 3 2:2", pair="A 3 B:1 3:1 2:2")),
    "none": (None, InputTemplate(single="A", pair="A B:1")),
}


@pytest.mark.parametrize("name", LIKE)
@pytest.mark.parametrize("max_length", [8, 9, 21])
def test_template_and_inputs_equal_the_tokenizers_own(name: str, max_length: int) -> None:
    processor, expected = LIKE[name]
    tokenizer = tokenizer_with(processor)
    template = derive_template(tokenizer)
    assert template == expected
    for n_first in range(0, 2 * max_length, 3):
        for n_second in range(0, 2 * max_length, 2):
            texts = ["dog " * n_first, *(["cat " * n_second] if n_second else [])]
            own = tokenizer(*texts, truncation="longest_first", max_length=max_length)
            assert assemble([5] * n_first, [6] * n_second, max_length, template).tolist() == own["input_ids"]
            assert token_types(n_first, n_second, max_length, template).tolist() == own["token_type_ids"]


@pytest.mark.parametrize("max_length", [8, 9, 32, 33])
def test_inputs_equal_those_of_xlmr(tokenizer_folder: Path, max_length: int) -> None:
    tokenizer = load_tokenizer(str(tokenizer_folder))
    template = derive_template(tokenizer)
    assert template == XLMR
    backend = tokenizer.backend_tokenizer
    assert len(tokenizer.tokenize("dog")) == 1
    backend.enable_truncation(max_length, strategy="longest_first")
    for n_first in range(0, 2 * max_length, 3):
        for n_second in range(1, 2 * max_length, 2):
            own = backend.encode("dog " * n_first, "cat " * n_second).ids
            first = [tokenizer.convert_tokens_to_ids("▁dog")] * n_first
            second = [tokenizer.convert_tokens_to_ids("▁cat")] * n_second
            assert assemble(first, second, max_length, template).tolist() == own


def test_assemble_takes_lists_and_arrays() -> None:
    expected = [0, 5, 6, 2, 2, 7, 2]
    assert assemble([5, 6], [7], 16, XLMR).tolist() == expected
    assert assemble(np.array([5, 6], dtype=np.int32), np.array([7]), 16, XLMR).tolist() == expected
    single = assemble([5, 6], [], 16, XLMR)
    assert (single.tolist(), single.dtype) == ([0, 5, 6, 2], np.int64)
    assert assemble([5, 6, 7], [], 4, XLMR).tolist() == [0, 5, 6, 2]


def test_padding_and_truncation_of_the_tokenizer_leave_no_trace() -> None:
    tokenizer = tokenizer_with(LIKE["bert"][0])
    tokenizer.backend_tokenizer.enable_padding(length=12)
    tokenizer.backend_tokenizer.enable_truncation(3)
    assert derive_template(tokenizer) == BERT


def test_templates_that_cannot_be() -> None:
    with pytest.raises(InputError, match="special tokens are '2 2 2 2 2 A' around one text"):
        derive_template(tokenizer_with(templated("[CLS] [CLS] [CLS] [CLS] [CLS] $A", "$A [SEP] $B")))
    with pytest.raises(InputError, match="expected the texts in order"):
        derive_template(tokenizer_with(templated("$A", "$B [SEP] $A")))
    for single in ("", "B", "A A", "A -1", "A 12345678901", "A;"):
        with pytest.raises(pydantic.ValidationError):
            InputTemplate(single=single, pair="A B")


def test_special_tokens_of_the_template_lie_in_the_vocabulary() -> None:
    described = describe_tokenizer(tokenizer_with(LIKE["bert"][0]), "bert")
    assert described.template == BERT
    fields = described.model_dump()
    for template, vocab_size, message in (({"single": "9 A", "pair": "A B"}, 8, "outside the vocabulary"),
                                          (fields["template"], 5, "and no other")):
        with pytest.raises(pydantic.ValidationError, match=message):
            type(described).model_validate({**fields, "template": template, "vocab_size": vocab_size})
