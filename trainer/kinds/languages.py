"""Languages of tokens in a batch, as numbers: of use to encoders with language embeddings (XLM)."""

from __future__ import annotations

from data_prep.languages import TWO_LANGUAGES, canonical_code

LONGEST_CODE = 7  # bytes, which fit into an int64


def languages_of_texts(language: str) -> tuple[str, str]:
    """Languages of the first and the second texts of a cell: of bitext (`de_en`) one each."""
    parts = language.split("_")
    return (parts[0], parts[1]) if len(parts) == 2 and TWO_LANGUAGES.fullmatch(language) else (language, language)


def language_number(language: str) -> int:
    """Number of a language in `Batch.languages`, equal for all its codes: the first bytes of the canonical one."""
    return int.from_bytes(canonical_code(language).encode()[:LONGEST_CODE], "big")
