"""PAN-X, or WikiANN (Pan et al. 2017; balanced splits of Rahimi et al. 2019): named entities from Wikipedia's links."""

from __future__ import annotations

from data_prep.tasks.tags import COLUMNS, XTREME_TAGS, iob
from data_prep.tasks.task import LANGUAGE, Hub, Layout, Task

PANX = Task(
    name="panx",
    summary="named entities, 40 languages (XTREME-R: 48)",
    kind="tagging",
    metric="span_f1",
    labels=iob("PER", "ORG", "LOC"),
    languages=("af", "ar", "az", "bg", "bn", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "gu", "he", "hi",
               "hu", "id", "it", "ja", "jv", "ka", "kk", "ko", "lt", "ml", "mr", "ms", "my", "nl", "pa", "pl", "pt",
               "qu", "ro", "ru", "sw", "ta", "te", "th", "tl", "tr", "uk", "ur", "vi", "yo", "zh"),
    layouts=(
        XTREME_TAGS,
        # Rahimi et al.: `en:Sioux` for a word
        Layout(rf"(?:panx_dataset/)?{LANGUAGE}/(?P<split>train|dev|test)", "en/train", format="conll_tab",
               columns=COLUMNS),
    ),
    hub=Hub(repo="google/xtreme", config="PAN-X.{language}",
            splits={"train": "train", "dev": "validation", "test": "test"},
            columns={"words": "tokens", "tags": "ner_tags"}),
)
