"""Labels and columns of natural language inference, shared by xnli, mnli, snli and sick.

The shared order matters: an encoder trained on one task is compared on the others by label index.
"""

from __future__ import annotations

LABELS = ("contradiction", "entailment", "neutral")
ALIASES = {"contradictory": "contradiction", "c": "contradiction", "e": "entailment", "n": "neutral"}
NO_CONSENSUS = ("-",)
HUB_LABEL_NAMES = ("entailment", "neutral", "contradiction")

# names of the columns in the files of MultiNLI, SNLI, XNLI and their translations
FIRST, SECOND = ("premise", "sentence1"), ("hypo", "hypothesis", "sentence2")
LABEL = ("gold_label", "label")
