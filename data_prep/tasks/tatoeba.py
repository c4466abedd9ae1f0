"""Tatoeba (Artetxe and Schwenk 2019, arXiv 1812.10464): 1,000 sentences or fewer per language, each with its English
translation.

LASER's files are aligned line by line. XTREME's copies hide the alignment by sorting the English side: cells of them
have no gold answers. `accuracy` searches English for each sentence; `backward_accuracy` the language for each English
sentence, which is the direction of XTREME's prediction files and score.
"""

from __future__ import annotations

from data_prep.tasks.task import Layout, Task

TATOEBA = Task(
    name="tatoeba",
    summary="sentence retrieval between a language and English",
    kind="retrieval",
    metric="accuracy",
    further_metrics=("backward_accuracy",),
    labels=(),
    languages=("afr", "ara", "aze", "ben", "bul", "cmn", "deu", "ell", "est", "eus", "fin", "fra", "heb", "hin", "hun",
               "ind", "ita", "jav", "jpn", "kat", "kaz", "kor", "lit", "mal", "mar", "nld", "pes", "pol", "por", "ron",
               "rus", "spa", "swh", "tam", "tel", "tgl", "tha", "tur", "ukr", "urd", "vie"),
    layouts=(
        Layout(r"(?:v1/)?tatoeba\.(?P<language>[a-z]{3})-eng\.(?:(?P=language)|eng)", "tatoeba.deu-eng.deu",
               split="test", format="aligned_lines", columns={}, parts=("{language}", "eng")),
        Layout(r"(?P<language>[a-z]{2})-en\.(?:(?P=language)|en)", "de-en.de",
               split="test", format="unaligned_lines", columns={}, parts=("{language}", "en")),
    ),
)
