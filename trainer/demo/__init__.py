"""`python -m trainer demo`: the whole chain on made-up languages, offline, in minutes on two CPU cores.

`world` makes sentences, `languages` says them in other languages, `write` makes raw benchmark files of them,
`distance` puts words at a chosen distance into a model, `recipes/` says how to train, `chain` runs it all through the
ordinary commands.
"""

from trainer.demo.chain import demo

__all__ = ["demo"]
