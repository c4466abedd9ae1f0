"""A command for nodes of tests: `python -m tests.trainer.studies.command OUTPUT [WORD...]`. Its lives are counted.

    fail_once    ends with code 1 in its first life
    collapse     ends with code 3
    alone        fails where another process writes OUTPUT
    save         waits until it is asked to leave, saves, and ends with code 75; done in its second life
    wait         waits for ever in its first life
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path


def main(output: str, *words: str) -> int:
    """Do what `words` say."""
    place = Path(output)
    place.mkdir(parents=True, exist_ok=True)
    with (place / f"lives-{'-'.join(words)}").open("a") as file:
        file.write(f"{os.getpid()}\n")
    first = len((place / f"lives-{'-'.join(words)}").read_text().splitlines()) == 1
    if "alone" in words:
        (place / "busy").mkdir()
        time.sleep(0.3)
        (place / "busy").rmdir()
    if "save" in words and first:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        (place / "waiting").touch()
        signal.sigwait([signal.SIGTERM])
        (place / "saved").touch()
        return 75
    if "wait" in words and first:
        (place / "waiting").touch()
        time.sleep(3600)
    if "fail_once" in words and first:
        print("error: no luck")
        return 1
    return 3 if "collapse" in words else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
