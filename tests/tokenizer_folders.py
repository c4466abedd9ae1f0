"""Small tokenizers of every encoder family, trained here, in folders laid out as the hub has them.

Each function writes into an empty folder. `config.json` names the model type, by which transformers chooses the
tokenizer's class where `tokenizer_config.json` does not.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = (
    "the dog runs and the cat sleeps in the old house.", "der Hund läuft nicht, die Katze schläft!",
    "狗跑了，猫睡在公园里。", "สุนัขวิ่งเร็วมาก แมวนอน", "الكلب يجري في الشارع", "собака бежит быстро по улице",
    "café naïve 😀 e-mail: a@b.c 12345", "mbwa anakimbia nyumbani kwa mama", "कुत्ता दौड़ता है", "een hond, a dog",
) * 20
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
GEMMA_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
LLAMA_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
               r"\s*[\r\n]+|\s+(?!\S)|\s+")


def _json(folder: Path, **files: Mapping[str, Any]) -> None:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _sentencepiece(file: Path, **pieces: Any) -> None:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=written, model_type="unigram", vocab_size=200, minloglevel=2,
        hard_vocab_limit=False, character_coverage=1.0, normalization_rule_name="nmt_nfkc", **pieces)
    file.write_bytes(written.getvalue())


def _template(tokens: tuple[tuple[str, int], tuple[str, int]]) -> Any:
    (first, _), (last, _) = tokens
    return processors.TemplateProcessing(single=f"{first} $A {last}", pair=f"{first} $A {last} $B:1 {last}:1",
                                         special_tokens=list(tokens))


def xlm_roberta(folder: Path) -> None:
    """XLM-R and XLM-V: SentencePiece's own file and no tokenizer.json."""
    _json(folder, config={"model_type": "xlm-roberta"})
    _sentencepiece(folder / "sentencepiece.bpe.model", unk_id=0, bos_id=1, eos_id=2, pad_id=-1)


def minilm(folder: Path) -> None:
    """Multilingual-MiniLM and multilingual-e5-small: XLM-R's tokenizer beside a BERT model."""
    xlm_roberta(folder)
    _json(folder, config={"model_type": "bert"}, tokenizer_config={"tokenizer_class": "XLMRobertaTokenizer"})


def gte(folder: Path) -> None:
    """gte-multilingual: XLM-R's tokenizer, saved by transformers with truncation and padding switched on."""
    from transformers import AutoTokenizer

    xlm_roberta(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer(["a", "b c"], padding=True, truncation=True, max_length=9)
    tokenizer.save_pretrained(folder)
    (folder / "sentencepiece.bpe.model").unlink()
    _json(folder, config={"model_type": "gte"})


def bert(folder: Path) -> None:
    """mBERT and LaBSE: vocab.txt, cased."""
    _json(folder, config={"model_type": "bert"}, tokenizer_config={"do_lower_case": False, "model_max_length": 512})
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer(lowercase=False)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=260, special_tokens=list(BERT_TOKENS)))
    vocabulary = trained.get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)), encoding="utf-8")


def deberta_v2(folder: Path) -> None:
    """mDeBERTa-v3: SentencePiece's own file with BERT's special tokens, and no tokenizer.json."""
    _json(folder, config={"model_type": "deberta-v2"}, tokenizer_config={"do_lower_case": False, "vocab_type": "spm"})
    _sentencepiece(folder / "spm.model", pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]",
                   eos_piece="[SEP]", unk_piece="[UNK]")


def modernbert(folder: Path) -> None:
    """mmBERT: Gemma 2's BPE with byte fallback; no cls and sep, but bos and eos."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    pieces = [*GEMMA_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256))]
    trained.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=600, special_tokens=pieces))
    state = json.loads(trained.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in GEMMA_TOKENS]
    gemma = Tokenizer.from_str(json.dumps(state))
    gemma.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")  # as in Gemma's file: never matches
    gemma.post_processor = _template((("<bos>", 2), ("<eos>", 1)))
    gemma.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    gemma.save(str(folder / "tokenizer.json"))
    _json(folder, config={"model_type": "modernbert"}, tokenizer_config={
        "tokenizer_class": "GemmaTokenizerFast", "model_input_names": ["input_ids", "attention_mask"],
        **{f"{token.strip('<>')}_token": token for token in GEMMA_TOKENS}})


def eurobert(folder: Path) -> None:
    """EuroBERT: Llama 3's byte-level BPE; no cls, sep and unk."""
    trained = Tokenizer(models.BPE(ignore_merges=True))
    trained.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA_WORDS), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trained.train_from_iterator(SENTENCES, trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    names = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", "mask_token": "<|mask|>",
             "pad_token": "<|pad|>"}
    trained.add_special_tokens(list(names.values()))
    first, last = names["bos_token"], names["eos_token"]
    trained.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), _template(
        ((first, trained.token_to_id(first)), (last, trained.token_to_id(last))))])
    trained.decoder = decoders.ByteLevel()
    trained.save(str(folder / "tokenizer.json"))
    _json(folder, config={"model_type": "eurobert"}, tokenizer_config={
        "tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"], **names})


FOLDERS: dict[str, Callable[[Path], None]] = {
    "xlm_roberta": xlm_roberta, "minilm": minilm, "gte": gte, "bert": bert, "deberta_v2": deberta_v2,
    "modernbert": modernbert, "eurobert": eurobert,
}
