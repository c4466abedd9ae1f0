"""Tokenizers of cells: fingerprint, loading without remote code, and the copy kept beside the cells.

The copy lies in `<root>/tokenizers/<first 12 hex digits of its fingerprint>/`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

TOKENIZERS_FOLDER = "tokenizers"


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """sha256 (hex) of the backend tokenizer's JSON without truncation and padding, which are settings of a call."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["truncation"] = state["padding"] = None
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def read_tokenizer(source: str) -> Any:
    """The tokenizer at `source`, a folder or a name on the hub, without any code of its own.

    Raises OSError where there is none, ValueError with the reason where it cannot be read.
    """
    from transformers import AutoTokenizer  # slow to import, and not needed to read cells

    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # damage makes the tokenizers library panic, which is no Exception
        raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}") from None


def tokenizer_dir(root: str | Path, fingerprint: str) -> Path:
    """Where the cells below `root` keep the tokenizer with this fingerprint."""
    return Path(root) / TOKENIZERS_FOLDER / fingerprint[:12]
