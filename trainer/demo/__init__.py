"""The artificial world of the demo and of studies at size toy: its languages, raw files, and words in a model.

`world` generates sentences, `languages` renders them in other languages, `write` stores raw benchmark files,
`distance` adds words at a chosen distance to a model. `trainer/studies/demo.yaml` trains on them.
"""

from __future__ import annotations

RECORD = "toy.json"  # of a folder that `python -m trainer toy` wrote: its arguments
