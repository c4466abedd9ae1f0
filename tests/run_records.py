"""Records of runs (`run.json`) for tests that need no training."""

from __future__ import annotations

from typing import Any


def record_of(**fields: Any) -> dict[str, Any]:
    """The least that a record of a run that has begun holds, with `fields` in it."""
    return {"name": "a", "label": "a", "method": "plain", "seed": 0, "kind": "pair", "labels": ["x", "y"],
            "metric": "accuracy", "max_length": 16, "mask_ratio": 0.15, "train_languages": ["en"],
            "shards_root": "shards", "tokenizer": {"name": "t", "fingerprint": "0" * 64, "vocab_size": 100}, **fields}
