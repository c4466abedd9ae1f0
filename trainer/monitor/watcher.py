"""The order of what happens after a step: non-finite check, log, evaluation, early stopping, save, preemption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from trainer.config.schema import EvaluationSection
from trainer.data.loader import Examples
from trainer.distributed.collectives import gather_objects
from trainer.distributed.preemption import STOP_SIGNALS, Preempted
from trainer.engine.engine import Engine
from trainer.evaluate.predict import predict
from trainer.metrics import METRICS
from trainer.monitor.best_checkpoint import update_best
from trainer.monitor.collapse import CollapseCheck
from trainer.monitor.dynamics import Dynamics
from trainer.monitor.early_stopping import update_patience
from trainer.monitor.meter import Meter
from trainer.monitor.nonfinite import NonfiniteCheck
from trainer.monitor.progress import Progress
from trainer.monitor.saving import Saver
from trainer.monitor.step_reduction import StepReduction, StepResult
from trainer.robust.schedule import counts_for_selection, radius
from trainer.robust.settings import BallSettings, MethodSettings
from trainer.runs.metrics_log import MetricsLog
from trainer.runs.state import TrainState


@dataclass
class Watcher:
    """Called by the loop after every step, on every rank."""

    engine: Engine
    state: TrainState
    max_steps: int
    robust: MethodSettings
    evaluation: EvaluationSection
    log_every: int
    evaluate_every: int
    dev: dict[str, Examples]
    """Dev cells by name."""
    select_on: str | None
    """The selection cell, one of `dev`."""
    metrics: dict[str, list[str]]
    """Metrics of the task of each dev cell; of the first one the best value is kept."""
    metric: str
    """The one that selects checkpoints, on the selection cell."""
    log: MetricsLog
    saver: Saver
    nonfinite: NonfiniteCheck
    collapse: CollapseCheck
    save_best: Callable[[], None]
    dynamics: Dynamics
    progress: Progress
    save_snapshot: Callable[[int], None] = lambda step: None
    """Called with the step of every evaluation."""
    _open: list[StepReduction] = field(default_factory=list)

    def __call__(self, meter: Meter, result: StepResult) -> None:
        """Raises Preempted, after saving, where a signal asked any rank to stop; NonFinite; Collapsed; OSError where
        writing of a checkpoint has failed."""
        step, engine = self.state.step, self.engine
        last = step == self.max_steps
        self.saver.store.check()
        self.progress.step(step)
        self._open.append(StepReduction(step, result, engine.ranks, engine.device))
        # The latest is left open, so that nobody waits for it, unless the state is about to be saved.
        stop = self._check_steps(keep=0 if last or self.saver.is_due(step) else 1)
        is_logged = step % self.log_every == 0 or last
        if is_logged:
            self._log(meter, result.learning_rate)
        if step % self.evaluate_every == 0 or last:
            self._evaluate()
            # A signal that came in these minutes would else be seen two steps later, two evaluations perhaps.
            stop |= any(gather_objects(STOP_SIGNALS.received is not None, engine.ranks))
        self.dynamics.after_step(step)  # before the state of this step is saved: a resumed run has all epochs so far
        last = last or self.state.out_of_patience
        if last or stop:
            stop |= self._check_steps(keep=0)
        if is_logged:
            meter.clear()
        if self.saver.is_due(step) or last or stop:
            self.saver.save(self.state, meter)
        if last or stop:
            self.saver.wait()
        if stop and not last:
            raise Preempted(f"stopped by {STOP_SIGNALS.received or 'a signal to another rank'}: saved after step "
                            f"{step} of {self.max_steps}; the same command resumes from there")
        if is_logged:
            meter.clear()  # again: saving does not count as time of training

    def _check_steps(self, keep: int) -> bool:
        """Check all open steps but the latest `keep`; returns whether a signal asks the run to stop."""
        stop = False
        while len(self._open) > keep:
            reduction = self._open.pop(0)
            loss, asked = reduction.wait()
            stop |= asked
            self.nonfinite.check(self.state, reduction.step, loss, reduction.applied, reduction.example_ids,
                                 self.log.note, reduction.tasks)
        return stop

    def _log(self, meter: Meter, learning_rate: float) -> None:
        metrics = meter.means(self.engine.ranks)
        metrics["train/learning_rate"] = learning_rate
        metrics["train/gradient_norm"] = self.engine.gradient_norm
        if isinstance(self.robust, BallSettings):
            progress = (self.state.step - 1) / self.max_steps
            metrics["train/epsilon"] = radius(self.robust, progress, self.state.site_norm)
        self.log.write(self.state.step, metrics)
        self.progress.training(self.state.step, metrics)

    def _evaluate(self) -> None:
        state, engine = self.state, self.engine
        gather = partial(gather_objects, ranks=engine.ranks)
        self.progress.evaluating(state.step, sum(map(len, self.dev.values())))
        found = {name: predict(engine.module, examples, self.evaluation.batch_size, engine.device, engine.ranks, gather,
                               self.progress.evaluated)
                 for name, examples in self.dev.items()}
        scores: dict[str, dict[str, float]] = {}  # by metric and cell
        for name, predictions in found.items():
            for metric in self.metrics[name]:
                scores.setdefault(metric, {})[name] = predictions.metric(metric)
        if found:
            self.log.write(state.step, {f"dev/{metric}/{name}": value for metric, values in scores.items()
                                          for name, value in values.items()})
        firsts = {name: metrics[0] for name, metrics in self.metrics.items()}
        counts = counts_for_selection(self.robust, state.step / self.max_steps)
        is_best = counts and update_best(
            state, {name: scores[metric][name] for name, metric in firsts.items()},
            {name: METRICS[metric].sign for name, metric in firsts.items()}, self.select_on, self.metric)
        update_patience(state, counts=counts, is_best=is_best, patience=self.evaluation.patience_evaluations)
        if is_best:
            self.save_best()
        self.save_snapshot(state.step)
        for metric, values in scores.items():
            self.progress.evaluation(state.step, metric, values)
        if self.select_on and self.dev[self.select_on].kind.one_class:
            self.collapse.check(state, found[self.select_on])
