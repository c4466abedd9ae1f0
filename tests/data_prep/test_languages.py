"""Languages: codes of one language are one, languages that are tested apart stay apart, features of every language."""

from __future__ import annotations

import itertools
from pathlib import Path

import langcodes
import pytest

from data_prep.base.errors import InputError
from data_prep.languages import COLUMNS, FEATURES, OWN_FEATURES, SCRIPTS, canonical_code, language_info, same_language
from data_prep.tasks import TASKS
from trainer.demo.languages import GRAMMARS, grammar_language
from trainer.kinds.languages import LONGEST_CODE, language_number

ONE_LANGUAGE = ("qu quy quz que", "sw swh swa", "en eng eng_Latn en_GB", "zh zh_Hans zho_Hans zho_Hant cmn zh_TW",
                "et est ekk", "no nb nob nob_Latn nor", "tl fil tgl", "iw he heb", "in id ind", "fa pes fas per",
                "ar arb ara arb_Arab arb_Latn", "ht hat", "ay aym ayr", "gn grn gug", "tw aka twi", "om orm gaz",
                "ne npi npi_Latn", "or ory", "uz uzn", "az azj", "mn khk", "ms zsm msa", "lv lvs", "sq als", "yo yor",
                "my mya bur", "eu eus baq", "el ell gre", "de deu ger", "ro ron rum mo", "d030")


@pytest.mark.parametrize("codes", [line.split() for line in ONE_LANGUAGE], ids=lambda codes: codes[0])
def test_codes_of_one_language(codes: list[str]) -> None:
    assert all(same_language(codes[0], code) for code in codes)
    assert len({language_number(code) for code in codes}) == 1
    assert len({(info := language_info(code)).name + info.resource for code in codes}) == 1


def test_languages_that_are_tested_apart() -> None:
    apart = [line.split()[0] for line in ONE_LANGUAGE]
    apart += ["ary", "arz", "acm", "aeb", "apc", "yue", "hr", "bs", "sr", "nn", "ckb", "ku", "azb", "zh_classical",
              "zh_yue", "simple", "hi", "ur", "en_de", "de_en", "de_question_en", "klingonish"]
    assert not [pair for pair in itertools.combinations(apart, 2) if same_language(*pair)]
    assert canonical_code("en_de") == canonical_code("eng-deu") == "en_de"  # a cell of STS17: two languages
    numbered = [code for code in apart if len(canonical_code(code)) <= LONGEST_CODE]
    assert len({language_number(code) for code in numbered}) == len(numbered)


def test_every_language_of_every_task_has_features() -> None:
    codes = {code for task in TASKS.values() for code in task.languages if language_info(code).name == "unknown"}
    assert not {code for code in codes if "_" not in canonical_code(code)} - {"mul"}  # many languages


def test_features_are_of_canonical_codes_and_known_values() -> None:
    header, *lines = (line.split("\t") for line in FEATURES.read_text(encoding="utf-8").splitlines())
    assert header == ["code", "name", "family", "script", "resource", "morphology"]
    assert [line[0] for line in lines] == sorted({line[0] for line in lines})
    for code, name, family, script, resource, morphology in lines:
        assert canonical_code(code) == code
        assert all((name, family))
        assert script in SCRIPTS
        assert resource in {"0", "1", "2", "3", "4", "5", "unknown"}
        assert morphology in {"isolating", "fusional", "agglutinative", "introflexive", "unknown"}
        likely = langcodes.get(code).maximize().script if code not in {"acm", "acq", "ajp", "azb"} else "Arab"
        assert script == {"Hans": "Hani", "Hant": "Hani", "Kore": "Hang"}.get(str(likely), likely)


def test_a_code_may_name_its_script() -> None:
    assert [language_info(code).script for code in ("ben_Beng", "ben_Latn", "bn", "zho_Hant", "taq_Tfng", "en")] == [
        "Bengali", "Latin", "Bengali", "Han", "Tifinagh", "Latin"]
    assert language_info("d031").model_dump() == dict.fromkeys(language_info("en").model_dump(), "unknown")


@pytest.mark.parametrize(("code", "resource"), [
    ("ht", 2), ("qu", 1), ("sw", 2), ("zh", 5), ("wo", 2), ("eu", 4), ("te", 1), ("pcm", 0), ("mos", 0), ("bm", 1)])
def test_classes_of_joshi(code: str, resource: int) -> None:
    assert language_info(code).resource == f"class {resource}"


def test_a_folder_may_have_languages_of_its_own(tmp_path: Path) -> None:
    """The toy world's `ga` is no Irish; what its table does not list is unknown, never a real language."""
    toy = grammar_language(GRAMMARS[0], 0)
    (tmp_path / OWN_FEATURES).write_text("\n".join(map("\t".join, [COLUMNS, toy.features])))
    assert language_info("ga", tmp_path).model_dump() == {
        "name": "Toy language A", "family": "Artificial", "script": "Latin", "resource": "class 1",
        "morphology": "isolating"}
    assert language_info("de", tmp_path).name == "unknown"
    assert language_info("ga", tmp_path / "elsewhere").name == language_info("ga").name == "Irish"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / OWN_FEATURES).write_text("code\tspeakers\nde\t90\n")
    with pytest.raises(InputError, match=r"languages\.tsv: expected a header code, name, family"):
        language_info("de", tmp_path / "other")
