"""`InputError`: bad input that the user can fix, told in one line; and the suggestion that such a line may end with."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggestion of the nearest of the `known` words, to be put behind the one that was found; empty if none is near.
    """
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
