"""What a recipe may hold: pydantic models with a docstring under each field; unknown keys are refused.

A recipe says what to learn (data, model, batch, optimiser, method); `ds_configs/*.json` says how to run it.
This file is the manual of every setting and the one place where defaults live.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, le=1e6)]  # the upper bound keeps products of settings finite
Weight = Annotated[float, Field(ge=0.0, le=1e6)]
PRINTED = r"^[^\x00-\x1f\x7f]*$"


def _is_path(text: str) -> str:
    if len(text.encode()) > 4000 or any(len(part.encode()) > 255 for part in text.split("/")):
        raise ValueError("longer than a path or a name in it can be")
    return text


PathText = Annotated[str, Field(pattern=PRINTED), AfterValidator(_is_path)]


class Section(BaseModel):
    """Base of all sections: no unknown keys, no non-finite numbers, immutable once built."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _no_switch_where_a_number_belongs(cls, values: Any) -> Any:
        """pydantic takes true for 1: `batch: {size: yes}` would train with batches of one."""
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, bool) and name in cls.model_fields and cls.model_fields[name].annotation is not bool:
                raise ValueError(f"{name} is no switch, found {str(value).lower()}")
        return values


class ModelSection(Section):
    """Which encoder, and how it is held."""

    name: PathText | None = None
    """Hub name or local folder of an XLM-R model with weights, e.g. `xlm-roberta-large`. The head of a classifier whose
    classes are the task's, by name, is kept; another is dropped, and said."""
    random: Literal["tiny", "base", "large"] | None = None
    """Random weights of this size instead; the vocabulary is that of the shards' tokenizer."""
    dropout: Share | None = None
    """Dropout of hidden states, attention and head; None keeps what the model's configuration says. Masks are a
    function of the seed, the update, the rank and the place of the micro-batch: at 0, ranks and micro-batches change an
    update by rounding only; above it another number of ranks or another `batch.micro_batch_size` draws other masks
    from the same distribution."""
    freeze_word_embeddings: bool = False
    """Do not train the word-embedding table (keeps languages unseen in training where they are)."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass (non-reentrant, so that input gradients stay exact)."""


class DataSection(Section):
    """Which cells (`task/split/language` folders under the shards' root) are trained on and watched."""

    shards: PathText = "shards"
    """Root folder written by `python -m data_prep build`."""
    train: list[str] = Field(min_length=1)
    """Cells to train on, e.g. `[xnli/train/en]`; several are mixed in proportion to their rows. `*` matches."""
    dev: list[str] = []
    """Cells evaluated on the cadence, e.g. `[xnli/dev/*]`."""
    select_on: str | None = None
    """Dev cell whose metric picks the best checkpoint; None takes the English dev cell, or the only one."""
    max_length: int | None = Field(default=None, ge=8)
    """Cut model inputs to this many tokens; None keeps the length the shards were built with."""
    bucket_by_length: bool = True
    """Batches of like length: less padding, the same number of examples per batch."""
    pad_to: int | None = Field(default=None, ge=8, le=2**16)
    """Pad every batch to this length instead of its longest row; only good for measuring what padding costs."""
    verify: Literal["size", "sha256", "none"] = "size"
    """How carefully shard files are checked at open."""
    workers: int = Field(default=0, ge=0, le=256)
    """Loader processes per rank; 0 collates in the training process."""
    mask_ratio: Share = 0.15
    """Masked language modelling: share of content tokens to predict (80 % masked, 10 % random, 10 % kept)."""


class BatchSection(Section):
    """How many examples an update sees."""

    size: int = Field(default=32, ge=1, lt=2**31)
    """Examples per update over all ranks and accumulation steps (the global batch)."""
    micro_batch_size: int | None = Field(default=None, ge=1)
    """Examples per rank and forward pass; None takes the whole share of a rank (no accumulation). Changes an update by
    rounding only where `model.dropout` is 0."""


class OptimizerSection(Section):
    """The optimiser; the gradient is that of the mean loss over the global batch."""

    name: Literal["adamw", "sgd"] = "adamw"
    """AdamW (Loshchilov and Hutter 2019), or plain SGD, which the exactness tests use."""
    lr: Positive = 2e-5
    """Peak learning rate. XLM-R large is safer at 5e-6 to 1e-5 (see README: collapsed runs)."""
    weight_decay: Weight = 0.01
    """Decoupled weight decay on weight matrices; biases and LayerNorm are exempt."""
    beta1: Share = 0.9
    """AdamW's first decay rate."""
    beta2: Share = 0.999
    """AdamW's second decay rate."""
    eps: Positive = 1e-8
    """AdamW's divide-by-zero guard."""
    fused: bool = False
    """AdamW in one pass over memory: faster, and without temporaries of twice a rank's share of the weights (at XLM-R
    large and ZeRO 2 on two ranks 2 GB each). Rounds differently, so do not change it between runs to be compared."""
    max_grad_norm: Positive | None = 1.0
    """Clip the global gradient to this L2 norm; None does not clip."""


class ScheduleSection(Section):
    """How long, and the learning rate's course: linear warm-up, then linear decay to zero, or constant."""

    max_steps: int | None = Field(default=None, ge=1, le=10**9)
    """Length in updates; give this or `epochs`."""
    epochs: Positive | None = None
    """Length in passes over the training cells; give this or `updates`."""
    warmup_ratio: Share = 0.1
    """Share of the updates over which the learning rate rises."""
    decay: Literal["linear", "constant"] = "linear"
    """What follows the warm-up."""

    @model_validator(mode="after")
    def _one_length(self) -> ScheduleSection:
        if (self.max_steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of schedule.max_steps and schedule.epochs")
        return self


class EvaluationSection(Section):
    """When dev cells are evaluated during training."""

    every_steps: int | None = Field(default=None, ge=1)
    """Updates between evaluations; None evaluates ten times in a run. The last update is always evaluated."""
    batch_size: int = Field(default=64, ge=1, lt=2**31)
    """Examples per rank and forward pass."""
    patience_evaluations: int | None = Field(default=None, ge=1)
    """End the run after this many evaluations in a row without a better one on `data.select_on`; None never does. The
    learning rate then ends before its course does."""
    on_collapse: Literal["stop", "warn"] = "stop"
    """What to do when training has fallen to chance: stop with advice and exit code 3, or say so and go on."""


class CheckpointSection(Section):
    """When the whole training state is saved."""

    every_steps: int | None = Field(default=None, ge=1)
    """Updates between checkpoints; None saves four times in a run."""
    keep: int = Field(default=2, ge=2)
    """Complete checkpoints to keep; at least two, since the newest may turn out to be damaged."""
    background: bool = True
    """Write while training goes on, from a copy of the state in the host's memory; false needs no such copy."""
    resume: Literal["exact", "weights"] = "exact"
    """What to do with a checkpoint that cannot be taken over whole (another ZeRO stage, or one that DeepSpeed cannot
    convert to this number of ranks): refuse it, or take the weights and lose the optimiser's moments."""


# Defaults that depend on the method; the rest take 1 step, and start anywhere in the ball.
STEPS = {"pgd": 3, "freelb": 3}
START: dict[str, Literal["zero", "uniform", "gaussian"]] = {
    "pgd": "zero", "freelb": "uniform", "smart": "gaussian", "trades": "gaussian"}
START_RADIUS = {"smart": 0.1, "trades": 0.1}


class RobustSection(Section):
    """The robust method, and the ball it works in."""

    method: Literal["plain", "pgd", "fgm", "freelb", "smart", "trades", "random_noise", "r3f", "mixup"] = "plain"
    """One of `trainer.robust.METHODS`."""
    site: str = "word_embeddings"
    """Where the perturbation enters: `word_embeddings`, `embeddings` (the block's output) or `layer:K`."""
    epsilon: Positive = 0.1
    """Radius of the ball; with `relative`, as a share of the mean norm (of this norm and scope) at the site. Only
    rounding exceeds it, in bf16 by at most 2^-8 of it."""
    relative: bool = True
    """Whether epsilon is such a share, measured once when training starts, or an absolute length."""
    norm: Literal["l2", "linf"] = "l2"
    """Which norm the ball has."""
    scope: Literal["token", "sequence"] = "token"
    """Whether each token or each whole sequence has a ball of its own."""
    ascent_steps: int = Field(default=1, ge=1, le=1000)
    """pgd, freelb, smart, trades: ascent steps K; None takes 3 for pgd and freelb, 1 for smart and trades. freelb
    takes at least 2: its last pass does not move the perturbation."""
    ascent_step_size: Positive | None = None
    """pgd, freelb, smart, trades: length of an ascent step as a share of epsilon; None takes 1 for one step, else
    2.5 / steps."""
    start: Literal["zero", "uniform", "gaussian"] | None = None
    """pgd, freelb, smart, trades: where the ascent starts; None takes zero for pgd (the first gradient is the clean
    one), uniform for freelb, gaussian for smart and trades, whose gradient at zero is zero."""
    start_radius: float = Field(default=1.0, gt=0.0, le=1.0)
    """pgd, freelb, smart, trades: radius of the ball that a random start is drawn in, as a share of epsilon. None takes
    0.1 for smart and trades, so that the direction found outweighs the start, and 1 elsewhere. The authors of these two
    start at about 0.01 and 0.03 of a step or radius; in bf16 so small a start often leaves the logits as they were."""
    restarts: int = Field(default=1, ge=1, lt=64)
    """pgd: ascents from independent starts; each example keeps the one with the highest loss."""
    noise: Literal["uniform", "gaussian"] = "uniform"
    """random_noise, r3f: the distribution in the ball."""
    smoothness_weight: Positive = 1.0
    """smart, trades, r3f: weight of the divergence between the clean and the perturbed prediction."""
    bregman_weight: Weight = 0.0
    """smart: weight of the divergence from a running average of the model (Bregman proximal point); its copy of the
    weights costs every rank four bytes per parameter, at every ZeRO stage."""
    bregman_momentum: Share = 0.99
    """smart: how much of that running average an update keeps."""
    mixing_alpha: Positive = 0.2
    """mixup: the weight of an example in its mixture is drawn from Beta(alpha, alpha), and is at least one half."""
    partner: Literal["batch", "copy"] = "batch"
    """mixup: what an example is mixed with, another one of the global batch, or another copy of the same row in a
    cell that `python -m data_prep augment` made."""
    draws: int = Field(default=1, ge=1, lt=4096)
    """random_noise, r3f: independent draws M whose losses, or divergences, are averaged."""
    clean_weight: Weight = 0.0
    """pgd, freelb, random_noise: weight of the loss on the clean input, added to that on the perturbed one."""
    shared_dropout: bool = False
    """Whether all passes of a micro-batch above the site, ascent and update, clean and perturbed, draw the same dropout
    masks (as FreeLB's authors do), or each its own. Below the site there is one pass, so one set of masks."""
    ramp_start: Share = 0.0
    """Share of the run before which the radius is zero (plain training)."""
    ramp_end: Share = 0.0
    """Share of the run from which the radius is full; it grows linearly in between."""

    @model_validator(mode="before")
    @classmethod
    def _take_the_method_s_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        method = str(values.get("method"))
        defaults = {"ascent_steps": STEPS.get(method, 1), "start_radius": START_RADIUS.get(method, 1.0)}
        return values | {key: value for key, value in defaults.items() if values.get(key) is None}

    @model_validator(mode="after")
    def _consistent(self) -> RobustSection:
        if not re.fullmatch(r"word_embeddings|embeddings|layer:[0-9]{1,4}", self.site):
            raise ValueError(f"robust.site must be word_embeddings, embeddings or layer:K, found {self.site!r}")
        if self.start == "zero" and self.method in ("smart", "trades"):
            raise ValueError(f"robust.start zero: {self.method} has no gradient there; take gaussian or uniform")
        if self.method == "freelb" and self.ascent_steps < 2:
            raise ValueError("robust.ascent_steps: freelb ascends between its passes and needs at least 2, found 1; "
                             "set 2 or more, or robust.method random_noise, which is what 1 would be")
        if self.bregman_weight and self.method != "smart":
            raise ValueError(f"robust.bregman_weight belongs to smart, found robust.method {self.method}")
        if self.restarts > 1 and self.start in (None, "zero"):
            raise ValueError("robust.restarts: several ascents need a random start; set robust.start to uniform")
        if self.ramp_end < self.ramp_start:
            raise ValueError("robust.ramp_end must not lie before robust.ramp_start")
        return self


class EngineSection(Section):
    """How the run is executed; nothing here changes what is learnt beyond rounding."""

    config: PathText = "zero0"
    """A DeepSpeed configuration: a name in `ds_configs/` or the path of a JSON file."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Storage of weights and activations; fp32 is fastest on CPUs without matrix units for bf16. In fp16 the loss scale
    is dynamic: an update that overflows is skipped."""
    timeout_seconds: float = Field(default=1800.0, gt=0)
    """A rank that does not answer the others for this long ends the run; longer than the longest evaluation or save
    that only some ranks take part in."""
    max_nonfinite_steps: int = Field(default=20, ge=1)
    """Updates in a row that may be skipped because of NaN or Inf; one more ends the run. fp16 skips about ten when it
    starts, while it looks for a loss scale."""


class LoggingSection(Section):
    """What is written while training."""

    every_steps: int = Field(default=10, ge=1)
    """Updates between lines in metrics.jsonl and points in TensorBoard."""
    spike: float = Field(default=5.0, gt=1)
    """An update whose loss is this many times its running mean is noted in metrics.jsonl with its example ids."""


class Recipe(Section):
    """One training run, complete: `runs/<name>/config.yaml` is a Recipe with every default written out."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=200)
    """Name of the run's folder; None takes `<recipe file>-seed<seed>`."""
    label: str | None = Field(default=None, pattern=PRINTED, min_length=1, max_length=200)
    """What reports call this kind of run; runs that differ only in seed share it. None takes the method's name."""
    output: PathText = "runs"
    """Folder that holds the runs."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of weights, data order, dropout and noise."""
    init_from: PathText | None = None
    """Folder of an earlier run that has ended, whose encoder is taken over and whose head is dropped (intermediate
    training)."""
    model: ModelSection = ModelSection()
    data: DataSection
    batch: BatchSection = BatchSection()
    optimizer: OptimizerSection = OptimizerSection()
    schedule: ScheduleSection
    evaluation: EvaluationSection = EvaluationSection()
    checkpoint: CheckpointSection = CheckpointSection()
    robust: RobustSection = RobustSection()
    engine: EngineSection = EngineSection()
    kernels: Literal["auto", "reference", "cpu", "triton"] = "auto"
    """Backend of the perturbation kernels; a named one that is not there is an error. `auto` takes triton on CUDA and
    cpu elsewhere, and falls back to reference with one warning."""
    logging: LoggingSection = LoggingSection()

    @model_validator(mode="after")
    def _one_origin(self) -> Recipe:
        origins = {"model.name": self.model.name, "model.random": self.model.random, "init_from": self.init_from}
        given = [key for key, value in origins.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(origins)}; found {', '.join(given) or 'none'}")
        return self
