"""Languages of cells against those that a model has embeddings of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from data_prep.base.errors import InputError
from data_prep.languages import canonical_code
from trainer.kinds.languages import languages_of_texts
from trainer.model.encoders import FAMILIES


def check_languages(config: Any, languages: Iterable[str]) -> None:
    """Raise InputError for a language that a model with language embeddings has none of."""
    known = FAMILIES[config.model_type].languages(config)
    codes = {code for language in languages for code in languages_of_texts(language)}
    if known is not None and (unknown := sorted(code for code in codes if canonical_code(code) not in known)):
        raise InputError(f"model: {config.model_type} with language embeddings, but none for {', '.join(unknown)}; it "
                         f"has {', '.join(sorted(known))[:300]}; leave these languages out, or take another model")
