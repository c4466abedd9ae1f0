"""The smallest perturbation found at the site that turns a model's decision.

Projected gradient ascent on the loss of the model's own prediction (`trainer.robust.ascent`, K steps of 2.5 / K from
zero, as `pgd` trains with) in balls of different radii: the radius is doubled until the decision turns, then the
interval between the last failure and the smallest success is halved. What is reported is the norm of a perturbation
that turns it, so an upper bound of the smallest one: more steps may find a smaller, and where none is found there may
be one. Radii are relative to the mean norm at the site, as a relative `robust.epsilon` is.

Of an example of several predictions (words of a sentence) the decision turns with the first of them; all inputs of an
example (windows, choices) are perturbed together. Shapes: E examples, B inputs, L tokens, H width, P predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from data_prep.shards.columns import COLUMN_TYPES
from data_prep.shards.read import Cell
from trainer.data.loader import Examples
from trainer.distributed.ranks import Ranks
from trainer.engine.plain import PlainEngine
from trainer.engine.step_context import StepContext
from trainer.evaluate.predict import measure
from trainer.kernels import reference
from trainer.kinds import named_kind
from trainer.kinds.batch import Batch
from trainer.kinds.kind import Classes, Kind
from trainer.model.site import SiteModel
from trainer.robust.ascent import ascend, zero_perturbation
from trainer.robust.pgd import PGD
from trainer.robust.protocol import Context
from trainer.robust.settings import BallSettings

LADDER = tuple(2.0**power for power in range(-7, 3))
"""Radii that are tried first, in units of the mean norm; beyond 4 nothing of a word is left."""
HALVINGS = 6


@dataclass(frozen=True)
class Turn:
    """A perturbation that turns a decision."""

    epsilon: float
    """Largest norm of a ball of it (a token, or the whole text), relative to the mean norm at the site."""
    length: float
    """The same as a length at the site."""
    to: Any
    """The decision under it: name or index of the class, or list of tags."""


def smallest_turns(
    module: SiteModel, cell: Cell, max_length: int, ball: BallSettings, unit: float, steps: int, batch_size: int,
    device: torch.device, advance: Callable[[int], object] = lambda done: None,
) -> dict[int, Turn | None]:
    """The smallest perturbation found for each example of `cell`, by id; None where no radius up to 4 turned it.

    module: with its site set. unit: mean norm there. steps: K. batch_size: examples that are attacked together; the
    outcome depends on it by rounding only. advance: called with the number of examples done.
    """
    settings = PGD(site=ball.site, norm=ball.norm, scope=ball.scope, ascent_steps=steps)
    was_training = module.model.training
    module.eval()
    labelled = _with_own_labels(module, cell, max_length, batch_size, device)
    examples = Examples([labelled], max_length)
    ids = cell.table["id"].to_numpy()
    found: dict[int, Turn | None] = {}
    names, kind = cell.manifest.labels, examples.kind
    for chunk in np.split(np.unique(ids), range(batch_size, len(np.unique(ids)), batch_size)):
        attack = _Attack(module, examples, np.flatnonzero(np.isin(ids, chunk)), settings, device)
        of_chunk = _search(attack, len(chunk), unit)
        found |= {number: None if one is None else Turn(one[0] / unit, one[0], _named(kind, one[1], names))
                  for number, one in zip(chunk.tolist(), of_chunk, strict=True)}
        advance(len(chunk))
    module.train(was_training)
    return found


class _Attack:
    """Ascent in balls of different radii around the examples of one batch."""

    def __init__(self, module: SiteModel, examples: Examples, rows: np.ndarray, settings: PGD,
                 device: torch.device) -> None:
        self.kind: Kind = examples.kind
        table, _ = examples.rows(rows)
        self.batch: Batch = examples[0, rows].to(device)
        self.settings = settings
        # The unit ball, whatever the radius: a perturbation is radius times a point of it, example by example.
        self.context: Context[Any] = StepContext(PlainEngine(module), reference, settings, self.batch, epsilon=1.0,
                                                 seed=0, step=0, global_weight=1.0, ends_step=True)
        _, of_row = np.unique(table["id"].to_numpy(), return_inverse=True)
        self.example_B = torch.from_numpy(of_row[self.kind.sequences(table).rows]).to(device)
        self.example_of_row = torch.from_numpy(of_row).to(device)

    def __call__(self, radius_E: Tensor) -> tuple[Tensor, Tensor, list[np.ndarray]]:
        """(turned (E,), largest norm of a ball (E,), classes of each example's predictions) within these radii."""
        ctx, s = self.context, self.settings
        radius_B11 = radius_E.to(self.example_B.device)[self.example_B].view(-1, 1, 1)
        point, _ = ascend(ctx, zero_perturbation(ctx), lambda u: ctx.loss(radius_B11 * u, ascent=True)[0],
                          s.ascent_steps, s.step_length)
        with torch.no_grad():
            delta_BLH = radius_B11 * point
            logits = ctx.loss(delta_BLH, ascent=True)[1]
        found = self._classes(logits)
        chosen_P, example_P = found.logits.argmax(dim=-1), self.example_of_row[found.rows.to(self.example_B.device)]
        turned_E = torch.zeros(len(radius_E), device=delta_BLH.device).index_add(
            0, example_P, (chosen_P != found.gold).float()) > 0
        norm_E = torch.zeros(len(radius_E), device=delta_BLH.device).scatter_reduce(
            0, self.example_B, _largest_norms(delta_BLH, self.batch.content_mask, s), "amax")
        decided = [chosen_P[example_P == number].cpu().numpy() for number in range(len(radius_E))]
        return turned_E.cpu(), norm_E.cpu(), decided

    def _classes(self, logits: Tensor) -> Classes:
        if self.kind.classes is None:
            raise ValueError("a kind without class predictions")
        return self.kind.classes(logits, self.batch)


def _search(attack: _Attack, size: int, unit: float) -> list[tuple[float, np.ndarray] | None]:
    """(norm, decision) of the smallest success of each of `size` examples: radii of the ladder until all have turned,
    then halvings."""
    low, best = torch.zeros(size), torch.full((size,), float("inf"))
    decisions: list[np.ndarray | None] = [None] * size

    def try_out(radius_E: Tensor) -> None:
        turned_E, norm_E, decided = attack(radius_E)
        for number in range(size):
            if turned_E[number] and norm_E[number] < best[number]:
                best[number], decisions[number] = norm_E[number], decided[number]
            elif not turned_E[number]:
                low[number] = max(low[number], radius_E[number])

    for rung in LADDER:
        open_E = best.isinf()
        if not open_E.any():
            break
        try_out(torch.where(open_E, unit * rung, best))
    for _ in range(HALVINGS if not best.isinf().all() else 0):
        low = torch.minimum(low, best)  # a larger ball may have failed where a smaller one did not
        try_out(torch.where(best.isinf(), unit * LADDER[-1], (low + best) / 2))
    return [None if decision is None else (float(length), decision)
            for length, decision in zip(best, decisions, strict=True)]


def _named(kind: Kind, decision: np.ndarray, names: Sequence[str]) -> Any:
    """Name of the class, or its index where classes have no names; a list of several predictions."""
    named = [names[index] if names else int(index) for index in decision]
    return named[0] if kind.one_prediction else named


def _largest_norms(delta_BLH: Tensor, m_BL: Tensor, s: BallSettings) -> Tensor:
    """(B,) largest norm of a ball of each input."""
    order = float("inf") if s.norm == "linf" else 2.0
    delta_BLH = torch.where(m_BL.unsqueeze(-1), delta_BLH.float(), 0.0)
    norms_BL: Tensor = torch.linalg.vector_norm(delta_BLH, order, dim=-1)
    norms_B: Tensor = norms_BL.amax(dim=-1) if s.scope == "token" else torch.linalg.vector_norm(norms_BL, order, dim=-1)
    return norms_B


def _with_own_labels(module: SiteModel, cell: Cell, max_length: int, batch_size: int, device: torch.device) -> Cell:
    """The cell with the model's predictions for gold labels."""
    kind = named_kind(cell.manifest.kind)
    (decoded,) = measure(module, Examples([cell], max_length), batch_size, device, Ranks(0, 1, 0),
                         lambda logits, batch, cpu_batch: (kind.decode(logits, batch),))
    (name,) = (name for name, column in cell.manifest.columns.items() if COLUMN_TYPES[column].gold)
    place = cell.table.schema.get_field_index(name)
    field = cell.table.schema.field(name)
    return replace(cell, table=cell.table.set_column(place, field, pa.array(list(decoded), type=field.type)))
