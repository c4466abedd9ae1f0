"""Rows of a repository of plain files: `.csv`, `.tsv`, `.jsonl` and `.parquet`, one per language and split.

For repositories without configurations (`Hub.files`). The files are read by the same readers as a folder's, since
`datasets` takes quotes in `.tsv` files for quoting.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import datasets
import huggingface_hub

from data_prep.base.errors import InputError
from data_prep.sources.layouts import CellSource
from data_prep.sources.tables import language_code
from data_prep.tasks.task import LANGUAGE, Hub, Layout

FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl"}


def files_there(hub: Hub, repo: str, revision: str | None) -> dict[tuple[str, str], str]:
    """(split, language as the repository spells it) -> file. Raises InputError if it cannot be listed or has none."""
    pattern = re.escape(hub.files or "").replace(re.escape("{language}"), LANGUAGE)
    names = "|".join(re.escape(name) for name in hub.splits.values())
    pattern = pattern.replace(re.escape("{split}"), f"(?P<split>{names})")
    ours = {name: split for split, name in hub.splits.items()}
    listed = _listed(repo, revision)
    found = {}
    for file in listed:
        if match := re.fullmatch(pattern, file):
            groups = match.groupdict()
            found[ours[groups["split"]] if "split" in groups else next(iter(hub.splits)),
                  groups.get("language", "en")] = file
    if not found:
        raise InputError(f"hub:{repo} has no files named like {hub.files}; it has: {', '.join(listed[:8]) or 'none'}")
    return found


def fetched(repo: str, file: str, revision: str | None) -> Path:
    """Local path of a file of a repository or folder. Raises InputError if it cannot be fetched."""
    if Path(repo).is_dir():
        return Path(repo) / file
    try:
        return Path(huggingface_hub.hf_hub_download(repo, file, repo_type="dataset", revision=revision))
    except Exception as error:  # network, permissions, no such file
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"hub:{repo} {file} cannot be fetched ({type(error).__name__}: {reason}); check the "
                         "connection, or give a folder as --source") from None


def is_table(hub: Hub) -> bool:
    """True for text files, which our own readers read."""
    return PurePosixPath(hub.files or "").suffix in FORMATS


def file_source(hub: Hub, split: str, language: str, path: Path) -> CellSource:
    """The cell of one fetched text file."""
    layout = Layout(".*", path.name, format=FORMATS[PurePosixPath(hub.files or "").suffix], header=True,
                    columns={field: (column,) for field, column in hub.columns.items()},
                    key=(hub.key,) if hub.key else None)
    return CellSource(split, language_code(language), (path,), layout)


def open_parquet(path: Path) -> datasets.Dataset:
    """One Parquet file, memory-mapped. Raises InputError if it is not one."""
    try:
        return datasets.Dataset.from_parquet(str(path))
    except Exception as error:  # pyarrow's and datasets' own classes
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not a Parquet file ({type(error).__name__}: {reason})") from None


def _listed(repo: str, revision: str | None) -> list[str]:
    folder = Path(repo)
    if not folder.is_dir():
        try:
            if not huggingface_hub.constants.HF_HUB_OFFLINE:
                return sorted(huggingface_hub.HfApi().list_repo_files(repo, revision=revision, repo_type="dataset"))
            folder = Path(huggingface_hub.snapshot_download(repo, repo_type="dataset", revision=revision,
                                                            local_files_only=True))
        except Exception as error:  # network, permissions, no such repository
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"hub:{repo} cannot be listed ({type(error).__name__}: {reason}); check the connection, "
                             "or give a folder as --source") from None
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
