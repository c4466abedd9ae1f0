"""Tokenizers of cells: fingerprint, loading without remote code, and location of the copy beside the cells."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

TOKENIZERS_FOLDER = "tokenizers"


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """SHA-256 (hex) of the backend tokenizer's JSON without truncation and padding, which are settings of a call."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["truncation"] = state["padding"] = None
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def read_tokenizer(source: str) -> Any:
    """Load the tokenizer at `source`, a folder or a name on the hub, without remote code.

    Raises OSError if there is none, ValueError with the reason if it cannot be read.
    """
    from transformers import AutoTokenizer  # slow to import, and reading cells needs none

    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a damaged file makes the tokenizers library panic, which is not an Exception
        raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}") from None


def tokenizer_dir(root: str | Path, fingerprint: str) -> Path:
    """Folder of the tokenizer with this fingerprint beside the cells below `root`."""
    return Path(root) / TOKENIZERS_FOLDER / fingerprint[:12]
