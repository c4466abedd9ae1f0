"""The hub's libraries kept quiet: one line where the hub does not answer, instead of two for every attempt.

Imports nothing of them, so that programs can call `quieten` before their slow imports.
"""

from __future__ import annotations

import logging
import os
import sys

LOGGER = "huggingface_hub.utils._http"
BARS = ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")
WAITS = {"Retrying in": "no answer from the Hugging Face hub; trying again for up to half a minute",
         "Rate limited": "the Hugging Face hub limits requests; waiting for it"}
_said: set[str] = set()


def quieten() -> None:
    """Reduce warnings of requests to the hub to one line of each kind; no progress bars but on a terminal."""
    logger = logging.getLogger(LOGGER)
    if _first_of_a_kind not in logger.filters:
        logger.addFilter(_first_of_a_kind)
    if not sys.stderr.isatty():
        for name in BARS:
            os.environ.setdefault(name, "1")


def _first_of_a_kind(record: logging.LogRecord) -> bool:
    """Print our own line for the first wait of a kind, and drop all warnings: errors are raised besides."""
    for start, words in WAITS.items():
        if record.getMessage().startswith(start) and start not in _said:
            _said.add(start)
            print(f"warning: {words}", file=sys.stderr, flush=True)
    return record.levelno >= logging.ERROR
