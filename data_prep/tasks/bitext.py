"""Bitext: sentences and their translations, for translation language modelling (Lample and Conneau 2019, arXiv
1901.07291), which masks words of both.

A cell is named by the languages of its first and second texts: `de_en`. Files are two of aligned lines, as Moses has
them and LASER's Tatoeba (`tatoeba.deu-eng.deu` beside `.eng`), or one with TAB between the texts (`en-de.tsv`).
"""

from __future__ import annotations

from data_prep.tasks.task import Layout, Task

# codes of the two languages, perhaps behind the split or the name of a corpus; without a split it is for training
CODES = (r"(?:.*/)?(?:(?P<split>train|dev|test)[.-]|[^/]*\.)?"
         r"(?P<language>(?P<first>(?!dev|val)[a-z]{2,3})-(?P<second>[a-z]{2,3}))")
LAYOUTS = (
    Layout(rf"{CODES}\.(?:(?P=first)|(?P=second))", "tatoeba.deu-eng.deu", split="train", format="line_pairs",
           columns={}, parts=("{first}", "{second}")),
    Layout(rf"{CODES}\.(?:tsv|txt)", "en-de.tsv", split="train", format="lines", columns={}),
)

BITEXT = Task(
    name="bitext",
    summary="sentences and their translations",
    kind="mlm",
    metric="perplexity",
    labels=(),
    languages=(),
    layouts=LAYOUTS,
)
