"""Data preparation: benchmark files or the hub in, sharded and tokenised Arrow cells out (`python -m data_prep`).

Imports neither torch nor the trainer; the trainer uses `data_prep.shards` and `data_prep.base` alone.
"""

from __future__ import annotations

__version__ = "0.1.0"
