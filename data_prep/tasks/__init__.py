"""Registry of tasks: one file per task, one line here."""

from __future__ import annotations

from data_prep.tasks.bucc import BUCC
from data_prep.tasks.ccg import CCG
from data_prep.tasks.lareqa import LAREQA
from data_prep.tasks.masakhaner2 import MASAKHANER2
from data_prep.tasks.mewslix import MEWSLIX
from data_prep.tasks.mlqa import MLQA
from data_prep.tasks.mnli import MNLI
from data_prep.tasks.mrpc import MRPC
from data_prep.tasks.panx import PANX
from data_prep.tasks.pawsx import PAWSX
from data_prep.tasks.sick import SICK
from data_prep.tasks.sick_relatedness import SICK_RELATEDNESS
from data_prep.tasks.snli import SNLI
from data_prep.tasks.squad import SQUAD
from data_prep.tasks.squad2 import SQUAD2
from data_prep.tasks.stsb import STSB
from data_prep.tasks.task import Task
from data_prep.tasks.tatoeba import TATOEBA
from data_prep.tasks.text import TEXT
from data_prep.tasks.tydiqa import TYDIQA
from data_prep.tasks.udpos import UDPOS
from data_prep.tasks.uner import UNER
from data_prep.tasks.xglue_ner import XGLUE_NER
from data_prep.tasks.xglue_pos import XGLUE_POS
from data_prep.tasks.xnli import XNLI
from data_prep.tasks.xquad import XQUAD

TASKS: dict[str, Task] = {
    "xnli": XNLI,
    "mnli": MNLI,
    "pawsx": PAWSX,
    "snli": SNLI,
    "sick": SICK,
    "mrpc": MRPC,
    "udpos": UDPOS,
    "panx": PANX,
    "masakhaner2": MASAKHANER2,
    "uner": UNER,
    "xglue_ner": XGLUE_NER,
    "xglue_pos": XGLUE_POS,
    "ccg": CCG,
    "stsb": STSB,
    "sick_relatedness": SICK_RELATEDNESS,
    "text": TEXT,
    "tatoeba": TATOEBA,
    "bucc": BUCC,
    "lareqa": LAREQA,
    "mewslix": MEWSLIX,
    "xquad": XQUAD,
    "mlqa": MLQA,
    "tydiqa": TYDIQA,
    "squad": SQUAD,
    "squad2": SQUAD2,
}
