"""Dictionaries of a model: constructed weights whose answer is known, and a plain loop with transformers."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaForMaskedLM
from transformers import XLMRobertaForSequenceClassification as Classifier

from data_prep.augment.code_mix import load_dictionaries
from data_prep.base.errors import InputError
from data_prep.build import build_task
from data_prep.planning import Settings
from data_prep.shards.read import open_cell
from data_prep.shards.tokenizers import read_tokenizer
from tests.tokenizer_folders import FOLDERS
from tests.trainer.small_runs import tree_of
from trainer.kinds.mlm import KIND
from trainer.kinds.tokens import tokens_of
from trainer.model.site import SiteModel
from trainer.robust.settings import DEFAULT_SITE
from trainer.shaping import words
from trainer.shaping.dictionary import dictionary, propose, score

NOUNS = ("dog", "cat", "tree", "house", "river", "bird")
OTHERS = ("mbwa", "paka", "mti", "nyumba", "mto", "ndege")
CONTEXTS = ("barks", "purrs", "grows", "stands", "flows", "flies")
FRAME, THEIR_FRAME = ("the", "certainly"), ("kwa", "sana")
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
VOCABULARY = (*SPECIALS, *FRAME, *THEIR_FRAME, *NOUNS, *OTHERS, *CONTEXTS)
WIDTH = 24


def write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>").save_pretrained(folder)


def config() -> XLMRobertaConfig:
    return XLMRobertaConfig(
        vocab_size=len(VOCABULARY), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4,
        max_position_embeddings=20, type_vocab_size=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def constructed() -> Any:
    """A model whose mask holds the mean of its context, in which a noun's context has the vector of its translation.

    `kwa` is preferred everywhere by its bias, as a frequent word is.
    """
    model: Any = XLMRobertaForMaskedLM(config())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        vectors_VH = model.roberta.embeddings.word_embeddings.weight
        for i, (context, other) in enumerate(zip(CONTEXTS, OTHERS, strict=True)):
            vectors_VH[VOCABULARY.index(context), i] = vectors_VH[VOCABULARY.index(other), i] = 3.0
        model.lm_head.bias[VOCABULARY.index("kwa")] = 50.0
        layer, eye = model.roberta.encoder.layer[0], torch.eye(WIDTH)
        for linear in (layer.attention.self.value, layer.attention.output.dense, model.lm_head.dense):
            linear.weight.copy_(eye)
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1.0)
    return model


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells: pairs of sentences, each a noun with its verb, nine times; and text of the other language."""
    root = tmp_path_factory.mktemp("dictionary")
    write_tokenizer(root / "tokenizer")
    (root / "text").mkdir()
    (root / "xnli").mkdir()
    pairs = [(f"the {noun} {verb}", f"{noun} certainly {verb}") for noun, verb in zip(NOUNS, CONTEXTS, strict=True)]
    (root / "xnli/train-en.tsv").write_text("".join(f"{a}\t{b}\tneutral\n" for a, b in pairs * 9), encoding="utf-8")
    lines = [f"{noun} kwa {other} sana mbwa" for noun in OTHERS for other in OTHERS] + ["the dog kwa"] * 5
    (root / "text/train-sw.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for task in ("xnli", "text"):
        build_task(task, str(root / task), None, "train", Settings(str(root / "tokenizer"), root / "shards", 16, 1))
    constructed().save_pretrained(root / "model")
    torch.manual_seed(0)
    drawn = XLMRobertaForMaskedLM(XLMRobertaConfig(**{**config().to_dict(), "initializer_range": 1.0}))
    drawn.save_pretrained(root / "random")
    Classifier(config()).save_pretrained(root / "headless")
    return root


def make(root: Path, model: str, out: Path, **flags: object) -> dict[str, list[str]]:
    dictionary(str(root / model), cells="xnli/train/en", out=str(out), shards=str(root / "shards"),
               **{"text": "text/train/sw", **flags})  # type: ignore[arg-type]
    found: dict[str, list[str]] = json.loads(out.read_text(encoding="utf-8"))
    return found


def test_translations_that_the_weights_hold_are_first(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                      ) -> None:
    found = make(root, "model", tmp_path / "sw.json", candidates=2)
    assert {word: found[word][0] for word in NOUNS} == dict(zip(NOUNS, OTHERS, strict=True))
    assert set(found) == {*NOUNS, *CONTEXTS, "certainly"}  # "the" is a function word
    assert {len(others) for others in found.values()} == {2}
    assert set().union(*found.values()) <= {*OTHERS, *THEIR_FRAME}
    assert load_dictionaries(f"sw={tmp_path / 'sw.json'}")["sw"] == found
    assert "1 function words" in capsys.readouterr().out
    written = tree_of(tmp_path)
    make(root, "model", tmp_path / "sw.json", candidates=2)
    assert tree_of(tmp_path) == written
    assert "skipped" in capsys.readouterr().out
    with pytest.raises(InputError, match="is there, made with other candidates"):
        make(root, "model", tmp_path / "sw.json", candidates=3)


def test_candidates_are_those_of_a_plain_loop(root: Path, tmp_path: Path) -> None:
    """All places, one by one, log-probabilities over the whole vocabulary; at any size of batch, and again."""
    model = AutoModelForMaskedLM.from_pretrained(root / "random").eval()
    tokenizer = read_tokenizer(str(root / "tokenizer"))
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(VOCABULARY)))
    counts = Counter[str]()
    for line in sorted(set((root / "xnli/train-en.tsv").read_text(encoding="utf-8").splitlines())):
        texts = [text.split() for text in line.split("\t")[:2]]
        for part, text in enumerate(texts):
            for at, word in enumerate(text):
                masked = [[*text[:at], "<mask>", *text[at + 1:]] if i == part else other
                          for i, other in enumerate(texts)]
                ids = tokenizer(*map(" ".join, masked), return_tensors="pt")["input_ids"]
                with torch.no_grad():
                    logits_LV = model(ids).logits[0]
                sums[word] += torch.log_softmax(logits_LV[(ids[0] == 4)][0].double(), -1).numpy()
                counts[word] += 1
    chosen = [word for word in sums if word != "the"]
    means = np.array([sums[word] / counts[word] for word in chosen])
    typical = [VOCABULARY.index(word) for word in (*THEIR_FRAME, *OTHERS)]
    less = (means - means.mean(0))[:, typical]
    expected = {word: [VOCABULARY[typical[i]] for i in np.argsort(-row)[:3]]
                for word, row in zip(chosen, less, strict=True)}
    found = [make(root, "random", tmp_path / f"{size}.json", candidates=3, occurrences=1000, batch_size=size)
             for size in (64, 7)]
    assert found == [expected, expected]
    again = make(root, "random", tmp_path / "again.json", candidates=3, occurrences=5)
    assert again == make(root, "random", tmp_path / "twice.json", candidates=3, occurrences=5)


@pytest.mark.parametrize(("model", "flags", "says"), [
    ("headless", {}, "has no head of masked language modelling .missing: lm_head"),
    ("model", {"candidates": 0}, "--candidates must be at least 1"),
    ("model", {"text": "text/train/tr"}, "no finished cell text/train/tr"),
    ("model", {"text": "xnli/train/en"}, "no token is a word typical of it"),
    ("model", {"out": "sw.txt"}, "--out must be a .json file"),
])
def test_refused(root: Path, tmp_path: Path, model: str, flags: dict[str, object], says: str) -> None:
    out = tmp_path / "new" / str(flags.pop("out", "sw.json"))
    with pytest.raises(InputError, match=says):
        make(root, model, out, **flags)
    assert not list(tmp_path.rglob("*.json"))


def test_words_whose_places_are_cut_off_have_no_entry(root: Path) -> None:
    """Of two texts of three words eight tokens leave two each: the verbs, third, are lost."""
    cell = open_cell(root / "shards/xnli/train/en")
    tokenizer = read_tokenizer(str(root / "tokenizer"))
    pieces = words.pieces_of(tokenizer, len(VOCABULARY))
    chosen, _ = words.source_words(words.find_words([cell], pieces, 100, 0, 4), tokenizer, 100, 4)
    ids = np.array([VOCABULARY.index(other) for other in OTHERS])
    scores, cut = score(SiteModel(constructed(), KIND, DEFAULT_SITE), list(chosen.values()), ids,
                        tokens_of(cell.manifest.tokenizer), 8, "en", 64, torch.device("cpu"))
    assert cut == 4 * len(CONTEXTS)
    found = {word for word, row in zip(chosen, scores, strict=True) if propose(word, row, ids, pieces, 2)}
    assert found == {*NOUNS, "certainly"}


@pytest.mark.parametrize("family", ["xlm_roberta", "bert", "deberta_v2", "modernbert", "eurobert"])
def test_words_of_every_tokenizer(tmp_path: Path, family: str) -> None:
    """Spans of tokens decode to the words of a text, punctuation behind them cut off."""
    FOLDERS[family](tmp_path)
    tokenizer = read_tokenizer(str(tmp_path))
    pieces = words.pieces_of(tokenizer, len(tokenizer))
    text = "the dog runs and the cat sleeps in the old house"
    stop = "" if family == "modernbert" else "."  # there "house." is one token
    ids = np.array(tokenizer(text + stop, add_special_tokens=False)["input_ids"], dtype=np.int32)
    spans = [tokenizer.backend_tokenizer.decode(ids[begin:end].tolist()).strip()
             for begin, end in words._spans(ids, pieces)]
    assert spans == text.split()
