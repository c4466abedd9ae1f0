"""XNLI (Conneau et al. 2018): natural language inference in 15 languages, rows aligned over all of them."""

from __future__ import annotations

from data_prep.tasks.nli_labels import ALIASES, HUB_LABEL_NAMES, LABELS, NO_CONSENSUS
from data_prep.tasks.task import LANGUAGE, XTREME_PAIR, Hub, Layout, Task

XNLI = Task(
    name="xnli",
    summary="natural language inference, 15 languages",
    kind="pair",
    metric="accuracy",
    labels=LABELS,
    aliases=ALIASES,
    no_consensus=NO_CONSENSUS,
    languages=("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"),
    parallel=("train", "dev", "test"),
    layouts=(
        XTREME_PAIR,
        # XNLI-MT 1.0: MultiNLI's training set in every language
        Layout(rf"(?:multinli/)?multinli\.(?P<split>train)\.{LANGUAGE}\.tsv", header=True,
               first=("premise", "sentence1"), second=("hypo", "hypothesis", "sentence2"), label=("label",)),
    ),
    hub=Hub(repo="facebook/xnli", config="{language}",
            splits={"train": "train", "dev": "validation", "test": "test"},
            first="premise", second="hypothesis", label="label", label_names=HUB_LABEL_NAMES),
)
