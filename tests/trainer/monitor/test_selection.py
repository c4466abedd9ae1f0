"""Which evaluation is the best one, and when evaluations without gain end a run."""

from __future__ import annotations

from trainer.monitor.best_checkpoint import update_best
from trainer.monitor.early_stopping import update_patience
from trainer.runs.state import TrainState


def test_the_best_value_on_the_selection_cell_is_selected() -> None:
    state = TrainState()
    for step, en, de, best in ((1, 0.5, 0.6, True), (2, 0.4, 0.7, False), (3, 0.5, 0.1, True), (4, 0.9, 0.2, True)):
        state.step = step
        assert update_best(state, {"en": en, "de": de}, {"en": 1, "de": 1}, "en", "accuracy") == best
    assert state.selected == {"cell": "en", "metric": "accuracy", "value": 0.9, "step": 4}
    assert state.oracle == {"en": {"value": 0.9, "step": 4}, "de": {"value": 0.7, "step": 2}}


def test_lower_may_be_better() -> None:
    state = TrainState(step=1)
    assert update_best(state, {"en": 20.0}, {"en": -1}, "en", "perplexity")
    state.step = 2
    assert not update_best(state, {"en": 21.0}, {"en": -1}, "en", "perplexity")
    assert update_best(state, {"en": 19.0}, {"en": -1}, "en", "perplexity")


def test_without_a_selection_cell_the_latest_is_the_best() -> None:
    state = TrainState(step=7)
    assert update_best(state, {}, {}, None, "accuracy")
    assert state.selected == {"cell": None, "metric": "accuracy", "value": None, "step": 7}


def test_patience_counts_evaluations_in_a_row_without_gain() -> None:
    state = TrainState()
    for is_best, counts, expected in ((False, True, 1), (True, True, 0), (False, True, 1), (False, False, 0),
                                      (False, True, 1)):
        update_patience(state, counts=counts, is_best=is_best, patience=2)
        assert (state.evaluations_without_gain, state.out_of_patience) == (expected, False)
    update_patience(state, counts=True, is_best=False, patience=2)
    assert state.out_of_patience
    update_patience(state, counts=True, is_best=False, patience=None)
    assert not state.out_of_patience
