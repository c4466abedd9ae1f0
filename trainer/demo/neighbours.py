"""Neighbours of English words in the embedding table, by which RS-DA replaces them.

Smoothing by data augmentation (Huang et al. 2021, arXiv 2104.08645; Ye et al. 2020, arXiv 2005.14424) replaces every
word by a uniform draw from itself and its neighbours: words of the same meaning with vectors nearby. Published lists
for English come from counter-fitted vectors; the demo's words get theirs here. `distance.py` adds them to the model,
`write.py` lists them for `python -m data_prep augment synonyms`.

They are close *by construction*. Each has a direction of its own, from a separate random stream, and none lies on the
ray of the distance languages, as RS-DA would otherwise train on the test condition. They are not the synonyms of
`world.py`, which are English words learnt from text, each with uses of its own.

Inputs: none. Outputs: words, their distance, and the lines of a list.
"""

from __future__ import annotations

from trainer.demo.world import WORDS

NEIGHBOUR_SIGMA = 0.3  # distance from the English word, in mean lengths of the English rows; as the nearest language
ENDINGS = ("-a", "-b")  # a hyphen: no other word of the world has one

NEIGHBOURS: dict[str, tuple[str, ...]] = {word: tuple(word + ending for ending in ENDINGS) for word in WORDS}
"""English word -> its neighbours, "dog" -> ("dog-a", "dog-b")."""


def neighbour_lines() -> list[str]:
    """Lines of a synonym list, two words each, as published and as `data_prep augment synonyms` reads them."""
    return [f"{word} {other}" for word, others in NEIGHBOURS.items() for other in others]
