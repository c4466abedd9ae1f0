"""`python -m trainer size RECIPE --ranks N`: whether a run fits, and how long it takes, before it is queued.

Inputs: a recipe; its shards, or lengths and a vocabulary as flags. Output: a table with a column per DeepSpeed
configuration. Nothing is trained and no weights are loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from huggingface_hub import hf_hub_download
from rich.console import Console
from rich.table import Table

from data_prep.base.command_table import Keys
from data_prep.base.errors import InputError
from data_prep.shards.read import find_cells
from trainer.config import Recipe, load_recipe
from trainer.data.loader import Examples, open_training_data
from trainer.engine.ds_config import CONFIGS, read_engine_config
from trainer.engine.engine import accumulation_steps
from trainer.kinds import KINDS, Kind, Masking
from trainer.kinds.batch import Batch
from trainer.model.encoders import FAMILIES, RANDOM
from trainer.model.folder import locate, reason
from trainer.model.pretrained import read_config
from trainer.model.vocabulary import tokens_to_train
from trainer.robust import METHODS
from trainer.runs.folder import BEST
from trainer.size.duration import measure_flops, optimizer_bytes, seconds_of, traffic_of
from trainer.size.machine import measure_bandwidth
from trainer.size.memory import Memory, Plan, memory_of
from trainer.size.passes import PassCost, Weight, run_on_paper

GB = 1e9
LENGTH = 128
# Different tokens in MultiNLI's English rows: 16,500 in 15,000 rows, and 13 % more each time that the rows double.
WORDS = 30_000
LABELS = 3
DEVICES = ("gpu", "cpu")


@dataclass(frozen=True)
class Work:
    """The model, and its micro-batches, of one rank."""

    config: Any
    kind: Kind
    longest: Batch
    """Micro-batch of the longest inputs, which needs most memory."""
    typical: Batch
    """Micro-batch of inputs of mean length, as long as the average one takes."""
    steps: int | None
    """Steps of the run; None where neither the recipe nor the rows tell."""
    told: str
    words: int | None
    """Rows of the word table that are read; None where it is kept whole."""


def size(
    recipe: str, *, ranks: int = 1, gpus_per_node: int = 8, device: str = "gpu", memory_gb: float = 0.0,
    tflops: float = 0.0, memory_gb_per_s: float = 0.0, link_gb_per_s: float = 0.0, network_gb_per_s: float = 0.0,
    length: int = 0, mean_length: int = 0, vocabulary: int = 0, words: int = 0, rows: int = 0,
    **overrides: Annotated[str, Keys("trainer.config.load:nearest_keys")],
) -> int:
    """Memory per rank and time of a RECIPE on paper: does it fit, at which ZeRO stage, how long does it take.

    ranks, gpus_per_node: as the run would be started. device: gpu or cpu. memory_gb: of one device, to say what
    fits. Keys of the recipe are set by their dotted names.

    Rates of one device; those left out are measured here, if this machine has such a device: tflops (reached in a
    layer, forward and backward), memory_gb_per_s (a copy, read plus written). Those of communication are never
    measured: link_gb_per_s (between devices of a node), network_gb_per_s (of a node, to others).

    In place of shards: length, mean_length (tokens of the longest and the mean input), vocabulary, words (different
    tokens in the rows, which are trained, see engine.trim_vocabulary; 30,000 without it) and rows (of the training
    cells). Not counted: CUDA's context, NCCL's buffers and fragmentation, a few GB together.
    """
    settings = load_recipe(recipe, overrides)
    if device not in DEVICES or min(ranks, gpus_per_node) < 1:
        raise InputError(f"--device must be one of {', '.join(DEVICES)}, --ranks and --gpus_per_node at least 1; found "
                         f"{device}, {ranks} and {gpus_per_node}")
    plans = _plans(settings, ranks, device == "gpu")
    accumulation = next(iter(plans.values())).accumulation
    micro = settings.batch.size // ranks // accumulation
    work = _work(settings, micro, length, mean_length, vocabulary, words or WORDS, rows)
    weights, longest = _on_paper(settings, work, work.longest, device)
    _, typical = _on_paper(settings, work, work.typical, device)
    console = Console()
    nodes = -(-ranks // gpus_per_node)
    total = sum(weight.numel for weight in weights)
    print(f"{work.told}\n{total / 1e6:.3g} million weights, {settings.engine.precision}, {settings.robust.method}; "
          f"{ranks} rank{'s' * (ranks > 1)} on {nodes} node{'s' * (nodes > 1)}; batch {settings.batch.size} = "
          f"{ranks} x {accumulation} x {micro}; {accumulation * typical.flops / 1e12:,.3g} TFLOP per rank and step")
    table = 0 if work.words is None else work.config.vocab_size * work.config.hidden_size
    memories = {name: memory_of(weights, longest, plan, table) for name, plan in plans.items()}
    shown = _memory_table(memories, settings.engine.config, longest)
    if memory_gb:
        shown.add_section()
        fits = {name: (_fits(memory, device) <= memory_gb * GB) for name, memory in memories.items()}
        shown.add_row(f"fits {memory_gb:g} GB", *("yes" if fits[name] else "[red]no[/]" for name in memories))
    shown.add_section()
    rates = _rates(settings, work, device, tflops, memory_gb_per_s)
    sent = network_gb_per_s if nodes > 1 else link_gb_per_s
    if nodes > 1 and link_gb_per_s:
        sent = min(sent, link_gb_per_s) if sent else 0.0
    _add_times(shown, plans, weights, typical, settings, rates, sent * GB or None, work.steps)
    console.print(shown)
    for line in _notes(rates, ranks, nodes, sent, device):
        print(line)
    return 0


def _plans(recipe: Recipe, ranks: int, gpu: bool) -> dict[str, Plan]:
    """A plan for the recipe's DeepSpeed configuration, and for each that ships, where the precision can be run."""
    names = [recipe.engine.config, *(path.stem for path in sorted(CONFIGS.glob("*.json")))]
    accumulation = accumulation_steps(recipe.batch, ranks, recipe.mixture.tasks_per_step)
    found = {}
    for name in dict.fromkeys(names):
        zero = read_engine_config(name).get("zero_optimization", {})
        plan = Plan(zero, ranks, recipe.engine.precision, recipe.optimizer.name, recipe.optimizer.fused, accumulation,
                    recipe.robust.ema_decay is not None, gpu)
        if plan.stage or recipe.engine.precision == "fp32":
            found[name] = plan
    if recipe.engine.config not in found:
        raise InputError(f"engine.precision {recipe.engine.precision} needs ZeRO: set engine.config to zero1 (or 2, 3)")
    return dict(sorted(found.items()))


def _work(recipe: Recipe, micro: int, length: int, mean_length: int, vocabulary: int, words: int, rows: int) -> Work:
    """The model and micro-batches of a recipe: from the flags where one is given, else from its shards."""
    root = Path(recipe.data.shards)
    if not any((length, mean_length, vocabulary, rows)) and root.is_dir() and find_cells(root):
        return _work_of_shards(recipe, micro)
    longest = length or recipe.data.max_length or LENGTH
    mean = mean_length or longest
    if not 1 <= mean <= longest:
        raise InputError(f"--mean_length must be at most --length {longest}, found {mean}")
    config = _configuration(recipe, vocabulary, longest, pad_id=1)
    config.num_labels = LABELS
    steps = recipe.schedule.max_steps or (
        math.ceil((rows // recipe.batch.size) * (recipe.schedule.epochs or 0)) if rows else None)
    return Work(config, KINDS["pair"], _blank(micro, longest), _blank(micro, mean), steps, (
        f"without shards: a classifier of pairs, {LABELS} classes, inputs of {longest} tokens, {mean} on average, "
        f"{words:,} different ones (--length, --mean_length, --words)"),
        min(words, config.vocab_size) if recipe.engine.trim_vocabulary else None)


def _work_of_shards(recipe: Recipe, micro: int) -> Work:
    data = open_training_data(recipe.data, recipe.mixture)
    task, cells = next(iter(data.tasks.items()))
    manifest = cells[0].manifest
    examples = Examples(cells, data.max_length, recipe.data.pad_to, Masking(recipe.data.mask_ratio, recipe.seed))
    config = _configuration(recipe, manifest.tokenizer.vocab_size, data.max_length, manifest.tokenizer.pad_id)
    kind = KINDS[manifest.kind]
    config.num_labels = kind.outputs or len(manifest.labels) or 2
    by_length = np.argsort(-examples.lengths, kind="stable")
    mean = float(examples.lengths.mean())
    typical = (np.argsort(np.abs(examples.lengths - mean), kind="stable")[:micro] if recipe.data.bucket_by_length
               else np.random.default_rng(0).permutation(len(examples))[:micro])
    train_rows = sum(len(cell) for cell in data.train)
    steps = recipe.schedule.max_steps or math.ceil(
        (train_rows // recipe.batch.size) * (recipe.schedule.epochs or 0))
    more = f"; heads of {len(data.tasks) - 1} more tasks are not counted" if len(data.tasks) > 1 else ""
    longest = np.resize(by_length, micro)  # a small cell's rows again
    words = tokens_to_train([*data.train, *data.dev.values()], recipe.engine.trim_vocabulary)
    return Work(config, kind, examples[0, longest], examples[0, np.resize(typical, micro)], steps, (
        f"{task}: {train_rows:,} rows, inputs of {examples.lengths.max()} tokens, {mean:.0f} on average"
        f"{'' if words is None else f', {len(words):,} different ones'}{more}"), None if words is None else len(words))


def _configuration(recipe: Recipe, vocabulary: int, max_length: int, pad_id: int) -> Any:
    """transformers' configuration of the recipe's model; of a hub model only config.json is fetched."""
    section = recipe.model
    if section.random is not None:
        family = FAMILIES.get(section.family or RANDOM.model_type)
        if family is None or section.random not in family.sizes:
            raise InputError(f"model.family {section.family}, model.random {section.random}: no such model")
        if not vocabulary:
            raise InputError("a random model has the vocabulary of the shards' tokenizer; there are no shards here: "
                             "give --vocabulary (XLM-R's has 250002 entries)")
        config = family.random_config(section.random, vocabulary, max_length, pad_id=pad_id)
    elif recipe.init_from is not None and section.name is None:
        config = read_config(Path(recipe.init_from) / BEST, "init_from", check_weights=False)
    else:
        config = read_config(_folder_of(str(section.name), section.revision), "model.name", check_weights=False)
    family = FAMILIES[config.model_type]
    family.check_precision(recipe.engine.precision, "engine.precision")
    if family.max_length(config) < max_length:
        raise InputError(f"the model takes inputs of {family.max_length(config)} tokens, found {max_length}; set "
                         "data.max_length lower")
    if section.dropout is not None:
        for setting in family.dropout_settings:
            setattr(config, setting, section.dropout)
    return config


def _folder_of(name: str, revision: str | None) -> Path:
    """Folder with the config.json of a model."""
    if Path(name).is_dir():
        return locate(name, "model.name").folder
    try:
        return Path(hf_hub_download(name, "config.json", revision=revision)).parent
    except Exception as error:  # the network, the hub and the cache each raise their own
        raise InputError(f"model.name: no config.json of {name!r} from the hub ({reason(error)}); give a folder, or "
                         "its shape: --model.name null --model.random large --vocabulary 250002") from None


def _blank(micro: int, length: int) -> Batch:
    """Pairs of texts without padding."""
    ids = torch.ones(micro, length, dtype=torch.int64)
    real = torch.ones(micro, length, dtype=torch.bool)
    numbers = torch.arange(micro)
    found = Batch(ids, real, torch.zeros_like(ids), real, numbers, {"labels": torch.zeros_like(numbers)},
                  first_at=torch.ones_like(numbers))
    return found


def _on_paper(recipe: Recipe, work: Work, batch: Batch, device: str) -> tuple[list[Weight], PassCost]:
    if recipe.robust.partner_source is not None:
        batch = Batch(**{**vars(batch), "partner": batch})
    auto_class = FAMILIES[work.config.model_type].auto_class(work.kind.head)
    share = recipe.data.mask_ratio if work.kind.mask is not None else 1.0
    return run_on_paper(work.config, auto_class, work.kind, batch, recipe.robust, recipe.engine.precision,
                        checkpointing=recipe.model.gradient_checkpointing,
                        frozen_words=recipe.model.freeze_word_embeddings, words=work.words, masked_share=share,
                        gpu=device == "gpu")


def _fits(memory: Memory, device: str) -> int:
    return memory.peak if device == "gpu" else memory.together


def _memory_table(memories: dict[str, Memory], own: str, cost: PassCost) -> Table:
    table = Table("GB per rank", *(f"{name} *" if name == own else name for name in memories),
                  title="one rank's memory, and a step's bytes sent and seconds (* the recipe's)")
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify, column.overflow = "right", "fold"
    parts = list(dict.fromkeys(part for memory in memories.values() for part in memory.device))
    for part in parts:
        table.add_row(part, *(_gb(memory.device.get(part, 0)) for memory in memories.values()))
    table.add_row("passes (activations)", *(_gb(memory.passes) for memory in memories.values()))
    if cost.ascent_bytes:
        table.add_row("  ascent alone", *(_gb(cost.ascent_bytes) for _ in memories))
    table.add_row("optimiser's step", *(_gb(memory.step) for memory in memories.values()))
    table.add_row("[bold]peak, device[/]", *(f"[bold]{_gb(memory.peak)}[/]" for memory in memories.values()))
    table.add_row("peak, host", *(_gb(memory.host_peak) for memory in memories.values()))
    return table


def _rates(recipe: Recipe, work: Work, device: str, tflops: float,
           memory_gb_per_s: float) -> tuple[float, float, bool] | None:
    """(FLOP/s, bytes/s of memory, measured here); None where they are neither given nor can be measured."""
    here = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if tflops and memory_gb_per_s:
        return tflops * 1e12, memory_gb_per_s * GB, False
    if (here.type == "cuda") != (device == "gpu"):
        return None
    auto_class = FAMILIES[work.config.model_type].auto_class(work.kind.head)
    plain = METHODS["plain"].settings(method="plain")
    flops = tflops * 1e12 or measure_flops(
        work.config, auto_class, work.kind, work.typical, plain, recipe.engine.precision, here)
    return flops, memory_gb_per_s * GB or measure_bandwidth(here), True


def _add_times(table: Table, plans: dict[str, Plan], weights: list[Weight], cost: PassCost, recipe: Recipe,
               rates: tuple[float, float, bool] | None, sent: float | None, steps: int | None) -> None:
    """Rows on what a rank sends in a step, and on times."""
    traffic = {name: traffic_of(weights, cost, plan, read_engine_config(name).get("communication_data_type") == "fp32")
               for name, plan in plans.items()}
    for part in dict.fromkeys(part for volumes in traffic.values() for part in volumes):
        table.add_row(f"sent: {part}", *(_gb(volumes.get(part, 0)) for volumes in traffic.values()))
    if rates is None:
        return
    times = {name: seconds_of(cost.flops * plan.accumulation, optimizer_bytes(weights, plan), traffic[name],
                              rates[0], rates[1], sent) for name, plan in plans.items()}
    table.add_row("s, computing", *(f"{computing:.3g}" for computing, _ in times.values()))
    if any(waiting != 0.0 for _, waiting in times.values()):
        table.add_row("s, communicating", *(
            "rate?" if waiting is None else f"{waiting:.3g}" for _, waiting in times.values()))
    if steps is not None:
        table.add_row("hours, whole run", *(_hours(steps, *found) for found in times.values()))


def _hours(steps: int, computing: float, waiting: float | None) -> str:
    """From all communication hidden behind computing to none."""
    least, most = (steps * seconds / 3600 for seconds in (
        max(computing, waiting or 0.0), computing + (waiting or 0.0)))
    shown = f"{least:.3g}" if most < 1.05 * least else f"{least:.3g} to {most:.3g}"
    return f"over {shown}" if waiting is None else shown


def _notes(rates: tuple[float, float, bool] | None, ranks: int, nodes: int, sent: float, device: str) -> list[str]:
    if rates is None:
        lines = [f"no time: this machine has no {device} to measure; give --tflops and --memory_gb_per_s"]
    else:
        how = "measured here" if rates[2] else "as given"
        lines = [f"rates ({how}): {rates[0] / 1e12:.3g} TFLOP/s in a layer, forward and backward; memory "
                 f"{rates[1] / GB:.3g} GB/s"]
    if ranks > 1 and not sent:
        lines.append(f"communication takes time too: give --{'network' if nodes > 1 else 'link'}_gb_per_s")
    lines.append("not counted: evaluation, checkpoints, transfers of offloaded parts; on GPUs CUDA's context, NCCL's "
                 "buffers and fragmentation (leave 2 to 3 GB)")
    return lines


def _gb(volume: int) -> str:
    return f"{volume / GB:.2f}" if volume else "-"
