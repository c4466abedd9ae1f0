"""The order of a step, and of what happens between steps: look for faults, log, evaluate, select, save, leave.

Inputs: an engine, the data, the recipe, the state. One update: fetch micro-batches, let the robust method
back-propagate each, step; figures are summed over micro-batches and ranks, so that they are means over the
global batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from trainer.checkpoint.store import Store
from trainer.config.schema import Recipe
from trainer.data.loader import Examples, TrainingData
from trainer.distributed.collectives import all_reduce_sum, all_reduce_sum_async, barrier, gather_objects
from trainer.distributed.preemption import REQUESTS, Preempted
from trainer.engine.engine import Engine
from trainer.engine.step_context import StepContext
from trainer.evaluate.predict import Predictions, predict
from trainer.kinds.batch import Batch
from trainer.metrics import METRICS
from trainer.monitor.collapse import check_collapse
from trainer.monitor.nonfinite import check_update
from trainer.robust import METHODS
from trainer.robust.schedule import counts_for_selection, radius
from trainer.runs.identity import evaluation_interval
from trainer.runs.metrics_log import Metrics
from trainer.runs.state import TrainState

PRINT_SECONDS = 5.0  # at most one progress line in the terminal per this time; metrics.jsonl has them all


@dataclass
class Window:
    """Figures since the last line of the log: sums and weights by name, and what passed through."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    sums: dict[str, Tensor] = field(default_factory=dict)
    learning_rate: float = 0.0
    """The rate of the latest update."""
    examples: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    started: float = field(default_factory=time.monotonic)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"sums": {name: values.tolist() for name, values in self.sums.items()}, "examples": self.examples,
                "tokens": self.tokens, "padded_tokens": self.padded_tokens,
                "seconds": time.monotonic() - self.started}

    @classmethod
    def from_dict(cls, values: dict[str, Any], device: torch.device) -> Window:
        """The window that `to_dict` described."""
        sums = {name: torch.tensor(pair, dtype=torch.float64, device=device) for name, pair in values["sums"].items()}
        return cls(device, sums, examples=values["examples"], tokens=values["tokens"],
                   padded_tokens=values["padded_tokens"], started=time.monotonic() - values["seconds"])

    def add(self, figures: dict[str, tuple[Tensor | float, Tensor | float]]) -> None:
        """Add one micro-batch's (sum, weight) pairs."""
        for name, pair in figures.items():
            # Kept where they are: fetching them from a GPU would make every micro-batch wait for it.
            values = torch.stack([torch.as_tensor(value, device=self.device).double() for value in pair])
            self.sums[name] = self.sums[name] + values if name in self.sums else values

    def add_batch(self, batch: Batch) -> None:
        """Count the examples, tokens and padding of a batch that is still on the CPU."""
        self.examples += batch.input_ids.shape[0]
        self.tokens += int(batch.attention_mask.sum())
        self.padded_tokens += batch.input_ids.numel()

    def close(self, engine: Engine) -> dict[str, float | None]:
        """The window's means over all ranks, and its speeds; every rank must call it."""
        names = list(self.sums)
        counts = torch.tensor([self.examples, self.tokens, self.padded_tokens], dtype=torch.float64)
        flat = torch.cat([counts.to(self.device), *(self.sums[name] for name in names)])
        examples, tokens, padded, *rest = all_reduce_sum(flat, engine.ranks).tolist()
        seconds = time.monotonic() - self.started
        means = {f"train/{name}": total / weight if weight else None
                 for name, total, weight in zip(names, rest[::2], rest[1::2], strict=True)}
        return {**means, "speed/examples_per_second": examples / seconds, "speed/tokens_per_second": tokens / seconds,
                "speed/padding_share": 1 - tokens / padded}


@dataclass
class Update:
    """What one update came to on this rank."""

    losses: list[tuple[Tensor | float, Tensor | float]]
    """(sum, weight) of the loss of each micro-batch."""
    example_ids: list[Tensor]
    applied: bool
    """False where NaN or Inf made the engine skip it."""


def run_updates(
    engine: Engine, recipe: Recipe, batches: Iterator[list[Batch]], state: TrainState, updates: int,
    kernels: ModuleType, after_update: Callable[[Window, Update], None],
    context_class: type[StepContext] = StepContext,
) -> None:
    """Do updates `state.update` + 1 .. `updates`; `after_update` is called after each with the open window."""
    method = METHODS[recipe.robust.method]
    device = engine.device
    window = Window.from_dict(state.windows[engine.ranks.rank], device) if state.windows else Window(device)
    engine.module.train()
    while state.update < updates and not state.out_of_patience:
        micro_batches = next(batches)
        # Dropout masks are a function of seed, update, rank and micro-batch: nothing to save, nothing to restore.
        # Seeded after the data came in: a loader draws a number when it starts, at another update after a resume.
        torch.manual_seed(hash((recipe.seed, state.update, engine.ranks.rank)) & (2**63 - 1))
        weight = global_weight(engine, recipe, micro_batches)
        epsilon = radius(recipe.robust, state.update / updates, state.site_norm)
        losses = []
        for number, batch in enumerate(micro_batches):
            window.add_batch(batch)
            context = context_class(
                engine, kernels, recipe.robust, batch.to(device), epsilon=epsilon, seed=recipe.seed,
                update=state.update, global_weight=weight, ends_update=number == len(micro_batches) - 1)
            figures = {**method(context), **context.figures()}
            losses.append(figures["loss"])
            window.add(figures)
        window.learning_rate = engine.learning_rate
        applied = engine.step()
        state.update += 1
        state.examples += recipe.batch.size
        after_update(window, Update(losses, [batch.example_ids for batch in micro_batches], applied))
        if state.update % recipe.logging.every_steps == 0:
            window = Window(device)


def global_weight(engine: Engine, recipe: Recipe, micro_batches: list[Batch]) -> float:
    """Predictions in the update's global batch: its examples, or its masked tokens counted over all ranks."""
    kind = engine.module.kind
    if kind.one_prediction:
        return float(recipe.batch.size)
    masked = torch.tensor(sum(int(kind.loss_count(batch)) for batch in micro_batches), device=engine.device)
    return float(all_reduce_sum(masked, engine.ranks))


class Agreement:
    """What the ranks tell each other about an update while the next one is under way: its loss, and signals."""

    def __init__(self, engine: Engine, update: int, done: Update) -> None:
        """Begin to tell; every rank must do so after every update."""
        self.update, self.done = update, done
        flat = [torch.as_tensor(value, device=engine.device).double() for pair in done.losses for value in pair]
        asked = torch.tensor(float(REQUESTS.received is not None), dtype=torch.float64, device=engine.device)
        self._wait = all_reduce_sum_async(torch.stack([*flat, asked]), engine.ranks)

    def result(self) -> tuple[float, bool]:
        """(the update's mean loss over the global batch, whether a signal has asked any rank to leave)."""
        *sums, askers = self._wait().tolist()
        return sum(sums[::2]) / max(1.0, sum(sums[1::2])), askers > 0


class Watcher:
    """What happens after an update, in its order. One object, since it remembers the open run."""

    def __init__(
        self, engine: Engine, recipe: Recipe, data: TrainingData, dev: dict[str, Examples], state: TrainState,
        updates: int, metrics: Metrics, store: Store, save_best: Callable[[], None],
    ) -> None:
        self.engine, self.recipe, self.data, self.dev, self.state = engine, recipe, data, dev, state
        self.updates, self.metrics, self.store, self.save_best = updates, metrics, store, save_best
        self.evaluate_every = evaluation_interval(recipe, updates)
        self.checkpoint_every = recipe.checkpoint.every_steps or max(1, updates // 4)
        self._clock = time.monotonic()
        self._printed = 0.0
        self._open: list[Agreement] = []

    def __call__(self, window: Window, done: Update) -> None:
        """Called by the loop after every update, on every rank.

        Raises Preempted, after saving, where a signal asked any rank to leave; NotFinite; Collapsed; OSError where a
        save that is under way has failed.
        """
        update = self.state.update
        last = update == self.updates
        self.store.check()
        self._open.append(Agreement(self.engine, update, done))
        # The latest is left open, so that nobody waits for it, but where the state is about to be kept.
        asked = self._look(keep=0 if last or update % self.checkpoint_every == 0 else 1)
        if update % self.recipe.logging.every_steps == 0 or last:
            self._log(window)
        if update % self.evaluate_every == 0 or last:
            self._evaluate()
        last = last or self.state.out_of_patience
        if last or asked:
            asked |= self._look(keep=0)
        if update % self.checkpoint_every == 0 or last or asked:
            self._save(window)
        if last or asked:
            self.store.wait()
            barrier(self.engine.ranks)  # the main rank has waited for the files of all ranks
        if asked and not last:
            raise Preempted(f"asked to leave ({REQUESTS.received or 'by another rank'}): saved after update "
                            f"{update} of {self.updates}; the same command goes on from there")

    def _look(self, keep: int) -> bool:
        """Look at what became of all updates but the latest `keep`; True where a signal asks the run to leave."""
        asked = False
        while len(self._open) > keep:
            one = self._open.pop(0)
            loss, signalled = one.result()
            asked |= signalled
            check_update(self.recipe, self.state, one.update, loss, one.done.applied,
                         lambda done=one.done: self._example_ids(done), self.metrics.note)  # type: ignore[misc]
        return asked

    def _example_ids(self, done: Update) -> list[list[int]]:
        return gather_objects(
            [int(i) for ids in done.example_ids for i in ids.tolist()], self.engine.ranks)

    def _save(self, window: Window) -> None:
        self.state.seconds += time.monotonic() - self._clock
        self._clock = time.monotonic()
        rest = Window(window.device) if self.state.update % self.recipe.logging.every_steps == 0 else window
        self.state.windows = gather_objects(rest.to_dict(), self.engine.ranks)
        self.store.save(self.state)

    def _log(self, window: Window) -> None:
        figures = window.close(self.engine)
        figures["train/learning_rate"] = window.learning_rate
        figures["train/gradient_norm"] = self.engine.gradient_norm
        if self.recipe.robust.method != "plain":
            progress = (self.state.update - 1) / self.updates
            figures["train/epsilon"] = radius(self.recipe.robust, progress, self.state.site_norm)
        self.metrics.write(self.state.update, figures)
        now = time.monotonic()
        if self.engine.ranks.is_main and (now - self._printed > PRINT_SECONDS or self.state.update == self.updates):
            self._printed = now
            speed = figures["speed/examples_per_second"] or 0.0
            print(f"update {self.state.update:>6}/{self.updates}  loss {figures.get('train/loss') or 0:.4f}  "
                  f"{speed:.0f} examples/s", flush=True)

    def _evaluate(self) -> None:
        state, metric = self.state, self.data.manifest.metric
        better = METRICS[metric].sign
        counts = counts_for_selection(self.recipe.robust, state.update / self.updates)
        figures: dict[str, float | None] = {}
        selecting: Predictions | None = None
        for name, examples in self.dev.items():
            found = predict(self.engine.module, examples, self.recipe.evaluation.batch_size, self.engine.device,
                            self.engine.ranks, partial(gather_objects, ranks=self.engine.ranks))
            if name == self.data.select_on and metric == "accuracy":
                selecting = found
            value = found.metric(metric)
            figures[f"dev/{metric}/{name}"] = value
            best = state.oracle.get(name)
            if counts and (best is None or better * value >= better * best["value"]):
                state.oracle[name] = {"value": value, "step": state.update}
        if figures:
            self.metrics.write(state.update, figures)
        chosen = self.data.select_on
        # Of equals the latest is taken: it has seen the most of what the method teaches.
        best_yet = counts and (chosen is None or state.oracle[chosen]["step"] == state.update)
        state.evaluations_without_gain = 0 if best_yet or not counts else state.evaluations_without_gain + 1
        patience = self.recipe.evaluation.patience_evaluations
        state.out_of_patience = patience is not None and state.evaluations_without_gain >= patience
        if best_yet:
            best_here = state.oracle[chosen]["value"] if chosen else None
            state.selected = {"cell": chosen, "metric": metric, "value": best_here, "step": state.update}
            self.save_best()
        if self.engine.ranks.is_main and figures:
            shown = "  ".join(f"{name.split('/')[-1]} {value:.3f}" for name, value in figures.items() if value)
            print(f"update {state.update:>6}/{self.updates}  dev {metric}: {shown}", flush=True)
        if selecting is not None:
            check_collapse(self.recipe, state, self.updates, selecting, self.engine.module.model.config.hidden_size)
