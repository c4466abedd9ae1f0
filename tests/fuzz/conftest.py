"""With `-m full` every property here runs on many more inputs; without it, on the few that CI has time for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.data_prep.conftest import sentences
from tests.fuzz import budget

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    budget.full = config.option.markexpr.strip() == "full"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The same tests are the default ones and the full ones, so they are marked only where `full` is asked for."""
    for item in items:
        if budget.full and HERE in item.path.parents:
            item.add_marker(pytest.mark.full)
            item.add_marker(pytest.mark.timeout(7200))


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer; read only."""
    from data_prep.tokenizer import save_tokenizer, train_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer") / "small"
    save_tokenizer(train_tokenizer(sentences(2000), 220), folder)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of pairs, evaluated and diagnosed in two languages; its cells lie beside it. Read only."""
    from tests.random_cells import write_random_cell
    from tests.trainer.small_runs import launcher_variables_kept, run, write_recipe
    from trainer.diagnose.run import diagnose
    from trainer.evaluate.run import evaluate

    place = tmp_path_factory.mktemp("finished")
    for cell in ("xnli/train/en", "xnli/dev/en", "xnli/test/en", "xnli/test/de"):
        write_random_cell(place / "shards", cell, 12)
    folder = run(write_recipe(place, place / "shards"), "pair",
                 {"schedule.max_steps": "2", "robust.method": "random_noise"})
    with launcher_variables_kept():
        assert evaluate(str(folder), tasks="xnli", **{"smoothing.samples": "12", "smoothing.sigma": "0.02"}) == 0
        assert diagnose(str(folder), tasks="xnli") == 0
    shutil.rmtree(folder / "tensorboard")
    return folder
