"""A model with the head of one task, its tokenizer, and the way from sentences to predictions.

Input: a transformers model, or a run (`trainer.predict.load`), and rows of texts. Output: predictions with
probabilities, batches for a training loop of one's own, and the perturbations that turn predictions. A text becomes the
very input that `data_prep build` and training make of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_prep.base.errors import InputError
from data_prep.kinds import KINDS as data_prep_kinds
from data_prep.shards.columns import COLUMN_TYPES
from data_prep.shards.read import Cell
from data_prep.tokenizer import check_tokenizer, describe_tokenizer, load_tokenizer
from trainer.data.loader import Examples
from trainer.distributed.ranks import Ranks
from trainer.evaluate.certainty import class_probabilities
from trainer.evaluate.predict import measure
from trainer.kinds import KINDS, named_kind
from trainer.kinds.batch import Batch
from trainer.kinds.kind import Kind
from trainer.model.encoders import FAMILIES
from trainer.model.languages import check_languages
from trainer.model.norms import mean_norm
from trainer.model.site import Site, SiteModel
from trainer.predict.perturbation import Turn, smallest_turns
from trainer.predict.rows import OwnRow, RawRow, Rows
from trainer.robust.settings import DEFAULT_SITE, BallSettings

ALONE = Ranks(0, 1, 0)


@dataclass(frozen=True)
class Prediction:
    """Prediction of one row."""

    number: int
    """Place of the row among those that were given, from 0."""
    texts: dict[str, Any]
    """Texts of the row by the kind's names."""
    language: str
    """"" where it was not given."""
    value: Any
    """Name of the class, list of tags, answer, or score."""
    probability: Any
    """Probability of the value, a list of them for tags; None of a score."""
    probabilities: dict[str, float] | None = None
    """Of all classes by name, the most probable first; None where the prediction is not one class."""


class TaskModel:
    """A transformers model with a head for `kind` of task, ready for sentences.

    model: with the head; it is used as it is, and stays the caller's to train and save. tokenizer: a fast one, or its
    folder or name. labels: names of the classes in the order of the model's outputs, for kinds with labels. max_length:
    of an input in tokens, special ones included; longer texts are cut, or divided into windows, as in training. task:
    one of `data_prep tasks`, whose spellings of labels and number of texts are then known, or any name. texts: number
    of texts of a row, 1 or 2; None does not check. ball: site, norm and scope of perturbations.

    Raises InputError where kind, labels, tokenizer and model do not fit each other.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, kind: str = "pair", labels: Sequence[str] = (), max_length: int = 128,
        task: str = "own", texts: int | None = None, ball: BallSettings | None = None, site_norm: float | None = None,
    ) -> None:
        self.kind = predictable(kind)
        if isinstance(tokenizer, str | Path):
            self.tokenizer = load_tokenizer(str(tokenizer))
        else:
            self.tokenizer = check_tokenizer(tokenizer, type(tokenizer).__name__)
        self.about = describe_tokenizer(self.tokenizer, getattr(self.tokenizer, "name_or_path", "") or "own")
        self.rows = Rows(kind, task, labels, self.kind.metrics[0], texts)
        _check_model(model, kind, labels, max_length, self.about)
        self.model, self.max_length = model, max_length
        self.ball = ball or BallSettings(method="plain", site=DEFAULT_SITE)
        self.site_norm = site_norm
        self.module = SiteModel(model, self.kind, self.ball.site)
        self.module.train(model.training)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def batch(self, rows: Sequence[RawRow]) -> Batch:
        """The rows as one batch on the model's device, with their labels where given: `collate_fn` of a data loader.

        Raises InputError as `Rows.read`.
        """
        cells = self._cells(self.rows.read(rows))
        examples = Examples([cell for cell, _ in cells], self.max_length)
        places = np.concatenate([[row.number for row in of_cell] for _, of_cell in cells])
        if self.kind.has_windows:  # in the order of languages, with all windows
            return examples[0, np.arange(len(examples))].to(self.device)
        return examples[0, np.argsort(places)].to(self.device)

    def predict(self, rows: Sequence[RawRow], batch_size: int = 64) -> list[Prediction]:
        """Predictions of the rows, in their order, without dropout.

        rows: mappings with `text` and perhaps `text_pair`, or the kind's names of them, and perhaps `language`. Raises
        InputError as `Rows.read`.
        """
        return self.predict_read(self.rows.read(rows), batch_size)

    def predict_read(self, rows: Sequence[OwnRow], batch_size: int = 64) -> list[Prediction]:
        """As `predict`, of rows that were read before."""
        self.module.train(self.model.training)
        found: list[Prediction] = []
        for cell, of_cell in self._cells(rows):
            outcomes = self._outcomes(cell, of_cell, batch_size)
            found += [Prediction(own.number, own.texts, own.language, *outcome)
                      for own, outcome in zip(of_cell, outcomes, strict=True)]
        return sorted(found, key=lambda one: one.number)

    def smallest_perturbations(
        self, rows: Sequence[RawRow], *, steps: int = 10, batch_size: int = 16
    ) -> list[Turn | None]:
        """The smallest perturbation found at the site that turns each row's prediction; None where none was found.

        See `trainer.predict.perturbation`. steps: of the ascent. Raises InputError as `Rows.read`, and for a kind
        without classes.
        """
        return self.turns_of(self.rows.read(rows), steps, batch_size)

    def turns_of(self, rows: Sequence[OwnRow], steps: int, batch_size: int,
                 advance: Callable[[int], object] = lambda done: None) -> list[Turn | None]:
        """As `smallest_perturbations`, of rows that were read before. advance: called with the number of rows done."""
        self.check_turnable()
        self.module.site = Site.parse(self.ball.site, self.model.config.num_hidden_layers)
        self.module.train(self.model.training)
        cells = self._cells(rows)
        unit = self._unit(cells)
        found: dict[int, Turn | None] = {}
        for cell, of_cell in cells:
            turns = smallest_turns(self.module, cell, self.max_length, self.ball, unit, steps, batch_size, self.device,
                                   advance)
            for own in of_cell:
                turn = turns[own.number]
                if turn is not None and isinstance(turn.to, int):
                    turn = replace(turn, to=own.row.values["choices"][turn.to])
                found[own.number] = turn
        return [found[number] for number in sorted(found)]

    def check_turnable(self) -> None:
        """Raise InputError for a kind whose predictions are no classes."""
        if self.kind.classes is None:
            raise InputError(f"a task of kind {self.rows.kind_name!r} has no decision to turn: its predictions are no "
                             f"classes; kinds: {', '.join(name for name, one in KINDS.items() if one.classes)}")

    def _unit(self, cells: Sequence[tuple[Cell, Sequence[OwnRow]]]) -> float:
        """Mean norm at the site: that which training measured, else that of these rows. Raises InputError for 0."""
        if self.site_norm is not None:
            return self.site_norm
        batches = (examples[0, rows].to(self.device) for cell, _ in cells for examples in [Examples(
            [cell], self.max_length)] for rows in np.split(np.arange(len(cell)), range(64, len(cell), 64)))
        norm = mean_norm(self.module, batches, self.ball)
        if not norm > 0:
            raise InputError(f"the mean norm at {self.ball.site} is {norm:g}: the texts hold no word")
        return norm

    def _cells(self, rows: Sequence[OwnRow]) -> list[tuple[Cell, list[OwnRow]]]:
        if not rows:
            raise InputError("no row to predict")
        known = FAMILIES[self.model.config.model_type].languages(self.model.config)
        if known is not None and not all(row.language for row in rows):
            raise InputError(f"{self.model.config.model_type} has language embeddings: name the language of every text "
                             "(--language, or a column `language`)")
        check_languages(self.model.config, dict.fromkeys(row.language for row in rows if row.language))
        return self.rows.cells(rows, self.tokenizer, self.about, self.max_length)

    def _outcomes(self, cell: Cell, rows: Sequence[OwnRow], batch_size: int) -> list[tuple[Any, ...]]:
        """(value, probability, probabilities of all classes) of each row."""
        kind, examples = self.kind, Examples([cell], self.max_length)

        def of_batch(logits: Tensor, batch: Batch, cpu_batch: Batch) -> tuple[np.ndarray, ...]:
            if kind.classes is not None:
                return class_probabilities(kind, logits, cpu_batch), kind.gold(cpu_batch)
            return kind.decode(logits, batch), kind.gold(cpu_batch)

        found, gold = measure(self.module, examples, batch_size, self.device, ALONE, of_batch)
        if kind.classes is None:
            certainty = kind.certainty(found, cell.table) if kind.certainty is not None else [None] * len(found)
            if kind.has_windows and kind.join is not None:
                found, _ = kind.join(found, gold, cell.table)
            return [(value.item() if isinstance(value, np.generic) else value,
                     None if p is None else float(p), None) for value, p in zip(found, certainty, strict=True)]
        if kind.join is not None:
            found, _ = kind.join(found, gold, cell.table)
        return [self._of_classes(p_PC, row) for p_PC, row in zip(found, rows, strict=True)]

    def _of_classes(self, p_PC: np.ndarray, own: OwnRow) -> tuple[Any, ...]:
        names = list(self.rows.task.labels) or own.row.values["choices"]
        if not self.kind.one_prediction:
            return [names[at] for at in p_PC.argmax(axis=1)], [float(p) for p in p_PC.max(axis=1)], None
        by_name = dict(sorted(zip(names, map(float, p_PC[0]), strict=False), key=lambda pair: -pair[1]))
        value = names[int(p_PC[0].argmax())]
        return value, by_name[value], by_name


def predictable(name: str) -> Kind:
    """The kind called `name`. Raises InputError where it predicts nothing of a single text, as retrieval does."""
    kind = named_kind(name)
    fields = data_prep_kinds[name].fields
    if kind.mask is None and (kind.classes is None or "choices" in fields or _has_labels(name)):
        return kind
    why = "predicts masked words" if kind.mask is not None else "ranks a text among those of other rows"
    raise InputError(f"a task of kind {name!r} {why}, and nothing of a text alone; score it with `python -m trainer "
                     "evaluate`")


def _has_labels(kind: str) -> bool:
    return any(COLUMN_TYPES[column].holds_labels for column in data_prep_kinds[kind].columns.values())


def _check_model(model: Any, kind: str, labels: Sequence[str], max_length: int, about: Any) -> None:
    """Raise InputError where a model has another head, other classes, or no place for the tokenizer's ids."""
    config = model.config
    if (family := FAMILIES.get(config.model_type)) is None:
        raise InputError(f"a model of type {config.model_type!r}; this trainer takes {', '.join(FAMILIES)}")
    head = KINDS[kind].head
    if head not in family.heads:
        raise InputError(f"{family.model_type} has no head for tasks of kind {kind}; its heads: "
                         f"{', '.join(family.heads)}")
    wanted = family.auto_class(head).__name__
    if wanted.removeprefix("AutoModel") not in type(model).__name__:
        raise InputError(f"a task of kind {kind} needs a model of {wanted}, found {type(model).__name__}")
    outputs = KINDS[kind].outputs
    if outputs is None and len(labels) != config.num_labels:
        raise InputError(f"the model has {config.num_labels} classes, found {len(labels)} labels")
    named = [str(config.id2label.get(row, "")).lower() for row in range(config.num_labels)]
    if outputs is None and sorted(named) == sorted(map(str.lower, labels)) and named != [*map(str.lower, labels)]:
        raise InputError(f"the model's classes are {', '.join(named)}, the labels {', '.join(labels)}; give them in "
                         "the model's order")
    if config.vocab_size < about.vocab_size:
        raise InputError(f"the model has {config.vocab_size} word embeddings, the tokenizer {about.vocab_size} entries;"
                         " take the model's own tokenizer")
    types = family.token_types(config)
    if types is not None and types <= about.template.highest_type:
        raise InputError(f"the model has {types} token types, the tokenizer gives the second text type "
                         f"{about.template.highest_type}; take the model's own tokenizer")
    if (longest := family.max_length(config)) < max_length:
        raise InputError(f"the model takes inputs of {longest} tokens, found max_length {max_length}")
