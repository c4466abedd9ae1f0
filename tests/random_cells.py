"""Small cells of random token ids with a learnable label, for tests that need shards but no tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.kinds import KINDS
from data_prep.shards.assemble import kept_tokens
from data_prep.shards.manifest import Manifest, TokenizerInfo
from data_prep.shards.template import InputTemplate
from data_prep.shards.write import write_cell

VOCABULARY = 60
PLAIN = InputTemplate(single="0 A 2", pair="0 A 2 2 B 2")
TYPED = InputTemplate(single="0 A 2", pair="0 A 2 B:1 2:1")
"""As of a tokenizer with token types."""
LABELS = ["contradiction", "entailment", "neutral"]
TAGS = ["O", "B-PER", "I-PER"]
ALIASES = {"contradictory": "contradiction", "c": "contradiction", "e": "entailment", "n": "neutral"}
TOKENIZER = TokenizerInfo(name="random", fingerprint="0" * 64, vocab_size=VOCABULARY, cls_id=0, sep_id=2, pad_id=1,
                          mask_id=VOCABULARY - 1, unk_id=3, template=PLAIN)


def _span_qa(batch: dict[str, Any], labelled: bool, template: InputTemplate) -> dict[str, Any]:
    """Questions: of four rows the last is a second window of the third, and the first has no answer; of every
    second four the second has an answer that occurs nowhere.

    Pieces are letters with a space between; the span follows from the first token of the question.
    """
    rows, lengths = np.arange(len(batch["id"])), np.array([len(ids) for ids in batch["second_ids"]])
    tokens = np.array([ids[0] for ids in batch["first_ids"]])
    window = (rows % 4 == 3).astype(np.int64)
    start = np.where(rows % 4 == 0, -1, np.where(rows % 8 == 5, -2, tokens % lengths))
    frame = template.frames[1]
    first_lengths = np.array([len(ids) for ids in batch["first_ids"]])
    offsets = [[at for piece in range(size) for at in (2 * piece, 2 * piece + 1)] for size in lengths.tolist()]
    texts = [" ".join(chr(97 + token % 26) for token in ids) for ids in batch["second_ids"]]
    batch |= {
        "id": batch["id"] - window, "window": window, "start": start, "offsets": offsets, "context": texts,
        "end": np.where(start < 0, start, np.minimum(start + tokens % 3, lengths - 1)),
        "context_at": len(frame.before[0]) + first_lengths + len(frame.between[0]),
        "answers": [["" if begin == -1 else "a"] for begin in start.tolist()], "language": ["en"] * len(rows),
        "nullable": np.ones(len(rows), dtype=np.int64)}
    return {"labels": [], "metric": "answer_f1"}


def _pair(batch: dict[str, Any], labelled: bool, template: InputTemplate) -> dict[str, Any]:
    batch["label"] = np.array([int(a[0]) % 3 if labelled else -1 for a in batch["first_ids"]])
    return {"labels": LABELS, "label_aliases": ALIASES, "metric": "accuracy"}


def _mlm(batch: dict[str, Any], labelled: bool, template: InputTemplate) -> dict[str, Any]:
    return {"labels": [], "metric": "perplexity"}


def _retrieval(batch: dict[str, Any], labelled: bool, template: InputTemplate) -> dict[str, Any]:
    """The second half of the rows are candidates, row by row for the first."""
    rows, half = len(batch["id"]), len(batch["id"]) // 2
    batch["side"] = (np.arange(rows) >= half).astype(np.int64)
    batch["matches"] = [[str(batch["id"][half + row])] if row < half else [""] for row in range(rows)]
    return {"labels": [], "metric": "accuracy"}


def _regression(batch: dict[str, Any], labelled: bool, template: InputTemplate) -> dict[str, Any]:
    batch["score"] = np.array([int(a[0]) % 11 / 2 if labelled else np.nan for a in batch["first_ids"]])
    return {"labels": [], "metric": "spearman", "further_metrics": ["pearson"], "score_range": (0.0, 5.0)}


def _ranking(batch: dict[str, Any], labelled: bool, template: InputTemplate) -> dict[str, Any]:
    """Queries of four documents each."""
    batch["first_ids"] = [batch["first_ids"][row // 4 * 4] for row in range(len(batch["id"]))]
    batch["score"] = np.array([int(b[0]) % 5 if labelled else np.nan for b in batch["second_ids"]], dtype=float)
    return {"labels": [], "metric": "ndcg", "score_range": (0.0, 4.0)}


def _tagging(batch: dict[str, Any], labelled: bool, template: InputTemplate) -> dict[str, Any]:
    """Sentences of words of two pieces, with the tag of a word by its first; every fifth row is a second window."""
    pieces = batch["first_ids"]
    starts = [np.arange(0, len(ids), 2) for ids in pieces]
    window = (np.arange(len(pieces)) % 5 == 4).astype(np.int64)
    del batch["second_ids"]
    batch |= {
        "id": batch["id"] - np.cumsum(window), "starts": starts,
        "labels": [ids[at] % 3 if labelled else at[:0] for ids, at in zip(pieces, starts, strict=True)],
        "window": window, "length": np.array([len(ids) for ids in pieces]) + template.frames[0].specials}
    return {"labels": TAGS, "metric": "span_f1"}


def _choices(batch: dict[str, Any], labelled: bool, template: InputTemplate) -> dict[str, Any]:
    """Two to four choices: a row's second text, and those of the rows behind it; inputs of 24 tokens or less.

    Right is the choice whose first token is the largest, which a score per choice can learn.
    """
    firsts, seconds, rows = batch["first_ids"], batch["second_ids"], len(batch["id"])
    choices = [[seconds[(row + n) % rows] for n in range(2 + row % 3)] for row in range(rows)]
    batch["second_ids"] = [np.concatenate(of_row) for of_row in choices]
    batch["ends"] = [np.cumsum([len(choice) for choice in of_row]) for of_row in choices]
    batch["label"] = np.array([int(np.argmax([choice[0] for choice in of_row])) if labelled else -1
                               for of_row in choices])
    longest = [len(a) + max(map(len, of_row)) for a, of_row in zip(firsts, choices, strict=True)]
    batch["length"] = np.array(longest, dtype=np.int32) + template.frames[1].specials
    return {"labels": [], "metric": "accuracy"}


BY_KIND: dict[str, Callable[[dict[str, Any], bool, InputTemplate], dict[str, Any]]] = {
    "pair": _pair,
    "mlm": _mlm,
    "retrieval": _retrieval,
    "span_qa": _span_qa,
    "tagging": _tagging,
    "regression": _regression,
    "ranking": _ranking,
    "multiple_choice": _choices,
    "translation_ranking": _choices,
}
"""(batch with its texts, labelled, template) -> fields of the manifest; adds the kind's columns to the batch."""


def write_random_cell(
    root: Path, name: str, rows: int, *, seed: int = 0, kind: str = "pair", max_length: int = 24,
    labelled: bool = True, fingerprint: str = "0" * 64, first_id: int = 0,
    template: InputTemplate = PLAIN, used: int = VOCABULARY - 1,
) -> Path:
    """Write the cell `task/split/language`; the gold answer of a row follows from a first token.

    used: ids from here on are not drawn, as a text reads some of a vocabulary only.
    """
    task, split, language = name.split("/")
    generator = np.random.default_rng(seed)
    first = [generator.integers(4, used, generator.integers(2, 12)).astype(np.int32) for _ in range(rows)]
    second = [generator.integers(4, used, generator.integers(1, 9)).astype(np.int32) for _ in range(rows)]
    batch: dict[str, Any] = {"id": np.arange(first_id, first_id + rows), "first_ids": first, "second_ids": second}
    about = BY_KIND[kind](batch, labelled, template)
    kept = [kept_tokens(len(a), len(b), max_length, template) for a, b in zip(batch["first_ids"], second, strict=True)]
    batch.setdefault("length", np.array([a + b + template.frames[1].specials for a, b in kept], dtype=np.int32))
    draft = Manifest(
        task=task, kind=kind, columns=dict(KINDS[kind].columns), **about, language=language, split=split,
        parallel=split != "train", max_length=max_length,
        tokenizer=TOKENIZER.model_copy(update={"fingerprint": fingerprint, "template": template}),
        source="random", data_prep_version="test")
    write_cell(root / task / split / language, draft, [batch])
    return root / task / split / language
