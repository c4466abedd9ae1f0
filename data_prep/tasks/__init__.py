"""Registry of tasks: one file per task, one line here."""

from __future__ import annotations

from data_prep.tasks.afrixnli import AFRIXNLI
from data_prep.tasks.americasnli import AMERICASNLI
from data_prep.tasks.anli import ANLI
from data_prep.tasks.belebele import BELEBELE
from data_prep.tasks.bitext import BITEXT
from data_prep.tasks.bucc import BUCC
from data_prep.tasks.ccg import CCG
from data_prep.tasks.commonsenseqa import COMMONSENSEQA
from data_prep.tasks.copa import COPA
from data_prep.tasks.cosmosqa import COSMOSQA
from data_prep.tasks.hellaswag import HELLASWAG
from data_prep.tasks.indicxnli import INDICXNLI
from data_prep.tasks.lareqa import LAREQA
from data_prep.tasks.masakhaner2 import MASAKHANER2
from data_prep.tasks.mewslix import MEWSLIX
from data_prep.tasks.mlqa import MLQA
from data_prep.tasks.mnli import MNLI
from data_prep.tasks.mrpc import MRPC
from data_prep.tasks.nc import NC
from data_prep.tasks.panx import PANX
from data_prep.tasks.paws import PAWS
from data_prep.tasks.pawsx import PAWSX
from data_prep.tasks.qadsm import QADSM
from data_prep.tasks.qam import QAM
from data_prep.tasks.qqp import QQP
from data_prep.tasks.sib200 import SIB200
from data_prep.tasks.sick import SICK
from data_prep.tasks.sick_relatedness import SICK_RELATEDNESS
from data_prep.tasks.siqa import SIQA
from data_prep.tasks.snli import SNLI
from data_prep.tasks.squad import SQUAD
from data_prep.tasks.squad2 import SQUAD2
from data_prep.tasks.sst2 import SST2
from data_prep.tasks.sts17 import STS17
from data_prep.tasks.sts22 import STS22
from data_prep.tasks.stsb import STSB
from data_prep.tasks.task import Task
from data_prep.tasks.tatoeba import TATOEBA
from data_prep.tasks.text import TEXT
from data_prep.tasks.translation_ranking import TRANSLATION_RANKING
from data_prep.tasks.tydiqa import TYDIQA
from data_prep.tasks.udpos import UDPOS
from data_prep.tasks.uner import UNER
from data_prep.tasks.wpr import WPR
from data_prep.tasks.xcopa import XCOPA
from data_prep.tasks.xglue_ner import XGLUE_NER
from data_prep.tasks.xglue_pos import XGLUE_POS
from data_prep.tasks.xnli import XNLI
from data_prep.tasks.xquad import XQUAD
from data_prep.tasks.xstorycloze import XSTORYCLOZE

TASKS: dict[str, Task] = {
    "xnli": XNLI,
    "mnli": MNLI,
    "pawsx": PAWSX,
    "snli": SNLI,
    "sick": SICK,
    "mrpc": MRPC,
    "anli": ANLI,
    "qqp": QQP,
    "sst2": SST2,
    "paws": PAWS,
    "nc": NC,
    "qadsm": QADSM,
    "qam": QAM,
    "sib200": SIB200,
    "afrixnli": AFRIXNLI,
    "americasnli": AMERICASNLI,
    "indicxnli": INDICXNLI,
    "udpos": UDPOS,
    "panx": PANX,
    "masakhaner2": MASAKHANER2,
    "uner": UNER,
    "xglue_ner": XGLUE_NER,
    "xglue_pos": XGLUE_POS,
    "ccg": CCG,
    "stsb": STSB,
    "sick_relatedness": SICK_RELATEDNESS,
    "sts17": STS17,
    "sts22": STS22,
    "wpr": WPR,
    "text": TEXT,
    "bitext": BITEXT,
    "translation_ranking": TRANSLATION_RANKING,
    "xcopa": XCOPA,
    "copa": COPA,
    "siqa": SIQA,
    "hellaswag": HELLASWAG,
    "cosmosqa": COSMOSQA,
    "commonsenseqa": COMMONSENSEQA,
    "belebele": BELEBELE,
    "xstorycloze": XSTORYCLOZE,
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
