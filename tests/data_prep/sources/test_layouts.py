"""The files of a folder: which of them a task reads, and that the others are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from data_prep.sources.layouts import find_sources, unread_files
from data_prep.tasks import TASKS

PAIR = "a\tb\tneutral\n"
SNLI = "gold_label\tsentence1\tsentence2\nneutral\ta\tb\n"


def lay(folder: Path, **contents: str) -> Path:
    """A folder with these files, whose names have `__` for a slash."""
    for name, content in contents.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    return folder


def cells(task: str, folder: Path) -> list[str]:
    return [f"{source.split}/{source.language}" for source in find_sources(TASKS[task], folder)]


def unread(task: str, folder: Path) -> str:
    return unread_files(TASKS[task], folder, find_sources(TASKS[task], folder))


def test_every_layout_has_an_example_that_it_matches() -> None:
    for task in TASKS.values():
        assert task.layouts
        for layout in task.layouts:
            assert layout.match(layout.example), (task.name, layout.example)
            assert [one for one in task.layouts if one.match(layout.example)] == [layout]


def test_codes_with_a_script_or_a_region_are_languages(tmp_path: Path) -> None:
    names = ("test-eng_Latn.tsv", "test-zh-Hans.tsv", "test-pt-BR.tsv", "test-es-419.tsv", "test-sr-Latn-RS.tsv")
    lay(tmp_path / "pairs", **dict.fromkeys(names, PAIR))
    assert cells("xnli", tmp_path / "pairs") == ["test/eng_Latn", "test/es_419", "test/pt_BR", "test/sr_Latn_RS",
                                                 "test/zh_Hans"]
    lay(tmp_path / "text", **{"zh-Hans.txt": "x\n", "en-de.txt": "x\n", "test-en-de.txt": "x\n"})
    assert cells("text", tmp_path / "text") == ["train/zh_Hans"]
    assert unread("text", tmp_path / "text") == (
        "not read for text: 2 files: en-de.txt, test-en-de.txt (read by other tasks: bitext 2, translation_ranking 2)")


def test_files_that_nothing_reads_are_named(tmp_path: Path) -> None:
    lay(tmp_path, **{"dev-en.tsv": PAIR, "test-en.tsv.xz": "", "test.csv": "", "deep__er__notes.xml": "",
                     "deep__er__still__x.tsv": ""})
    assert unread("xnli", tmp_path) == (
        "not read for xnli: 4 files: deep/er/notes.xml, deep/er/still/, test-en.tsv.xz, test.csv")
    lay(tmp_path, **{f"t{n}.csv": "" for n in range(10)})
    assert unread("xnli", tmp_path) == ("not read for xnli: 14 files: deep/er/notes.xml, deep/er/still/, t0.csv, "
                                        "t1.csv, t2.csv, t3.csv, t4.csv, t5.csv and 6 more")


def test_hidden_files_and_documentation_are_not_named(tmp_path: Path) -> None:
    lay(tmp_path, **{"dev-en.tsv": PAIR, ".DS_Store": "", ".git__config": "", "README": "", "readme.txt": "",
                     "LICENSE": "", "LICENCE.html": "", "paper.pdf": "", "notes.md": "", "__MACOSX____x.tsv": ""})
    assert unread("xnli", tmp_path) == ""


def test_one_content_in_two_formats_is_read_once(tmp_path: Path) -> None:
    line = '{"gold_label": "neutral", "sentence1": "a", "sentence2": "b"}\n'
    lay(tmp_path, **{"snli_1.0_dev.txt": SNLI, "snli_1.0_dev.jsonl": line, "snli_1.0_test.jsonl": line})
    sources = find_sources(TASKS["snli"], tmp_path)
    assert [source.files[0].name for source in sources] == ["snli_1.0_dev.txt", "snli_1.0_test.jsonl"]
    assert unread("snli", tmp_path) == (
        "not read for snli: 1 file: snli_1.0_dev.jsonl (instead of it snli_1.0_dev.txt)")


def test_two_files_of_one_cell_are_refused(tmp_path: Path) -> None:
    header = "language\tgold_label\tsentence1\tsentence2\n"
    lay(tmp_path, **{"dev-ko.tsv": PAIR, "xnli.dev.tsv": header + "en\tneutral\ta\tb\n"})
    assert cells("xnli", tmp_path) == ["dev/en", "dev/ko"]
    lay(tmp_path, **{"dev-en.tsv": PAIR})
    with pytest.raises(InputError, match=r"two files for xnli dev en: .*dev-en.tsv and .*xnli.dev.tsv"):
        cells("xnli", tmp_path)


@pytest.mark.parametrize("task", ["mnli", "snli", "sick", "mrpc", "text"])
def test_files_of_another_task_are_refused_with_its_name(tmp_path: Path, task: str) -> None:
    """XTREME's names do not say the task, so a task that XTREME lacks does not read them; labels say which does."""
    lay(tmp_path, **{"dev-de.tsv": PAIR, "dev-en.tsv": PAIR, "test-de.tsv": "a\tb\n"})
    with pytest.raises(InputError, match=f"no files of {task}; expected names like .*; found 3 files: dev-de.tsv, "
                                         r"dev-en.tsv, test-de.tsv \(read by other tasks: xnli 3, pawsx 1\)") as caught:
        cells(task, tmp_path)
    assert all(layout.example in str(caught.value) for layout in TASKS[task].layouts)


def test_names_that_say_the_task_are_read_by_it_alone(tmp_path: Path) -> None:
    lay(tmp_path, **{"sick-test-nl.tsv": PAIR, "mnli-train-en.tsv": PAIR})
    assert cells("sick", tmp_path) == ["test/nl"]
    assert unread("sick", tmp_path) == (
        "not read for sick: 1 file: mnli-train-en.tsv (read by other tasks: mnli 1)")


def test_an_empty_folder_is_told_what_names_are_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected names like train-en.tsv, x-final/de/dev_2k.tsv; found no files"):
        cells("pawsx", tmp_path)
