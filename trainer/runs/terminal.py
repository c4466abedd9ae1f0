"""Bars on the terminal: where they are drawn, and with which console."""

from __future__ import annotations

import os
import sys

from rich.console import Console


def is_terminal() -> bool:
    """Whether a person watches: stdout and stderr are a terminal that can redraw a line."""
    return sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


class BarConsole(Console):
    """Leaves the cursor on: a process that is ended at once could not bring it back."""

    def show_cursor(self, show: bool = True) -> bool:
        """Do nothing."""
        return False
