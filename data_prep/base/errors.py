"""The one exception that means "the user can fix this": its text is a single line for the terminal."""

from __future__ import annotations

import re

LONGEST_MESSAGE = 1000


class InputError(Exception):
    """Bad input, found before any side effect.

    The message is one line that says what was found, what was expected and what to do. The command line
    prints it as ``error: ...`` and exits with code 2; no traceback is shown.

    Messages quote what was found, which may be anything: line breaks and control characters become spaces, a long
    quotation loses its middle, and the user and password of a URL are left out.
    """

    def __init__(self, message: str) -> None:
        line = "".join(letter if letter.isprintable() else " " for letter in message)
        line = re.sub(r":/{1,2}[^/\s@]*@", "://***@", line)
        if len(line) > LONGEST_MESSAGE:
            line = f"{line[:600]} [...] {line[-300:]}"
        super().__init__(line)
