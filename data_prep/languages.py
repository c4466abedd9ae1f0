"""Linguistic features of the languages of XTREME, XTREME-R and XGLUE, for grouping in reports.

`resource` is the class of Joshi et al. 2020, "The State and Fate of Linguistic Diversity and Inclusion in the NLP
World" (their list `lang2tax`), from 0 (hardly any data) to 5 (most); entered by hand, so check the list before quoting
a class. `family` is the genus-level group commonly used in these benchmarks; `morphology` is a coarse type (isolating,
fusional, agglutinative, introflexive).
"""

from __future__ import annotations

from data_prep.shards.manifest import LanguageInfo

# code: name, family, script, Joshi class, morphology
_LANGUAGES: dict[str, tuple[str, str, str, int, str]] = {
    "af": ("Afrikaans", "Germanic", "Latin", 3, "fusional"),
    "ar": ("Arabic", "Semitic", "Arabic", 5, "introflexive"),
    "az": ("Azerbaijani", "Turkic", "Latin", 1, "agglutinative"),
    "bg": ("Bulgarian", "Slavic", "Cyrillic", 3, "fusional"),
    "bn": ("Bengali", "Indo-Aryan", "Bengali", 3, "fusional"),
    "de": ("German", "Germanic", "Latin", 5, "fusional"),
    "el": ("Greek", "Hellenic", "Greek", 3, "fusional"),
    "en": ("English", "Germanic", "Latin", 5, "fusional"),
    "es": ("Spanish", "Romance", "Latin", 5, "fusional"),
    "et": ("Estonian", "Uralic", "Latin", 3, "agglutinative"),
    "eu": ("Basque", "isolate", "Latin", 4, "agglutinative"),
    "fa": ("Persian", "Iranian", "Arabic", 4, "fusional"),
    "fi": ("Finnish", "Uralic", "Latin", 4, "agglutinative"),
    "fr": ("French", "Romance", "Latin", 5, "fusional"),
    "gu": ("Gujarati", "Indo-Aryan", "Gujarati", 1, "fusional"),
    "he": ("Hebrew", "Semitic", "Hebrew", 3, "introflexive"),
    "hi": ("Hindi", "Indo-Aryan", "Devanagari", 4, "fusional"),
    "ht": ("Haitian Creole", "Creole", "Latin", 2, "isolating"),
    "hu": ("Hungarian", "Uralic", "Latin", 4, "agglutinative"),
    "id": ("Indonesian", "Austronesian", "Latin", 3, "agglutinative"),
    "it": ("Italian", "Romance", "Latin", 4, "fusional"),
    "ja": ("Japanese", "Japonic", "Japanese", 5, "agglutinative"),
    "jv": ("Javanese", "Austronesian", "Latin", 1, "agglutinative"),
    "ka": ("Georgian", "Kartvelian", "Georgian", 3, "agglutinative"),
    "kk": ("Kazakh", "Turkic", "Cyrillic", 3, "agglutinative"),
    "ko": ("Korean", "Koreanic", "Hangul", 4, "agglutinative"),
    "lt": ("Lithuanian", "Baltic", "Latin", 3, "fusional"),
    "ml": ("Malayalam", "Dravidian", "Malayalam", 1, "agglutinative"),
    "mr": ("Marathi", "Indo-Aryan", "Devanagari", 2, "fusional"),
    "ms": ("Malay", "Austronesian", "Latin", 3, "agglutinative"),
    "my": ("Burmese", "Sino-Tibetan", "Burmese", 1, "isolating"),
    "nl": ("Dutch", "Germanic", "Latin", 4, "fusional"),
    "pa": ("Punjabi", "Indo-Aryan", "Gurmukhi", 2, "fusional"),
    "pl": ("Polish", "Slavic", "Latin", 4, "fusional"),
    "pt": ("Portuguese", "Romance", "Latin", 4, "fusional"),
    "qu": ("Quechua", "Quechuan", "Latin", 1, "agglutinative"),
    "ro": ("Romanian", "Romance", "Latin", 3, "fusional"),
    "ru": ("Russian", "Slavic", "Cyrillic", 4, "fusional"),
    "sw": ("Swahili", "Bantu", "Latin", 2, "agglutinative"),
    "ta": ("Tamil", "Dravidian", "Tamil", 3, "agglutinative"),
    "te": ("Telugu", "Dravidian", "Telugu", 1, "agglutinative"),
    "th": ("Thai", "Kra-Dai", "Thai", 3, "isolating"),
    "tl": ("Tagalog", "Austronesian", "Latin", 3, "agglutinative"),
    "tr": ("Turkish", "Turkic", "Latin", 4, "agglutinative"),
    "uk": ("Ukrainian", "Slavic", "Cyrillic", 3, "fusional"),
    "ur": ("Urdu", "Indo-Aryan", "Arabic", 3, "fusional"),
    "vi": ("Vietnamese", "Austroasiatic", "Latin", 4, "isolating"),
    "wo": ("Wolof", "Atlantic-Congo", "Latin", 2, "agglutinative"),
    "yo": ("Yoruba", "Atlantic-Congo", "Latin", 2, "isolating"),
    "zh": ("Chinese", "Sino-Tibetan", "Han", 5, "isolating"),
}


def language_info(code: str) -> LanguageInfo:
    """Features of the language with this code as the benchmarks spell it (`zh`, `zh_Hans`); "unknown" if not listed."""
    known = _LANGUAGES.get(code) or _LANGUAGES.get(code.partition("_")[0])
    if known is None:
        return LanguageInfo()
    name, family, script, joshi_class, morphology = known
    return LanguageInfo(name=name, family=family, script=script, resource=f"class {joshi_class}",
                        morphology=morphology)
