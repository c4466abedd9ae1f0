"""A sentence, its translation and other sentences of the translation's language: which is the translation?

Ranking as for LaBSE (Yang et al. 2019, arXiv 1902.08564; Feng et al. 2022, arXiv 2007.01852), by a cross-encoder: each
candidate is read together with the source sentence, as a choice of `multiple_choice`. Negatives there are the other
sentences of a batch; here they are part of the row, so that training does not depend on ranks and batch size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence

import numpy as np
from tokenizers import Tokenizer

from data_prep.base.errors import InputError
from data_prep.kinds import multiple_choice
from data_prep.kinds.kind import Encoded
from data_prep.kinds.rows import Record, Row, TextBatch
from data_prep.shards.manifest import NO_TEXT, WRONG_COLUMNS
from data_prep.shards.template import InputTemplate
from data_prep.tasks.task import Task

NEGATIVES = 3
SEED = 2019  # of the draw of negatives and of their order

columns: Mapping[str, str] = multiple_choice.columns
fields: Mapping[str, tuple[str, ...]] = {"texts": ("text",), "source": ("src",), "target": ("tgt", "translation")}
texts: tuple[str, ...] = ()
noised: tuple[str, ...] = ()
validate, show = multiple_choice.validate, multiple_choice.show


def read(record: Record, task: Task) -> Row | str:
    """Source and target: two `texts`, or fields of their own. Left out: another number of texts, a blank one."""
    values = record.values
    pair = values["texts"] if "texts" in values else [values.get("source"), values.get("target")]
    if len(pair) != 2:
        return WRONG_COLUMNS
    source, target = ((text or "").strip() for text in pair)
    return Row(record.row, {"source": source, "target": target}, record.key) if source and target else NO_TEXT


def encode(batch: TextBatch, tokenizer: Tokenizer, max_length: int, template: InputTemplate) -> Encoded:
    """Columns of `multiple_choice`: the translation among `NEGATIVES` other targets, in a drawn order.

    Negatives come from the same batch of rows, which are neighbours in the file, by a draw that is a function of the
    row's number. A translation of the same source elsewhere in the batch is none.
    """
    translations = defaultdict[str, set[str]](set)
    for source, target in zip(batch["source"], batch["target"], strict=True):
        translations[source].add(target)
    rows = TextBatch(batch.ids, {"first": [], "choices": [], "label": []}, batch.keys)
    for row, source, target in zip(batch.ids, batch["source"], batch["target"], strict=True):
        draw = np.random.Generator(np.random.Philox(key=SEED, counter=row))
        chosen = [target, *_negatives(batch["target"], translations[source], draw)]
        if len(chosen) == 1:
            raise InputError(f"row {row}: no other translation to rank {target[:80]!r} against; give a file with more "
                             "sentences")
        order = draw.permutation(len(chosen)).tolist()
        rows["first"].append(source)
        rows["choices"].append([chosen[place] for place in order])
        rows["label"].append(order.index(0))
    return multiple_choice.encode(rows, tokenizer, max_length, template)


def _negatives(targets: Sequence[str], right: Container[str], draw: np.random.Generator) -> list[str]:
    """Up to `NEGATIVES` different targets that are not `right`, in the order of the draw."""
    found: list[str] = []
    for at in draw.permutation(len(targets)).tolist():
        if targets[at] not in right and targets[at] not in found:
            found.append(targets[at])
        if len(found) == NEGATIVES:
            break
    return found
