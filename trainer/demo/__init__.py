"""`python -m trainer demo`: the whole chain on artificial languages, offline, in minutes on two CPU cores.

`world` generates sentences, `languages` renders them in other languages, `write` stores raw benchmark files,
`distance` adds words at a chosen distance to a model, `recipes/` holds the training recipes, `chain` runs everything
through the ordinary commands.
"""

from __future__ import annotations

RECORD = "toy.json"  # of a folder that `python -m trainer toy` wrote: its arguments
