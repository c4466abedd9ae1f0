"""`InputError`: bad input that the user can fix, told in one line."""

from __future__ import annotations

import re

LONGEST_MESSAGE = 1000


class InputError(Exception):
    """Bad input, found before any side effect.

    The message is one line: found, expected, what to do. The command line prints it as ``error: ...`` and exits with
    code 2, without a traceback. Because messages quote arbitrary input, line breaks and control characters become
    spaces, long messages lose their middle, and credentials in URLs are masked.
    """

    def __init__(self, message: str) -> None:
        line = "".join(letter if letter.isprintable() else " " for letter in message)
        line = re.sub(r":/{1,2}[^/\s@]*@", "://***@", line)
        if len(line) > LONGEST_MESSAGE:
            line = f"{line[:600]} [...] {line[-300:]}"
        super().__init__(line)
