"""Order of a model's classes in terms of a cell's labels, matched by name."""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.shards.manifest import Manifest


def label_order(names: Sequence[str], manifest: Manifest) -> list[int] | None:
    """For each label of `manifest`, the position in `names` of its name; None where they are not the same classes.

    The labels themselves, in their order, always match. Otherwise case, spaces, `-` and `_` are ignored, and the
    manifest's `label_aliases` count (`contradictory`).
    """
    if list(names) == manifest.labels:
        return list(range(len(names)))
    index = {label: at for at, label in enumerate(manifest.labels)}
    spellings = {_plain(alias): index[label] for alias, label in manifest.label_aliases.items()}
    spellings |= {_plain(label): at for label, at in index.items()}
    meant = [spellings.get(_plain(name), -1) for name in names]
    if sorted(meant) != list(range(len(manifest.labels))):
        return None
    return [meant.index(at) for at in index.values()]


def _plain(name: str) -> str:
    return "_".join(name.casefold().replace("-", " ").replace("_", " ").split())
