"""Bars on the terminal: where they are drawn, and with which console."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text


def is_terminal() -> bool:
    """True if a person watches: stdout and stderr are a terminal that can redraw a line."""
    return sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


class BarConsole(Console):
    """Console of bars that leaves the cursor on: a process that is ended at once could not bring it back.

    Lines above the bars are not broken at the terminal's width, so that commands can be copied from them.
    """

    def print(self, *objects: Any, **settings: Any) -> None:
        """Print; texts, which is what redirected lines are, without line breaks of its own."""
        wraps = {"soft_wrap": True} if objects and isinstance(objects[0], Text) else {}
        super().print(*objects, **{**wraps, **settings})

    def show_cursor(self, show: bool = True) -> bool:
        """Do nothing."""
        return False
