"""Robust training in a loop of one's own against the independent loop of the tests, and the blocks of PYTHON.md."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_prep.base.cli import main
from data_prep.base.errors import InputError
from tests import oracle
from tests.trainer.predict.own_runs import NLI, model_of, tokenizer, write_run
from trainer import RobustTraining, TaskModel
from trainer.commands import COMMANDS
from trainer.config import load_recipe
from trainer.data.loader import Examples, open_training_data
from trainer.data.sampler import epoch_batches
from trainer.kinds import KINDS
from trainer.model.build import build_model
from trainer.model.site import SiteModel

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "trainer/PYTHON.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
STEPS = 3
CASES: dict[str, dict[str, Any]] = {
    "pgd": {"ascent_steps": 2, "start": "uniform", "epsilon": 0.5, "clean_weight": 1.0},
    "freelb": {"ascent_steps": 2, "epsilon": 0.5},
    "smart": {"epsilon": 0.5, "start_radius": 0.5, "bregman_weight": 1.0, "bregman_momentum": 0.5},
    "random_noise": {"epsilon": 0.5, "draws": 2},
}


@pytest.mark.parametrize("method", CASES)
def test_a_loop_of_ones_own_trains_as_the_equations_say(method: str, recipe: Path) -> None:
    """Three updates of two micro-batches, an EMA among them, against whole batches in plain torch."""
    given = {"robust.method": method, "schedule.max_steps": str(STEPS), "schedule.warmup_ratio": "0",
             "optimizer.name": "sgd", "optimizer.lr": "0.1", "optimizer.max_grad_norm": "null",
             "optimizer.weight_decay": "0", "model.dropout": "0",
             **{f"robust.{key}": str(value) for key, value in CASES[method].items()}}
    settings = load_recipe(str(recipe), given)
    weights, losses = oracle.train(settings)
    data = open_training_data(settings.data)
    model, _ = build_model(settings, data.manifest, data.max_length)
    examples = Examples(data.train, data.max_length)
    robust = RobustTraining(SiteModel(model.train(), KINDS["pair"], "word_embeddings"), method, seed=settings.seed,
                            **CASES[method])
    robust.measure_norm([examples[0, np.arange(len(examples))]])
    optimizer = torch.optim.SGD(model.parameters())
    order = epoch_batches(examples.lengths, 8, settings.seed, 0, settings.data.bucket_by_length)
    for step, rows in enumerate(order[:STEPS]):
        metrics = robust.backward([examples[0, rows[:3]], examples[0, rows[3:]]])
        assert metrics["loss"] == pytest.approx(losses[step], rel=1e-4)
        optimizer.param_groups[0]["lr"] = 0.1 * (STEPS - step) / STEPS
        optimizer.step()
        optimizer.zero_grad()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=1e-4, atol=2e-6)


def own_model() -> TaskModel:
    return TaskModel(model_of("pair", NLI), tokenizer(), labels=NLI, max_length=32)


ROWS = [{"text": "a man sleeps", "text_pair": "nobody is awake", "label": NLI[number % 3]} for number in range(4)]


def test_a_ramp_and_mixup() -> None:
    model = own_model()
    batch = model.batch(ROWS)
    ramped = RobustTraining(model, "pgd", epsilon=0.5, ramp_end=0.5, kernels="reference")
    norms = [ramped.backward(batch, progress=done).get("perturbation_norm", 0.0) for done in (0.0, 0.25, 0.5, 1.0)]
    assert norms == pytest.approx([0.0, norms[3] / 2, norms[3], norms[3]], rel=1e-4)
    assert norms[3] == pytest.approx(0.5 * ramped.site_norm, rel=0.05)
    model.model.zero_grad()
    mixed = RobustTraining(model, "mixup", mixing_alpha=1.0)
    assert 0.5 <= mixed.backward(batch)["mixing_weight"] <= 1.0
    assert all(parameter.grad is not None for parameter in model.model.classifier.parameters())


@pytest.mark.parametrize(("method", "settings", "message"), [
    ("pdg", {}, "no robust method 'pdg'; methods: plain, pgd"),
    ("pgd", {"epslion": 0.1}, "pgd: epslion: Extra inputs are not permitted; its settings: site"),
    ("pgd", {"epsilon": -1}, "pgd: epsilon: Input should be greater than 0"),
    ("pgd", {"site": "layer:9"}, "perturbation site: the encoder has layers 1 to 2, found 'layer:9'"),
    ("mixup", {"partner": "copy"}, "set partner='batch'")])
def test_wrong_settings_are_one_line(method: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        RobustTraining(own_model(), method, **settings)


@pytest.mark.parametrize(("row", "message"), [
    ({"text": "a man", "label": "yes"}, "row 2: label 'yes' is not one of contradiction, entailment, neutral"),
    ({"text": "a man"}, "row 2: no label"), ({"txet": "a", "label": "neutral"}, "row 2: 'txet' is no name of a text"),
    ({"text_pair": "a man", "label": "neutral"}, r"row 2: no text \(first\)")])
def test_wrong_rows_are_one_line(row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        own_model().batch([ROWS[0], row])


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All of its blocks, on tiny models at the places that it names."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs/xnli_pgd-seed1")
    base = tmp_path / "FacebookAI/xlm-roberta-base"
    base.parent.mkdir()
    unnamed = model_of("pair", NLI)
    unnamed.config.id2label = {row: f"LABEL_{row}" for row in range(3)}  # as transformers calls new classes
    unnamed.save_pretrained(base)
    tokenizer().save_pretrained(base)
    Path("lines.tsv").write_text("a man sleeps\tnobody is awake\tde\n", encoding="utf-8")
    Path("lines.jsonl").write_text('{"premise": "a man", "hypothesis": "a dog"}\n', encoding="utf-8")
    (commands,) = re.findall(r"```bash\n(.*?)```", GUIDE, flags=re.DOTALL)
    for line in commands.splitlines():
        assert main(COMMANDS, shlex.split(line)[3:], "python -m trainer") == 0, capsys.readouterr().err
    assert Path("predictions.jsonl").is_file()
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL):
        exec(block, names)
    (short,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(short, {})
    assert capsys.readouterr().out.splitlines()[-1].split()[0] in NLI
    assert (len(names["found"]), len(names["turns"])) == (2, 1)
    assert names["run"].predict(names["rows"][:1])[0].value in NLI
    assert names["metrics"].keys() >= {"loss", "clean_loss", "smoothness"}
    assert Path("mine/model.safetensors").is_file()


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = ("import sys, trainer\nassert not {'torch', 'transformers', 'pydantic'} & sys.modules.keys()\n"
               "try:\n    trainer.load_runs\nexcept AttributeError as error:\n    print(error)\n")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("module 'trainer' has no attribute 'load_runs'\n", 0), done.stderr
