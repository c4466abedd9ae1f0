"""Suggestions for languages and cells that are not there, as endings of error messages; empty where nothing is near."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path

from data_prep.languages import language_info, same_language
from data_prep.shards.read import find_cells


def near_language(word: str, codes: Iterable[str]) -> str:
    """Suggestion of the code that `word` may mean: by another code or the English name of its language, or misspelt."""
    found = _nearest_code(word, list(codes))
    return f" (did you mean {found!r}?)" if found else ""


def near_cell(root: str | Path, name: str) -> str:
    """Suggestion of a finished cell below `root` for `task/split/language`, in which `*` stands for any part.

    Each part that occurs nowhere at its place is replaced by the nearest one that does; the suggestion for a misspelt
    task ends as `name` does where that is not built.
    """
    built = [cell.parts[-3:] for cell in find_cells(root)]
    parts: list[str] = []
    for part in name.split("/")[:3]:
        level = len(parts)
        there = sorted({cell[level] for cell in built if all(map(fnmatch, cell, parts))})
        if not any(fnmatch(one, part) for one in there):
            part = _nearest_code(part, there) if level == 2 else next(iter(get_close_matches(part, there, n=1)), "")
        if not part:
            parts += name.split("/")[level:3] if parts != name.split("/")[:level] else []
            break
        parts.append(part)
    nearest = "/".join(parts)
    return f" (did you mean {nearest!r}?)" if len(parts) == 3 and nearest != name else ""


def near_or_built(root: str | Path, name: str, built: Iterable[str]) -> str:
    """As `near_cell`; where nothing is near, the languages that are `built`."""
    return near_cell(root, name) or f"; built: {', '.join(built) or 'none'}"


def _nearest_code(word: str, codes: list[str]) -> str:
    names = {language_info(code).name.lower(): code for code in codes}
    close = get_close_matches(word.lower(), names, n=1)
    return next(iter([code for code in codes if same_language(code, word)]
                     or [names[name] for name in close] or get_close_matches(word, codes, n=1)), "")
