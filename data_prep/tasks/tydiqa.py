"""TyDiQA-GoldP (Clark et al. 2020): questions by native speakers in 9 languages, asked without sight of the answer.

The publisher's dev set is XTREME's test set, and named so here: checkpoints are not chosen on it.
"""

from __future__ import annotations

from data_prep.tasks.qa_data import FURTHER_METRICS, MAX_LENGTH, METRIC
from data_prep.tasks.task import LANGUAGE, Layout, Task

SPLITS = {"train": "train", "dev": "test"}
NAMES = {"arabic": "ar", "bengali": "bn", "english": "en", "finnish": "fi", "indonesian": "id", "korean": "ko",
         "russian": "ru", "swahili": "sw", "telugu": "te"}

TYDIQA = Task(
    name="tydiqa",
    summary="span question answering, 9 languages",
    kind="span_qa",
    metric=METRIC,
    further_metrics=FURTHER_METRICS,
    labels=(),
    max_length=MAX_LENGTH,
    languages=tuple(NAMES.values()),
    layouts=(
        Layout(rf"(?:tydiqa-goldp-v1\.1-(?:train|dev)/)?tydiqa\.goldp\.{LANGUAGE}\.(?P<split>train|dev)\.json",
               "tydiqa.goldp.en.train.json", splits=SPLITS, format="squad"),
        # the publisher's own two files hold all languages, whose names begin the ids: `swahili-821168-4`
        Layout(r"tydiqa-goldp-v1\.[01]-(?P<split>train|dev)\.json", "tydiqa-goldp-v1.1-train.json", splits=SPLITS,
               format="squad", language_column=("id",), language_names=NAMES),
    ),
)
