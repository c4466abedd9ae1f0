"""Commands of `python -m trainer bench`: flags and help. Measurements are imported when a command runs."""

from __future__ import annotations


def bench_claims(*, studies: int = 400, seed: int = 0) -> int:
    """Simulate studies of equal methods: the share that a report would call different, and the power to find a gain.

    --studies: per line of the table, up to three times as many where a study is small (400 take about 20 minutes on two
    cores). The rate must stay within 5 %, its upper 95 % limit within 7 %.
    """
    from trainer.bench.claims import measure_claims

    return measure_claims(studies, seed)


def bench_loader(cell: str, *, size: str = "tiny", batch_size: int = 32, steps: int = 12, rounds: int = 3) -> int:
    """Training throughput with batches of like length against padding to the maximum, on the rows of CELL, a folder.

    size: tiny, base or large (random weights). steps: per variant and round; rounds: the median one is printed.
    """
    from trainer.bench.loader import measure_loader

    return measure_loader(cell, size, batch_size, steps, rounds)


def bench_steps(*, size: str = "tiny", batch_size: int = 32, length: int = 48, vocabulary: int = 20000,
                steps: int = 8, rounds: int = 3, only: str | None = None, precision: str = "fp32") -> int:
    """Time of a training step of each method as a ratio to a plain step, beside its bound; and its peak memory.

    steps: number per line and round; rounds: the median one counts. only: lines whose name holds this word. precision:
    fp32 or bf16.
    """
    from trainer.bench.steps import measure_steps

    return measure_steps(size, batch_size, length, vocabulary, steps, rounds, only, precision)


def bench_peers(*, cell: str | None = None, size: str = "tiny", model: str | None = None, batch_size: int = 32,
                vocabulary: int = 20000, precision: str = "fp32", engine: str | None = None, freeze: bool = False,
                compile: bool = False, steps: int = 20, rounds: int = 5, only: str | None = None,
                seconds: float | None = None) -> int:
    """Training throughput beside Hugging Face's Trainer: plain, random noise, and PGD with 1 and 3 ascent steps.

    cell: folder of a cell of pairs whose rows are trained; without it, random ids with lengths like MultiNLI's.
    size: tiny, base or large (random weights); model: a folder of a pre-trained encoder instead. precision: fp32 or
    bf16. engine: name of ds_configs; without it zero0, and zero1 for bf16. freeze: leave the word embeddings as they
    are, on both sides. compile: torch.compile, of our encoder's layers (engine.compile) and of their whole model
    (torch_compile). steps: batches per turn; rounds: turns, of which the median counts, fewer where --seconds are
    over; only: lines whose name holds this word.
    """
    from trainer.bench.peers import Setup, measure_peers

    setup = Setup(size, model, cell, batch_size, vocabulary, precision, engine, freeze, compile)
    return measure_peers(setup, steps, rounds, only, seconds)


def bench_kernels(*, rounds: int = 30, vocabulary: int = 20_000, compiled: bool = True, size: str = "tiny",
                  batch_size: int = 32, length: int = 48) -> int:
    """Time of the fused kernels against eager torch, torch.compile and a copy of the same bytes, with bounds.

    rounds: at least so many turns per variant, and at least a tenth of a second each; the best time counts.
    compiled: also time torch.compile, whose compilation takes a minute.
    size, batch_size, length, vocabulary: of the robust step in the last table, the share of the kernels in it.
    """
    from trainer.bench.kernels import measure_kernels

    return measure_kernels(rounds, vocabulary, compiled, size, batch_size, length)


def bench_overhead(*, size: str = "tiny", batch_size: int = 32, length: int = 48, vocabulary: int = 20000,
                   steps: int = 20, rounds: int = 9) -> int:
    """Cost of fault tolerance beside the time of a step: checks for NaN and signals, and checkpoints.

    steps: number per round, with and without the checks in turn; rounds: the median counts, the first is dropped.
    """
    from trainer.bench.overhead import measure_overhead

    return measure_overhead(size, batch_size, length, vocabulary, steps, rounds)
