"""Universal NER 1.0 (Mayhew et al. 2024, arXiv 2311.09122): named entities in 18 treebanks of Universal Dependencies.

Cells are named by treebank (`en_ewt`), as several languages have two. Not confirmed at the source: that a tag of the
type OTH, which the label set lacks, counts as O, and the columns of the hub.
"""

from __future__ import annotations

from data_prep.tasks.tags import iob
from data_prep.tasks.task import Hub, Layout, Task

UNER = Task(
    name="uner",
    summary="named entities, 18 treebanks of 12 languages",
    kind="tagging",
    metric="span_f1",
    labels=iob("PER", "ORG", "LOC"),
    aliases={"B-OTH": "O", "I-OTH": "O"},
    languages=("ceb_gja", "da_ddt", "de_pud", "en_ewt", "en_pud", "hr_set", "pt_bosque", "pt_pud", "ru_pud", "sk_snk",
               "sr_set", "sv_pud", "sv_talbanken", "tl_trg", "tl_ugnayan", "zh_gsd", "zh_gsdsimp", "zh_pud"),
    layouts=(
        Layout(r"(?:[^/]+/)?(?P<language>[a-z]{2,3}_[a-z0-9]+)-ud-(?P<split>train|dev|test)\.iob2",
               "en_ewt-ud-train.iob2", format="conllu", columns={"words": 1, "tags": 2}),
    ),
    hub=Hub(repo="BramVanroy/universal_ner", config="{language}",
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"words": "tokens", "tags": "ner_tags"}),
)
