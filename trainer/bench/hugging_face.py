"""Robust methods as usually implemented, in a subclass of Hugging Face's `Trainer`; for comparison only.

Every pass is a full forward and backward pass; weight gradients of the ascent are discarded. Inputs:
a model, the batches' rows, padded by the collator to the longest of each batch. Output: seconds per step. Optimiser,
schedule and clipping are Trainer's defaults.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback, TrainingArguments
from transformers.utils.import_utils import is_accelerate_available

from trainer.distributed.ranks import LAUNCHER_VARIABLES
from trainer.kernels import reference
from trainer.kinds.batch import Batch
from trainer.robust.pgd import PGD

Inputs = dict[str, Tensor]
EPSILON = 0.05

MISSING = ("Hugging Face's Trainer is left out: transformers needs the package accelerate for it "
           "(pip install accelerate, 0.4 MB)")


def why_left_out(world_size: int) -> str | None:
    """Reason why the comparison cannot be made here, or None."""
    if world_size > 1:
        return "Hugging Face's Trainer is left out: it is compared on one rank only"
    return None if is_accelerate_available() else MISSING


def rows_of(batches: Sequence[Batch]) -> list[dict[str, list[int] | int]]:
    """Examples of `batches` as a dataset for `Trainer`, without padding."""
    return [{"input_ids": ids[real].tolist(), "label": int(label)}
            for batch in batches
            for ids, real, label in zip(batch.input_ids, batch.attention_mask, batch.targets["labels"], strict=True)]


def pad_to_longest(rows: Sequence[dict[str, Any]], pad_id: int) -> Inputs:
    """Collate as DataCollatorWithPadding does, which would need a tokenizer."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.full((len(rows), longest), pad_id)
    for number, row in enumerate(rows):
        ids[number, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
    return {"input_ids": ids, "attention_mask": (ids != pad_id).long(),
            "labels": torch.tensor([row["label"] for row in rows])}


def noise_step(model: Any, inputs: Inputs, epsilon: float, backward: Callable[[Tensor], None]) -> Tensor:
    """Add noise, uniform in the L2 ball of each token, to the word embeddings; return the loss."""
    words_BLH = model.get_input_embeddings()(inputs["input_ids"])
    noise_BLH = torch.randn_like(words_BLH)
    radii_BL1 = epsilon * torch.rand_like(words_BLH[..., :1]) ** (1 / words_BLH.shape[-1])
    noise_BLH *= radii_BL1 / noise_BLH.norm(dim=-1, keepdim=True) * _content(model, inputs).unsqueeze(-1)
    loss: Tensor = model(inputs_embeds=words_BLH + noise_BLH, **_places(inputs)).loss
    backward(loss)
    return loss.detach()


def pgd_step(model: Any, inputs: Inputs, epsilon: float, backward: Callable[[Tensor], None], steps: int) -> Tensor:
    """Do K = `steps` ascent passes and the update's, each with a full backward pass; return the update's loss.

    The ball is L2, per token, of the absolute radius epsilon, and delta enters through `inputs_embeds`. backward: what
    back-propagates a loss; the update's gradients are left in the parameters.
    """
    content_BL, places = _content(model, inputs), _places(inputs)
    delta_BLH: Tensor | None = None
    length = PGD(ascent_steps=steps).step_length * epsilon
    for _ in range(steps):
        words_BLH = model.get_input_embeddings()(inputs["input_ids"])
        delta_BLH = (torch.zeros_like(words_BLH) if delta_BLH is None else delta_BLH).requires_grad_(True)
        backward(model(inputs_embeds=words_BLH + delta_BLH, **places).loss)
        if delta_BLH.grad is None:
            raise RuntimeError("the loss does not depend on the perturbation")
        _, delta_BLH = reference.perturb_ascend(
            delta_BLH.detach(), delta_BLH.grad, words_BLH.detach(), content_BL,
            length, epsilon, "l2", "token")
    model.zero_grad()
    words_BLH = model.get_input_embeddings()(inputs["input_ids"])
    loss: Tensor = model(inputs_embeds=words_BLH + delta_BLH, **places).loss
    backward(loss)
    return loss.detach()


def _content(model: Any, inputs: Inputs) -> Tensor:
    """(B, L) true on tokens that are neither padding nor special."""
    config = model.config
    special = torch.tensor([config.bos_token_id, config.eos_token_id, config.pad_token_id], device=model.device)
    return ~torch.isin(inputs["input_ids"], special)


def _places(inputs: Inputs) -> Inputs:
    return {"attention_mask": inputs["attention_mask"], "labels": inputs["labels"]}


class Comparison:
    """A `Trainer` on a model of its own; `run` may be called repeatedly."""

    def __init__(self, model: Any, batches: Sequence[Batch], *, bf16: bool = False, compiled: bool = False) -> None:
        """bf16: train under autocast, with weights in fp32. compiled: with torch.compile, as Trainer applies it."""
        self._clock = _Clock()
        self._folder = tempfile.TemporaryDirectory()  # Trainer wants one even where it writes nothing
        with _launcher_variables_hidden():
            arguments = TrainingArguments(
                output_dir=self._folder.name, max_steps=len(batches), report_to=[], bf16=bf16, torch_compile=compiled,
                per_device_train_batch_size=len(batches[0].input_ids), train_sampling_strategy="sequential",
                remove_unused_columns=False, save_strategy="no", logging_strategy="no", disable_tqdm=True,
                use_cpu=not torch.cuda.is_available())
            arguments._n_gpu = min(1, arguments.n_gpu)  # else all GPUs of the machine, through DataParallel
            self._trainer = _robust_trainer()(
                model=model, args=arguments, train_dataset=[],
                data_collator=lambda rows: pad_to_longest(rows, model.config.pad_token_id), callbacks=[self._clock])
        self._trainer.remove_callback(PrinterCallback)

    def run(self, line: str, batches: Sequence[Batch]) -> float:
        """Train once over the batches with the method of `line`; return seconds per step, without Trainer's start."""
        self._trainer.step = STEPS[line]
        self._trainer.train_dataset, self._trainer.args.max_steps = rows_of(batches), len(batches)
        self._trainer.train()
        steps: int = self._trainer.state.global_step
        return self._clock.seconds / steps


@contextlib.contextmanager
def _launcher_variables_hidden() -> Iterator[None]:
    """Hide launcher variables: accelerate would wrap the model for several ranks, even for one."""
    hidden = {name: os.environ.pop(name) for name in LAUNCHER_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


class _Clock(TrainerCallback):
    """Seconds from the beginning of training to the end of its last step."""

    def __init__(self) -> None:
        self._began = self.seconds = 0.0

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self._began = self._now()

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        self.seconds = self._now() - self._began

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


def _robust_trainer() -> Any:
    """Define the subclass; in a function, as transformers cannot import its parent without accelerate."""
    from transformers import Trainer

    class RobustTrainer(Trainer):  # type: ignore[misc, unused-ignore]
        step: Callable[..., Tensor] | None = None

        def training_step(self, model: Any, inputs: Inputs, num_items_in_batch: Any = None) -> Tensor:
            if self.step is None:
                plain: Tensor = super().training_step(model, inputs, num_items_in_batch)
                return plain
            model.train()
            return self.step(model, self._prepare_inputs(inputs), EPSILON, self.accelerator.backward)

    return RobustTrainer


# By line of `trainer bench peers`; None: Trainer's own step.
STEPS: dict[str, Callable[..., Tensor] | None] = {
    "plain": None, "random noise": noise_step, "pgd K=1": partial(pgd_step, steps=1),
    "pgd K=3": partial(pgd_step, steps=3)}
