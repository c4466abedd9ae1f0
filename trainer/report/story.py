"""The report in words: the summary of a section and the findings at the top, generated from the numbers.

The wording is careful by rule: a difference is called a gain or a loss only where its interval excludes zero, the
verdict on the mean never stands for single languages, and one seed is called one seed.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.collect import Grid, Missing, Section
from trainer.report.compare import Comparison, base_label, without_source
from trainer.report.numbers import counted, listed, scale_of
from trainer.report.statistics import Interval, summarise

SEEDS_WANTED = 3


def compared(section: Section) -> str:
    """What a section compares: labels, seeds, languages, examples."""
    grid = next(grid for grid in section.grids if grid.entries)
    seeds = {label: grid.seeds(label) for label in grid.labels}
    same = len({tuple(s) for s in seeds.values()}) == 1
    first = seeds[grid.labels[0]]
    by_label = "; ".join(f"{label} {listed([str(seed) for seed in s])}" for label, s in seeds.items())
    shown = (f"{counted(len(first), 'seed')} each ({', '.join(map(str, first))})" if same
             else f"different seeds ({by_label})")
    sizes = grid.examples()
    count = " to ".join(f"{size:,}" for size in dict.fromkeys([*sizes[:1], *sizes[-1:]]))
    size = f"; {count} examples per language" if sizes and sizes != [0] else ""
    trained = sorted({language for _, row in grid.entries.values() for language in row.train_languages})
    return (f"{counted(len(grid.labels), 'label')} ({', '.join(grid.labels)}), {shown}, "
            f"{counted(len(grid.languages), 'language')} ({', '.join(grid.languages)}){size}."
            + (f" Trained on {listed(trained)}." if trained else ""))


def summary(section: Section, comparisons: Sequence[Comparison]) -> str:
    """A paragraph on the standard setting: where the base label stands, and what to be careful about."""
    grid = section.standard
    if not grid.scored:
        return "No label here: predictions are written, there is nothing to score."
    sentences = [_level(grid, label) for label in (grid.labels if not comparisons else [base_label(grid)])]
    if not comparisons and len(grid.labels) > 1:
        sentences.append(f"Without outcomes per example and equal seeds there is no interval for {grid.metric}.")
    return " ".join([*(s for s in sentences if s), *_cautions(grid)])


def changes(grid: Grid, comparisons: Sequence[Comparison]) -> list[str]:
    """What each other label changes, on the mean and in single languages."""
    return [f"{mean_sentence(grid, c)} {_languages_sentence(grid, c)}".strip() for c in comparisons]


def findings(section: Section, comparisons: Sequence[Comparison], general: Sequence[Comparison]) -> list[str]:
    """The lines for the top of the report: one per comparison, or the level where there is nothing to compare."""
    lines = [f"{section.title}: {mean_sentence(section.standard, c)}" for c in comparisons]
    if not lines and section.standard.scored:
        lines = [f"{section.title}: {_level(section.standard, label)}" for label in section.standard.labels]
    lines += [f"{section.title}, generalized: {mean_sentence(section.generalized, c)}" for c in general]
    return [line for line in lines if not line.endswith(": ")]


def mean_sentence(grid: Grid, comparison: Comparison) -> str:
    """What a label changes, e.g. "pgd changes the mean over 6 languages by +0.8 points ...: no reliable difference"."""
    cells, interval = next(iter(comparison.means.values()))
    scale = scale_of(grid.metric)
    unit = "language" if grid.setting != "generalized" else "pair of languages"
    what = counted(len(cells), unit, "pairs of languages" if grid.setting == "generalized" else "")
    mean = f"the mean over {what}" if len(cells) > 1 else f"{cells[0][0]}"
    change = f"{scale.signed(interval.estimate)} {scale.step}".rstrip()
    return (f"{comparison.other} changes {mean} by {change} against {comparison.base}, "
            f"95 % interval {scale.interval(interval)}: {_verdict(interval, comparison)}.")


def missing_lines(missing: Sequence[Missing]) -> list[str]:
    """Missing cells by name, those of one run, task, split, setting and reason on one line."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for item in missing:
        where = f"{item.task} / {item.split}" + ("" if item.setting == "standard" else f", {item.setting}")
        groups.setdefault((item.run.title, where, item.reason), []).append(item.cell_name)
    return [f"{run}: {where}: {', '.join(cells)} ({reason})" for (run, where, reason), cells in groups.items()]


def pairs_sentence(comparison: Comparison) -> str:
    """How many single pairs of languages differ after Holm's correction."""
    reliable = [comparison.intervals[i].estimate for i in range(len(comparison.cells)) if comparison.reliable(i)]
    up = sum(estimate > 0 for estimate in reliable)
    return (f"After Holm's correction {comparison.other} is reliably better in {up} and reliably worse in "
            f"{len(reliable) - up} of {len(comparison.cells)} pairs.")


def _level(grid: Grid, label: str) -> str:
    """Where a label stands: source language, the others, the gap."""
    scale, source = scale_of(grid.metric), (grid.source or "", grid.source or "")
    others = without_source(grid, grid.shared)
    top, rest = grid.values(label, source), grid.means(label, others)
    if grid.gaps(label, others):
        gap = scale.sign * summarise(grid.gaps(label, others)).mean
        return (f"{label} reaches {scale.with_unit(summarise(top).mean)} in {grid.source} and "
                f"{scale.with_unit(summarise(rest).mean)} on average over {counted(len(others), 'other language')}, "
                f"a gap of {scale.signed(gap).lstrip('+')} {scale.step}".rstrip() + ".")
    if top or rest:
        where = f"in {grid.source}" if top else f"on average over {counted(len(others), 'language')}"
        return f"{label} reaches {scale.with_unit(summarise(top or rest).mean)} {where}."
    return ""


def _verdict(interval: Interval, comparison: Comparison) -> str:
    if not interval.excludes_zero:
        return "no reliable difference"
    word = "a gain" if interval.estimate > 0 else "a loss"
    if len(comparison.seeds) == 1:
        return f"{word} on these examples (one seed, so nothing is known of other seeds)"
    return f"{word} over examples and seeds"


def _languages_sentence(grid: Grid, comparison: Comparison) -> str:
    if len(comparison.cells) < 2:
        return ""
    reliable = [(cell[0], comparison.intervals[i].estimate) for i, cell in enumerate(comparison.cells)
                if comparison.reliable(i)]
    if not reliable:
        return "After Holm's correction no single language differs reliably."
    parts = [f"{name} ({scale_of(grid.metric).signed(estimate)})" for name, estimate in reliable]
    verb = "differs" if len(parts) == 1 else "differ"
    return (f"After Holm's correction {len(parts)} of {counted(len(comparison.cells), 'language')} {verb} reliably: "
            f"{listed(parts)}.")


def _cautions(grid: Grid) -> list[str]:
    counts = [len(grid.seeds(label)) for label in grid.labels]
    if min(counts) >= SEEDS_WANTED:
        return []
    has = "one seed" if max(counts) == 1 else f"as few as {counted(min(counts), 'seed')}"
    return [f"These numbers rest on {has} per label; at least {SEEDS_WANTED} are advised before a conclusion is drawn."]
