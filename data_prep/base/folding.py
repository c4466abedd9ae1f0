"""Texts folded between words to the terminal's width; into a file or pipe they go as they are."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap

UNLIMITED = 10**4


def terminal_width() -> int:
    """Columns of the terminal, UNLIMITED where the output goes into a file or pipe."""
    return shutil.get_terminal_size((UNLIMITED, 24)).columns if sys.stdout.isatty() else UNLIMITED


def fold(text: str, hanging: int = 0) -> str:
    """One line of text on as many as it needs, all but the first indented by `hanging`."""
    width = terminal_width()
    if len(text) <= width:
        return text
    return textwrap.fill(text, width, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)


def fold_docstring(text: str) -> str:
    """Paragraphs of a docstring, folded anew where the terminal is narrower; each `flag: meaning` begins a line."""
    if max(map(len, text.splitlines()), default=0) <= terminal_width():
        return text
    parts = re.split(r"\n(?=\n|[a-z_][\w, ]*: )", text)
    return "\n".join(part[: len(part) - len(part.lstrip("\n"))] + fold(" ".join(part.split())) for part in parts)
