"""Suites: benchmarks as lists of the tasks, splits and languages that an evaluation needs.

Test sets of every language; training sets in English; development sets in every language where the publisher has them
all, else in English. Languages are written as the benchmark writes them. Sources may use other codes of the same
language (`deu`, `swh`, `eng_Latn`): cells keep the code of their source, and `data_prep.languages` tells that both are
one language. XTREME: Hu et al. 2020; XTREME-R: Ruder et al. 2021; XGLUE (understanding tasks): Liang et al. 2020;
`intermediate`: Phang et al. 2020 (X-STILTs) and Ponti et al. 2020 (XCOPA). `african` is no publisher's list: the
African languages of AfriXNLI, MasakhaNER 2 and SIB-200.
"""

from __future__ import annotations

from typing import NamedTuple


class SuitePart(NamedTuple):
    """Cells of one task: its splits in all the languages."""

    task: str
    splits: tuple[str, ...]
    languages: tuple[str, ...]


def _part(task: str, splits: str, languages: str) -> SuitePart:
    return SuitePart(task, tuple(splits.split()), tuple(languages.split()))


XNLI = "ar bg de el en es fr hi ru sw th tr ur vi zh"
PAWSX = "de en es fr ja ko zh"
MLQA = "ar de en es hi vi zh"
TYDIQA = "ar bn en fi id ko ru sw te"
XQUAD = "ar de el en es hi ru th tr vi zh"
BUCC = "de fr ru zh"
UDPOS = "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh"
TATOEBA = "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te th tl tr ur vi zh"
PANX = f"{TATOEBA} en ms my yo"
AFRIXNLI = "amh eng ewe fra hau ibo kin lin lug orm sna sot swa twi wol xho yor zul"
MASAKHANER = "bam bbj ewe fon hau ibo kin lug luo mos nya pcm sna swa tsn twi wol xho yor zul"
SIB_AFRICAN = """afr_Latn aka_Latn amh_Ethi bam_Latn bem_Latn cjk_Latn dik_Latn dyu_Latn ewe_Latn fon_Latn fuv_Latn
gaz_Latn hau_Latn ibo_Latn kab_Latn kam_Latn kbp_Latn kea_Latn kik_Latn kin_Latn kmb_Latn knc_Arab knc_Latn kon_Latn
lin_Latn lua_Latn lug_Latn luo_Latn mos_Latn nso_Latn nus_Latn nya_Latn plt_Latn run_Latn sag_Latn sna_Latn som_Latn
sot_Latn ssw_Latn swh_Latn taq_Latn taq_Tfng tir_Ethi tsn_Latn tso_Latn tum_Latn twi_Latn tzm_Tfng umb_Latn wol_Latn
xho_Latn yor_Latn zul_Latn"""

_BOTH = (  # in XTREME and in XTREME-R
    _part("xnli", "train", "en"), _part("xnli", "dev test", XNLI),
    _part("mlqa", "dev test", MLQA),
    _part("squad", "train dev", "en"),
    _part("tydiqa", "train", "en"), _part("tydiqa", "test", TYDIQA),
)

SUITES: dict[str, tuple[SuitePart, ...]] = {
    "xtreme": (
        *_BOTH,
        _part("pawsx", "train", "en"), _part("pawsx", "dev test", PAWSX),
        _part("udpos", "train dev", "en"), _part("udpos", "test", UDPOS),
        _part("panx", "train", "en"), _part("panx", "dev test", PANX),
        _part("xquad", "test", XQUAD),
        _part("bucc", "dev test", BUCC),
        _part("tatoeba", "test", TATOEBA),
    ),
    "xtreme_r": (
        *_BOTH,
        _part("siqa", "train dev", "en"), _part("copa", "train dev", "en"),
        _part("xcopa", "test", "et ht id it qu sw ta th tr vi zh"),
        _part("udpos", "train dev", "en"), _part("udpos", "test", f"{UDPOS} lt pl ro uk wo"),
        _part("panx", "train", "en"), _part("panx", "dev test", f"{PANX} az gu lt pa pl qu ro uk"),
        _part("xquad", "test", f"{XQUAD} ro"),
        _part("tatoeba", "test", f"{TATOEBA} az lt pl ro uk"),
        _part("mewslix", "test", "ar de en es fa ja mul pl ro ta tr uk"),  # mul: the candidates of all languages
        _part("lareqa", "test", XQUAD),
    ),
    "xglue": (
        _part("xglue_ner", "train", "en"), _part("xglue_ner", "dev test", "de en es nl"),
        _part("xglue_pos", "train", "en"),
        _part("xglue_pos", "dev test", "ar bg de el en es fr hi it nl pl pt ru th tr ur vi zh"),
        _part("nc", "train", "en"), _part("nc", "dev test", "de en es fr ru"),
        _part("squad", "train", "en"), _part("mlqa", "dev test", MLQA),
        _part("xnli", "train", "en"), _part("xnli", "dev test", XNLI),
        _part("pawsx", "train", "en"), _part("pawsx", "dev test", "de en es fr"),
        _part("qadsm", "train", "en"), _part("qadsm", "dev test", "de en fr"),
        _part("wpr", "train", "en"), _part("wpr", "dev test", "de en es fr it pt zh"),
        _part("qam", "train", "en"), _part("qam", "dev test", "de en fr"),
    ),
    "african": (
        _part("xnli", "train dev", "en"), _part("afrixnli", "dev test", AFRIXNLI),
        _part("masakhaner2", "train dev test", MASAKHANER),
        _part("sib200", "train dev test", f"eng_Latn {SIB_AFRICAN}"),
    ),
    "intermediate": (
        *(_part(task, "train dev", "en") for task in (
            "mnli", "snli", "anli", "qqp", "squad2", "squad", "hellaswag", "ccg", "cosmosqa", "commonsenseqa", "siqa",
            "copa")),
    ),
}
