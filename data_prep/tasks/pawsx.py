"""PAWS-X (Yang et al. 2019): paraphrase identification in 7 languages, rows aligned in dev and test.

Labels differ between languages for the same row (1.6 %), so each language keeps its own.
"""

from __future__ import annotations

from data_prep.tasks.task import LANGUAGE, XTREME_PAIR, Hub, Layout, Task

PAWSX = Task(
    name="pawsx",
    summary="paraphrase identification, 7 languages",
    kind="pair",
    metric="accuracy",
    labels=("0", "1"),
    languages=("de", "en", "es", "fr", "ja", "ko", "zh"),
    parallel=("dev", "test"),
    label_tolerance=0.03,
    placeholders=("NS",),  # in place of a sentence that was not translated
    layouts=(
        XTREME_PAIR,
        # the publishers' archive: x-final/<language>/
        Layout(rf"(?:x-final/)?{LANGUAGE}/(?P<split>train|translated_train|dev_2k|test_2k)\.tsv",
               "x-final/de/dev_2k.tsv", header=True,
               splits={"train": "train", "translated_train": "train", "dev_2k": "dev", "test_2k": "test"},
               columns={"first": ("sentence1",), "second": ("sentence2",), "label": ("label",)}, key=("id",)),
    ),
    hub=Hub(repo="google-research-datasets/paws-x", config="{language}",
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"first": "sentence1", "second": "sentence2", "label": "label"},
            label_names=("0", "1"), key="id"),
)
