"""Languages of tokens in a batch, as numbers: of use to encoders with language embeddings (XLM)."""

from __future__ import annotations

import re

LONGEST_CODE = 7  # bytes, which fit into an int64


def base_code(language: str) -> str:
    """A language's code without script or region: `zh` of `zh_Hans` and of `zh-CN`."""
    return re.split("[_-]", language, maxsplit=1)[0]


def language_number(language: str) -> int:
    """Number of a language in `Batch.languages`: the first bytes of its base code."""
    return int.from_bytes(base_code(language).encode()[:LONGEST_CODE], "big")
