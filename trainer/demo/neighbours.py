"""The words that RS-DA draws instead of an English word: its neighbours in the embedding table.

Smoothing by data augmentation (Huang et al. 2021, arXiv 2104.08645; Ye et al. 2020, arXiv 2005.14424) replaces every
word by a uniform draw from itself and its neighbours: words that mean the same and whose vectors lie near. For English
they come from counter-fitted vectors; the demo's words are given some here. `distance.py` puts them into the model,
`write.py` lists them for `python -m data_prep augment synonyms`.

They lie near *by construction*, which a list made by hand does not promise. Each has a direction of its own, from
a random stream of its own, and none lies on the ray of the distance languages: RS-DA would else be trained on its test.
They are not the synonyms of `world.py`, which are words of English learnt from text, each with uses of its own.

Inputs: none. Outputs: words, their distance, and the lines of a list.
"""

from __future__ import annotations

from trainer.demo.world import WORDS

NEIGHBOUR_SIGMA = 0.3  # distance from the English word, in mean lengths of the English rows; as the nearest language
ENDINGS = ("-a", "-b")  # a hyphen: no other word of the world has one

NEIGHBOURS: dict[str, tuple[str, ...]] = {word: tuple(word + ending for ending in ENDINGS) for word in WORDS}
"""Every English word -> its neighbours, "dog" -> ("dog-a", "dog-b")."""


def neighbour_lines() -> list[str]:
    """Two words per line, as published synonym lists have them and `data_prep augment synonyms` reads them."""
    return [f"{word} {other}" for word, others in NEIGHBOURS.items() for other in others]
