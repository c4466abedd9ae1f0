"""Languages of tokens in a batch, as numbers: of use to encoders with language embeddings (XLM)."""

from __future__ import annotations

from data_prep.languages import canonical_code

LONGEST_CODE = 7  # bytes, which fit into an int64


def language_number(language: str) -> int:
    """Number of a language in `Batch.languages`, equal for all its codes: the first bytes of the canonical one."""
    return int.from_bytes(canonical_code(language).encode()[:LONGEST_CODE], "big")
