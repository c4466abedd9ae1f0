"""Finished runs of tiny random models with a tokenizer of a few words, for predictions on sentences."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from data_prep.base.files import write_json
from data_prep.shards.tokenizers import tokenizer_fingerprint
from data_prep.tokenizer import describe_tokenizer, make_tokenizer
from tests.run_records import record_of
from trainer.checkpoint.best import write_transformers_folder
from trainer.config.load import dump, load_recipe
from trainer.kinds import KINDS
from trainer.model.encoders import FAMILIES
from trainer.model.heads import own_keys, share_encoder

WORDS = ("a", "man", "dog", "house", "sleeps", "runs", "is", "old", "new", "in", "the", "big", "small", "red", "nobody",
         "awake", "who", "where", "eats", "sees", "cat", "tree", "park", "he", "she", "it", "they", "not")
NLI = ("contradiction", "entailment", "neutral")
TAGS = ("O", "B-PER", "I-PER")


def tokenizer() -> Any:
    """One piece per word, and one per letter for all others."""
    pieces = [(f"▁{word}", -1.0) for word in WORDS] + [("▁", -3.0)] + [(letter, -5.0) for letter in "abcdefghijklmnop"]
    return make_tokenizer(pieces)


def model_of(kind: str, labels: Sequence[str], seed: int = 0) -> Any:
    """A tiny XLM-R whose weights are large enough for decided predictions that depend on the text."""
    family, about = FAMILIES["xlm-roberta"], describe_tokenizer(tokenizer(), "words")
    config = family.random_config("tiny", about.vocab_size, 64, pad_id=about.pad_id)
    outputs = KINDS[kind].outputs
    if outputs is not None:
        config.num_labels = outputs
    else:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: place for place, label in enumerate(labels)}
    torch.manual_seed(seed)
    model = family.auto_class(KINDS[kind].head).from_config(config)
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            parameter.data.mul_(5.0)
    return model.eval()


def write_run(folder: Path, kind: str = "pair", task: str = "xnli", labels: Sequence[str] = NLI,
              others: Mapping[str, tuple[str, Sequence[str]]] | None = None, **fields: Any) -> Path:
    """A finished run of one task, or of a mixture with the tasks `others`, by name: kind and labels."""
    model, words = model_of(kind, labels), tokenizer()
    words.save_pretrained(folder / "tokenizer")
    heads = {}
    for number, (name, (of_kind, of_labels)) in enumerate((others or {}).items()):
        other = model_of(of_kind, of_labels, seed=number + 1)
        share_encoder(model, other)
        heads[name] = (other, {key: copy.deepcopy(other.state_dict()[key]) for key in own_keys(other)})
    write_transformers_folder(model, dict(model.state_dict()), folder / "tokenizer", folder / "best", heads)
    recipe = folder / "recipe.yaml"
    recipe.write_text("model: {random: tiny}\nschedule: {max_steps: 1}\ndata: {train: [xnli/train/en]}\n"
                      "robust: {method: pgd, epsilon: 0.1}\n", encoding="utf-8")
    (folder / "config.yaml").write_text(dump(load_recipe(str(recipe))), encoding="utf-8")
    about = describe_tokenizer(words, "words")
    metric = {name: KINDS[one].metrics[0] for name, (one, _) in {task: (kind, labels), **(others or {})}.items()}
    tasks = {name: {"kind": one, "labels": list(of), "metric": metric[name]}
             for name, (one, of) in {task: (kind, labels), **(others or {})}.items()}
    write_json(folder / "run.json", record_of(**{
        "name": folder.name, "method": "pgd", "kind": kind, "labels": list(labels), "metric": metric[task],
        "task": task, "max_length": 32, "status": "done", "site_norm": 2.0, "oracle_by_cell": {},
        "selection": {"step": 1}, "shards_path": str(folder / "nowhere"),
        "tokenizer": {"name": "words", "fingerprint": tokenizer_fingerprint(words), "vocab_size": about.vocab_size},
        **({"tasks": tasks, "best_task": task} if others else {}), **fields}))
    write_json(folder / "done.json", {"step": 1})
    return folder
