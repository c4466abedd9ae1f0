"""Schema of recipes: pydantic models with a docstring under each field; unknown keys are errors.

A recipe says what to learn (data, model, batch, optimiser, method); `ds_configs/*.json` says how to run it.
This file and the methods' (`trainer/robust`) are the manual of every setting and the one place where defaults live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from trainer.robust import DEFAULT_METHOD, METHODS, MethodSettings
from trainer.settings import Positive, Section, Share, Weight

PRINTED = r"^[^\x00-\x1f\x7f]*$"


def _is_path(text: str) -> str:
    if len(text.encode()) > 4000 or any(len(part.encode()) > 255 for part in text.split("/")):
        raise ValueError("longer than a path or a name in it can be")
    return text


PathText = Annotated[str, Field(pattern=PRINTED), AfterValidator(_is_path)]


def _method_of(values: Any) -> str | None:
    """Name of the method, which says what `robust` may hold."""
    if isinstance(values, dict):
        return str(values.get("method", DEFAULT_METHOD))
    return getattr(values, "method", None)


if TYPE_CHECKING:
    _Robust = MethodSettings
else:
    _Robust = Annotated[
        Union[tuple(Annotated[method.settings, Tag(name)] for name, method in METHODS.items())],  # noqa: UP007
        Discriminator(_method_of)]


class ModelSection(Section):
    """Encoder, its origin and its memory use."""

    name: PathText | None = None
    """Hub name or local folder of a model with weights in safetensors, e.g. `xlm-roberta-large` (`trainer convert`
    makes one of a pickle). A classifier's head is kept if its classes are the task's by name, else dropped with a
    message."""
    revision: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=200)
    """Commit, tag or branch of a hub name; None takes the main branch. The run's record names the commit, and a resumed
    run takes that one again."""
    random: Literal["tiny", "small", "base", "large"] | None = None
    """Random weights of this size instead, with the vocabulary of the shards' tokenizer."""
    family: str | None = Field(default=None, pattern=PRINTED, max_length=40)
    """Architecture of a `random` model, under transformers' name, e.g. `bert`; None takes `xlm-roberta`."""
    dropout: Share | None = None
    """Dropout of hidden states, attention and head; None keeps the rates of the model's configuration. Masks are
    a function of seed, step, rank and index of the micro-batch: at 0, ranks and micro-batches change a step by rounding
    only; above 0, another number of ranks or another `batch.micro_batch_size` draws other masks from the same
    distribution."""
    freeze_word_embeddings: bool = False
    """Do not train the word-embedding table, so that words of languages unseen in training stay in place."""
    head_seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Seed of a new head's initial weights; None takes `seed`. Runs whose heads start alike can be averaged over seeds
    (`trainer average`); weights of heads that were drawn apart have no meaningful mean."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass (non-reentrant, so that input gradients stay exact)."""

    @model_validator(mode="after")
    def _of_their_origin_only(self) -> ModelSection:
        if self.family is not None and self.random is None:
            raise ValueError("model.family is that of a model.random; a folder or hub model says its own")
        if self.revision is not None and self.name is None:
            raise ValueError("model.revision is that of a model.name on the hub; remove it, or give the name")
        if self.head_seed is not None and self.random is not None:
            raise ValueError("model.head_seed is of a new head on a trained encoder; random weights are all drawn from "
                             "the seed: remove one of model.head_seed and model.random")
        return self


class DataSection(Section):
    """Training and dev cells (`task/split/language` folders under the shards' root), and how they are loaded."""

    shards: PathText = "shards"
    """Root folder written by `python -m data_prep build`."""
    train: list[str] = Field(min_length=1)
    """Cells to train on, e.g. `[xnli/train/en]`; `*` matches. Cells of one task are mixed in proportion to their rows;
    cells that differ in kind, labels or columns are several tasks (see `mixture`)."""
    dev: list[str] = Field(default_factory=list)
    """Cells evaluated during training (see `evaluation`), e.g. `[xnli/dev/*]`. In a mixture, a cell is predicted by the
    head of the task of its name, else of the first task whose kind and labels are the cell's."""
    select_on: str | None = None
    """Dev cell whose metric picks the best checkpoint; None takes the English dev cell, or the only one. In a mixture,
    its task is the one whose head `best/` holds."""
    max_length: int | None = Field(default=None, ge=8)
    """Cut model inputs to this many tokens; None keeps the length the shards were built with."""
    bucket_by_length: bool = True
    """Batch examples of similar length: less padding, the same number of examples per batch."""
    pad_to: int | None = Field(default=None, ge=8, le=2**16)
    """Pad every batch to this length instead of that of its longest row; only useful to measure the cost of padding."""
    verify: Literal["size", "sha256", "none"] = "size"
    """Check of shard files when they are opened."""
    workers: int = Field(default=0, ge=0, le=256)
    """Loader processes per rank; 0 collates in the training process."""
    mask_ratio: Share = 0.15
    """Masked language modelling: share of content tokens to predict (80 % masked, 10 % random, 10 % kept)."""


Tasks = dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_+-]+$", max_length=100)], Positive]
"""A positive number by task."""


class MixtureSection(Section):
    """Several tasks in one run, each with a head of its own on one encoder: shares of the steps, weights of the losses.

    Without any setting here, cells that agree in kind, labels and columns are one task and share a head, whatever their
    names, as mnli and xnli; cells that do not agree are several. With a setting, tasks are told apart by the first part
    of a cell's path, so that unrelated tasks with the same labels have a head each; `mnli+synonyms` belongs to `mnli`
    where kind, labels and columns agree, and `same_task` joins others. n is the number of training rows of a task. No
    setting but `same_task` may be given where there is one task.
    """

    sampling: Literal["proportional", "uniform", "temperature", "capped", "weights"] | None = None
    """Probability p of a task: proportional (None is the same), p ~ n; uniform; temperature, p ~ n^(1/T); capped,
    p ~ min(n, cap) (the examples-proportional mixing of T5, Raffel et al. 2020, arXiv 1910.10683); weights, p ~ weight.
    """
    temperature: Positive | None = None
    """T of sampling temperature (T5; mBERT's exponent 0.7 is T = 1 / 0.7): 1 is proportional, infinity uniform."""
    cap: int | None = Field(default=None, ge=1)
    """Rows of a task that count at most, in sampling capped, and in temperature if given (as in T5)."""
    weights: Tasks = Field(default_factory=dict)
    """Of sampling weights, one for each task, e.g. `{mnli: 3, udpos: 1}`."""
    loss_weights: Tasks = Field(default_factory=dict)
    """Factors on the losses of tasks, e.g. `{text: 0.5}`; 1 for those that are not named."""
    tasks_per_step: int = Field(default=1, ge=1, le=1000)
    """Parts of equal size that the global batch is cut into; the task of each is drawn on its own, and a micro-batch
    lies within one. The loss of a step is the mean over its parts of the mean loss of the part."""
    same_task: dict[str, str] = Field(default_factory=dict)
    """Tasks whose cells count as another's, with one head, e.g. `{xnli: mnli}`: kind, labels and columns must agree."""

    @model_validator(mode="after")
    def _no_idle_setting(self) -> MixtureSection:
        users = {"temperature": ("temperature",), "cap": ("capped", "temperature"), "weights": ("weights",)}
        for name, samplings in users.items():
            given = bool(getattr(self, name))
            if given and self.sampling not in samplings:
                raise ValueError(f"mixture.{name} has no effect with mixture.sampling "
                                 f"{self.sampling or 'proportional'}; remove it, or set sampling to "
                                 f"{' or '.join(samplings)}")
            if not given and self.sampling == samplings[0]:
                raise ValueError(f"mixture.sampling {self.sampling} needs mixture.{name}")
        return self


class BatchSection(Section):
    """Batch size per step and per forward pass."""

    size: int = Field(default=32, ge=1, lt=2**31)
    """Examples per step over all ranks and micro-batches (the global batch)."""
    micro_batch_size: int | None = Field(default=None, ge=1)
    """Examples per rank and forward pass; None takes the whole share of a rank (no accumulation), in a mixture that of
    each of its `tasks_per_step` parts. Changes a step by rounding only if `model.dropout` is 0."""


class OptimizerSection(Section):
    """Optimiser of the mean loss over the global batch."""

    name: Literal["adamw", "sgd"] = "adamw"
    """AdamW (Loshchilov and Hutter 2019), or plain SGD, which the exactness tests use."""
    lr: Positive = 2e-5
    """Peak learning rate. XLM-R large is safer at 5e-6 to 1e-5 (see "collapse" in the README)."""
    weight_decay: Weight = 0.01
    """Decoupled weight decay on weight matrices; biases and LayerNorm are exempt."""
    beta1: Share = 0.9
    """Decay rate of AdamW's first moment."""
    beta2: Share = 0.999
    """Decay rate of AdamW's second moment."""
    eps: Positive = 1e-8
    """Term that AdamW adds to the denominator."""
    fused: bool = True
    """Fused AdamW: faster, and without temporaries of twice a rank's share of the weights (XLM-R large, ZeRO 2, two
    ranks: 2 GB each). The other rounds differently, so use one setting for all runs that are compared."""
    max_grad_norm: Positive | None = 1.0
    """Clip the global gradient to this L2 norm; None does not clip."""


class ScheduleSection(Section):
    """Length of the run and learning rate schedule: linear warm-up, then linear decay to zero, or constant."""

    max_steps: int | None = Field(default=None, ge=1, le=10**9)
    """Length in steps (optimiser updates); give this or `epochs`."""
    epochs: Positive | None = None
    """Length in passes over the training cells; give this or `max_steps`."""
    warmup_ratio: Share = 0.1
    """Share of the steps over which the learning rate rises."""
    decay: Literal["linear", "constant"] = "linear"
    """Learning rate after the warm-up."""

    @model_validator(mode="after")
    def _one_length(self) -> ScheduleSection:
        if (self.max_steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of schedule.max_steps and schedule.epochs")
        return self


class EvaluationSection(Section):
    """Evaluation of dev cells during training."""

    every_steps: int | None = Field(default=None, ge=1)
    """Steps between evaluations; None evaluates ten times in a run. The last step is always evaluated."""
    batch_size: int = Field(default=64, ge=1, lt=2**31)
    """Examples per rank and forward pass."""
    patience_evaluations: int | None = Field(default=None, ge=1)
    """Early stopping: end the run after this many evaluations in a row without a gain on `data.select_on`; None never
    does. The learning rate schedule is then cut short."""
    on_collapse: Literal["stop", "warn"] = "stop"
    """Reaction to a collapse to chance level: stop with advice and exit code 3, or warn and go on."""
    suite: Literal["xtreme", "xtreme_r", "xglue"] | None = None
    """Suite whose test sets `train --then evaluate` predicts on; None takes the test cells of the tasks of `data.dev`,
    or the splits of the dev cells where no test cell is built."""


class CheckpointSection(Section):
    """Saving and resuming the whole training state."""

    every_steps: int | None = Field(default=None, ge=1)
    """Steps between checkpoints; None saves four times in a run."""
    keep: int = Field(default=2, ge=2)
    """Complete checkpoints to keep; at least two, since the newest may be damaged."""
    keep_when_done: bool = False
    """Keep the checkpoints of a finished run, 4 GB each for XLM-R large. Nothing here reads them: a finished run is not
    trained further, and its model is in `best/`. A run that was given up keeps its own."""
    snapshots: int = Field(default=0, ge=0, le=1000)
    """Snapshots to keep for `trainer average`: the weights, without optimiser state, at the last evaluation points
    (arXiv 2305.16834); 0 keeps none. One takes 2.2 GB for XLM-R large. Those of SMART's EMA are not kept."""
    background: bool = True
    """Write asynchronously, from a copy of the state in host memory; false waits, and needs no copy."""
    resume: Literal["exact", "weights"] = "exact"
    """Reaction to a checkpoint that cannot be restored whole (another ZeRO stage, or one that DeepSpeed cannot convert
    to this number of ranks): refuse it, or restore the weights and lose the optimiser's moments."""


class EngineSection(Section):
    """Execution of the run; nothing here changes what is learned beyond rounding."""

    config: PathText = "zero0"
    """DeepSpeed configuration: a name in `ds_configs/` or the path of a JSON file."""
    trim_vocabulary: bool = True
    """Vocabulary trimming: train without the word embeddings that no cell of the run reads, and put them back, decayed
    as the optimiser would have, where the model is saved. Equal to rounding, in less memory and time. Masked language
    modelling reads all of them."""
    compile: bool = False
    """Compile the encoder's layers with torch.compile, once for all lengths of inputs. Equal to rounding, but not at
    ZeRO 3. It takes minutes at the start, and on a CPU it was slower."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Storage of weights and activations; fp32 is fastest on CPUs without matrix units for bf16. In fp16 the loss scale
    is dynamic: a step that overflows is skipped."""
    timeout_seconds: float = Field(default=1800.0, gt=0)
    """Time-out of collectives: the run ends if a rank does not answer for this long. Must exceed the longest evaluation
    or save that only some ranks take part in."""
    max_nonfinite_steps: int = Field(default=20, ge=1)
    """Consecutive steps that may be skipped because of NaN or Inf; one more ends the run. fp16 skips about ten at the
    start, until it has found a loss scale."""


class LoggingSection(Section):
    """Metrics written during training."""

    every_steps: int = Field(default=10, ge=1)
    """Steps between lines in metrics.jsonl and points in TensorBoard."""
    spike: float = Field(default=5.0, gt=1)
    """Note a step in metrics.jsonl, with its example ids, if its loss is this many times the running mean."""
    dynamics: bool = False
    """Record training dynamics: after each epoch, the probability of every training example's gold label, at the cost
    of a forward pass over the training cells. Writes dynamics.parquet (of use to `python -m data_prep select`) and a
    data map. Needs two epochs, and a kind with classes."""


class Recipe(Section):
    """Complete recipe of a training run; `runs/<name>/config.yaml` is one with every default written out."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=200)
    """Name of the run's folder; None takes `<recipe file>-seed<seed>`."""
    label: str | None = Field(default=None, pattern=PRINTED, min_length=1, max_length=200)
    """Name of this kind of run in reports, shared by runs that differ only in seed; None takes that of the method."""
    output: PathText = "runs"
    """Folder that holds the runs."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of weights, data order, dropout and noise."""
    init_from: PathText | None = None
    """Folder of a finished run (intermediate training) to take the encoder from; its head is dropped."""
    model: ModelSection = ModelSection()
    data: DataSection
    mixture: MixtureSection = MixtureSection()
    batch: BatchSection = BatchSection()
    optimizer: OptimizerSection = OptimizerSection()
    schedule: ScheduleSection
    evaluation: EvaluationSection = EvaluationSection()
    checkpoint: CheckpointSection = CheckpointSection()
    robust: _Robust = METHODS[DEFAULT_METHOD].settings.model_validate({})
    """Robust method and its settings: see `trainer/robust/<method>.py`, and `settings.py` there for shared ones."""
    engine: EngineSection = EngineSection()
    kernels: Literal["auto", "reference", "cpu", "triton"] = "auto"
    """Backend of the perturbation kernels; it is an error if a named one is not available. `auto` takes triton on
    CUDA and cpu elsewhere, and falls back to reference with one warning."""
    logging: LoggingSection = LoggingSection()

    @model_validator(mode="after")
    def _one_origin(self) -> Recipe:
        origins = {"model.name": self.model.name, "model.random": self.model.random, "init_from": self.init_from}
        given = [key for key, value in origins.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(origins)}; found {', '.join(given) or 'none'}")
        return self
