"""Languages: codes that name the same one, and linguistic features for grouping in reports.

Benchmarks spell one language in several ways: `sw`, `swh`, `swa`; `zh`, `zh_Hans`, `cmn`; `en`, `eng`, `eng_Latn`.
`canonical_code` takes them to one code by CLDR's aliases and macrolanguages (`langcodes`), which keep languages apart
that are tested apart (Moroccan from Standard Arabic, Cantonese from Mandarin, Indonesian from Malay).

Columns of `languages.tsv`, "unknown" where the source has nothing:
name        English name in CLDR, else as the benchmarks' papers spell it
family      lineage in Glottolog 5 (through qwanqwa 1.2.1): the well-known branch of the Indo-European, Afro-Asiatic and
            Atlantic-Congo families (Germanic, Semitic, Bantu ..), elsewhere the top level; creoles and macrolanguages
            entered by hand
script      ISO 15924 code of CLDR's likely script; Hang and Hani for Kore, Hans and Hant; Arab by hand for acm, acq,
            ajp and azb, of which CLDR has none
resource    class of Joshi et al. 2020, "The State and Fate of Linguistic Diversity and Inclusion in the NLP World",
            from 0 (hardly any data) to 5 (most), every value compared with their list `lang2tax.txt`. It goes by
            names; of a language listed under two (Haitian 2, Haitian Creole 0) the highest class is taken
morphology  coarse type (isolating, fusional, agglutinative, introflexive), entered by hand after the type that
            textbooks give to the family
A source folder whose languages are not these, such as the demo's artificial ones (its `ga` is no Irish), brings a
`languages.tsv` of its own with the same columns, which alone counts for its cells.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import langcodes
from langcodes.tag_parser import LanguageTagError

from data_prep.base.errors import InputError
from data_prep.shards.manifest import LanguageInfo

OWN_FEATURES = "languages.tsv"
"""File of a source folder with the features of languages of its own."""
COLUMNS = ("code", "name", "family", "script", "resource", "morphology")
FEATURES = Path(__file__).with_suffix(".tsv")
# Codes of one language that CLDR keeps apart: written standards and single members of a macrolanguage.
ALIASES = {"nb": "no", "quy": "qu", "pbt": "ps", "fuv": "ff", "fil": "tl"}
TWO_LANGUAGES = re.compile(r"[a-z]{2,3}([_-][a-z]+)+")
SCRIPTS = {
    "Arab": "Arabic", "Armn": "Armenian", "Beng": "Bengali", "Cyrl": "Cyrillic", "Deva": "Devanagari",
    "Ethi": "Ethiopic", "Geor": "Georgian", "Grek": "Greek", "Gujr": "Gujarati", "Guru": "Gurmukhi", "Hang": "Hangul",
    "Hani": "Han", "Hans": "Han", "Hant": "Han", "Hebr": "Hebrew", "Jpan": "Japanese", "Khmr": "Khmer",
    "Knda": "Kannada", "Laoo": "Lao", "Latn": "Latin", "Mlym": "Malayalam", "Mymr": "Burmese", "Nkoo": "N'Ko",
    "Olck": "Ol Chiki", "Orya": "Odia", "Sinh": "Sinhala", "Taml": "Tamil", "Telu": "Telugu", "Tfng": "Tifinagh",
    "Thai": "Thai", "Tibt": "Tibetan", "Vaii": "Vai",
}


@cache
def canonical_code(code: str) -> str:
    """The shortest code of the language, without script and region; `code` itself if it names no language.

    Lower-case parts name a cell of two languages (`en_de`, `de_question_en`), which is neither of them.
    """
    if TWO_LANGUAGES.fullmatch(code):
        return "_".join(map(canonical_code, re.split("[_-]", code)))
    try:
        found = langcodes.get(code.replace("_", "-")).prefer_macrolanguage().language
    except LanguageTagError:
        return code
    return ALIASES.get(found or code, found or code)


def same_language(first: str, second: str) -> bool:
    """True for two codes of one language, in whatever script or region."""
    return canonical_code(first) == canonical_code(second)


def language_info(code: str, source: Path | None = None) -> LanguageInfo:
    """Features of the language with this code, in the script that the code names (`ben_Latn`); "unknown" if not listed.

    source: folder of the cell's files, whose OWN_FEATURES replace the list where it has them. Raises InputError for
    such a file in another layout.
    """
    written = re.search(r"[_-]([A-Z][a-z]{3})(?![A-Za-z])", code)
    own = source / OWN_FEATURES if source is not None else None
    known = (_features(own).get(code) if own is not None and own.is_file() else
             _features(FEATURES).get(canonical_code(code)))
    name, family, script, resource, morphology = known or ("unknown",) * 5
    script = written[1] if written else script
    return LanguageInfo(name=name, family=family, script=SCRIPTS.get(script, script), morphology=morphology,
                        resource=resource if resource == "unknown" else f"class {resource}")


@cache
def _features(path: Path) -> dict[str, tuple[str, ...]]:
    """Rows of a table of features by code."""
    lines = [tuple(line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()]
    if lines[:1] != [COLUMNS] or {len(line) for line in lines} != {len(COLUMNS)}:
        raise InputError(f"{path}: expected a header {', '.join(COLUMNS)} and as many columns in every line, separated "
                         "by TABs; rename the file if it is another table")
    return {code: tuple(rest) for code, *rest in lines}
