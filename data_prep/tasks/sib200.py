"""SIB-200 (Adelani et al. 2024, arXiv 2309.07445): topic of FLORES sentences in 205 languages, `eng_Latn` and so on.

`languages` names a few; all configurations of the hub are found.
"""

from __future__ import annotations

from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task

SIB200 = Task(
    name="sib200",
    summary="topics of sentences, 205 languages",
    kind="pair",
    metric="accuracy",
    further_metrics=("f1",),
    labels=("entertainment", "geography", "health", "politics", "science/technology", "sports", "travel"),
    languages=("eng_Latn", "deu_Latn", "fin_Latn", "quy_Latn", "swh_Latn", "tam_Taml", "yor_Latn", "zho_Hans"),
    parallel=("train", "dev", "test"),
    layouts=(
        Layout(rf"(?:(?:data/)?annotated/)?{LANGUAGE}/(?P<split>train|dev|test)\.tsv", "annotated/eng_Latn/train.tsv",
               header=True, columns={"first": ("text",), "label": ("category",)}, key=("index_id",)),
    ),
    hub=Hub(repo="Davlan/sib200", config="{language}",
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"first": "text", "label": "category"}, key="index_id"),
)
