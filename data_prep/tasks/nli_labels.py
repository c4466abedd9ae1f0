"""Labels and columns of natural language inference, shared by xnli, mnli, snli and sick.

The shared order matters: an encoder trained on one task is compared on the others by label index.
"""

from __future__ import annotations

LABELS = ("contradiction", "entailment", "neutral")
ALIASES = {"contradictory": "contradiction", "c": "contradiction", "e": "entailment", "n": "neutral"}
NO_CONSENSUS = ("-",)
HUB_LABEL_NAMES = ("entailment", "neutral", "contradiction")

# columns in the files of MultiNLI, SNLI, XNLI and their translations, and on the hub
COLUMNS = {"first": ("premise", "sentence1"), "second": ("hypo", "hypothesis", "sentence2"),
           "label": ("gold_label", "label")}
HUB_COLUMNS = {"first": "premise", "second": "hypothesis", "label": "label"}
