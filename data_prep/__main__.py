"""Command line of the data preparation: `python -m data_prep COMMAND`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from data_prep.base import interrupt

if __name__ == "__main__":
    interrupt.listen()

from data_prep.base import cli
from data_prep.commands import COMMANDS, KEPT


def main(argv: Sequence[str]) -> int:
    """Run one command; the exit code is 2 for bad input."""
    return cli.main(COMMANDS, argv, "python -m data_prep", KEPT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
