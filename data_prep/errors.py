"""The one exception that means "the user can fix this": its text is a single line for the terminal."""

from __future__ import annotations


class InputError(Exception):
    """Bad input, found before any side effect.

    The message is one line that says what was found, what was expected and what to do. The command line
    prints it as ``error: ...`` and exits with code 2; no traceback is shown.
    """
