"""LAReQA's XQuAD-R (Roy et al. 2020, arXiv 2004.05484): sentences that answer a question, from a pool of 11 languages.

Each question has an answer in every language. The paper ranks the whole pool; XTREME-R's code cuts at 20.
"""

from __future__ import annotations

from data_prep.tasks.task import Layout, Task

LAREQA = Task(
    name="lareqa",
    summary="answer sentences from a multilingual pool",
    kind="retrieval",
    metric="mean_average_precision",
    further_metrics=("mean_average_precision_20",),
    labels=(),
    languages=("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"),
    layouts=(
        Layout(r"(?:lareqa/)?(?:xquad-r/)?(?P<language>[a-z]{2})\.json", "xquad-r/en.json", split="test",
               format="answer_sentences", columns={}),
    ),
)
