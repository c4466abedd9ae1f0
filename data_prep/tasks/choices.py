"""Multiple choice as publishers write it: COPA's questions, and choices in fields of their own."""

from __future__ import annotations

from typing import Any

# As COPA asks (Roemmele et al. 2011): in English for every language, as jiant and its users do.
QUESTIONS = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}
COPA_COLUMNS = {name: (name,) for name in ("premise", "question", "choice1", "choice2", "label")}
COPA_HUB_COLUMNS = {name: name for name in COPA_COLUMNS}


def asked_in_words(values: dict[str, Any]) -> dict[str, Any]:
    """Values with COPA's `cause` or `effect` as a question; another question stays as it is."""
    return values | {"question": QUESTIONS.get(str(values.get("question")), values.get("question"))}


def counted_from_zero(values: dict[str, Any]) -> dict[str, Any]:
    """Values with the index of a publisher who counts choices from 1 on; another label stays, to be refused."""
    label = str(values.get("label", "")).strip()
    return values | {"label": str(int(label) - 1) if label.isascii() and label.isdigit() else label}
