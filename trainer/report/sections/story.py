"""Sentences of the report: summaries of sections, and the findings at its top.

A difference is called a gain or a loss only where it covers the luck of training (at least 3 seeds) and is significant
after correction; the verdict on a mean is not one on single languages.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.report.data.collect import Missing
from trainer.report.data.compare import Comparison, base_label
from trainer.report.data.compute import SectionResult
from trainer.report.data.grid import Grid
from trainer.report.sections.answer import chance_seeds
from trainer.report.sections.recipes import selection_sentence
from trainer.results.numbers import counted, listed, listed_names, scale_of
from trainer.statistics.differences import SEEDS_FOR_CLAIMS, Interval
from trainer.statistics.summary import summarise

MOST_NAMED = 20  # languages with their names in a sentence


def compared(section: SectionResult) -> str:
    """Labels, seeds, languages and examples of a section."""
    runs = list({(run.name, run.selection): run for grid in section.grids for run, _ in grid.entries.values()}.values())
    if not runs:
        return "No run of this task trained: every one is a failed seed."
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
    return (f"{counted(len(grid.labels), 'label')} ({listed_names(grid.labels)}), {shown}, "
            f"{counted(len(grid.languages), 'language')} ({named_languages(grid)}){size}."
            + (f" Trained on {listed(trained)}." if trained else "") + f" {selection_sentence(runs)}")


def named_languages(grid: Grid) -> str:
    """Codes of the languages, with their names where they are few."""
    names = {language: grid.info(language).get("name", "unknown") for language in grid.languages}
    return ", ".join(code if len(names) > MOST_NAMED or name in ("unknown", code) else f"{code} {name}"
                     for code, name in names.items())


def summary(section: SectionResult) -> str:
    """Paragraph on the standard setting: level of the base label, and cautions."""
    grid, comparisons = section.standard, section.comparisons
    if not grid.scored:
        return "No label here: predictions are written, there is nothing to score."
    sentences = [level(grid, label) for label in (grid.labels if not comparisons else [base_label(grid)])]
    if not comparisons and len(grid.labels) > 1:
        sentences.append("Without outcomes per example and equal seeds there is no interval for "
                         f"{scale_of(grid.metric).name}.")
    return " ".join([*(s for s in sentences if s), *_cautions(grid)])


def changes(section: SectionResult) -> list[str]:
    """Changes of each other label against the base, in the mean and in single languages."""
    grid = section.standard
    return [f"{mean_sentence(grid, c)} {_languages_sentence(grid, c)}".strip() for c in section.comparisons]


def findings(section: SectionResult) -> list[str]:
    """Findings of a section: one per comparison, or the levels where there is nothing to compare."""
    lines = [f"{section.title}: {mean_sentence(section.standard, c)}" for c in section.comparisons]
    if not lines and section.standard.scored:
        lines = [f"{section.title}, {level(section.standard, label)}" for label in section.standard.labels]
    lines += [f"{section.title}, generalized: {mean_sentence(section.generalized, c)}"
              for c in section.generalized_comparisons]
    return [line for line in lines if not line.endswith((": ", ", "))]


def mean_sentence(grid: Grid, comparison: Comparison) -> str:
    """Change of the mean, as in "pgd changes the mean over 6 languages by +0.8 points ...: not significant"."""
    cells, interval = comparison.main
    scale = scale_of(grid.metric)
    unit = "language" if grid.setting != "generalized" else "pair of languages"
    what = counted(len(cells), unit, "pairs of languages" if grid.setting == "generalized" else "")
    mean = f"the mean over {what}" if len(cells) > 1 else f"{cells[0][0]}"
    change = f"{scale.signed(interval.estimate)} {scale.step}".rstrip()
    return (f"{comparison.other} changes {mean} by {change} compared with {comparison.base}, "
            f"95 % interval {scale.interval(interval)}: {_verdict(grid, interval, comparison)}.")


def missing_lines(missing: Sequence[Missing]) -> list[str]:
    """Missing cells, those of one run, task, split, metric, setting and reason on one line."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    metrics = {task: len({item.metric for item in missing if item.task == task}) for task in
               {item.task for item in missing}}
    for item in missing:
        where = " / ".join((item.task, item.split, item.metric)[: 3 if metrics[item.task] > 1 else 2])
        where += "" if item.setting == "standard" else f", {item.setting}"
        groups.setdefault((item.run.title, where, item.reason), []).append(item.cell_name)
    return [f"{run}: {where}: {', '.join(cells)} ({reason})" for (run, where, reason), cells in groups.items()]


def pairs_sentence(grid: Grid, comparison: Comparison) -> str:
    """Number of pairs of languages that differ after Holm's correction; empty under 3 seeds."""
    if not comparison.covers_training:
        return ""
    claimed = [interval.estimate for interval in comparison.intervals if interval.claimed]
    up = sum(map(scale_of(grid.metric).is_gain, claimed))
    return (f"After Holm's correction {comparison.other} gains in {up} and loses in {len(claimed) - up} of "
            f"{len(comparison.cells)} pairs.")


def level(grid: Grid, label: str) -> str:
    """Level of a label: training languages, the others, the gap, seeds at chance."""
    scale, sources = scale_of(grid.metric), grid.sources(label)
    others = [cell for cell in grid.shared if cell not in sources]
    top, rest = grid.means(label, sources), grid.means(label, others)
    trained = listed([cell[0] for cell in sources])
    seeds = grid.at_chance(label, grid.shared)
    chance = f"; at chance with {len(seeds)} of {counted(len(grid.seeds(label)), 'seed')}" if seeds else ""
    if grid.gaps(label, others):
        gap = scale.metric.sign * summarise(grid.gaps(label, others)).mean
        return (f"{label}: {scale.with_unit(summarise(top).mean)} in {trained} and "
                f"{scale.with_unit(summarise(rest).mean)} on average over {counted(len(others), 'other language')}, "
                f"a gap of {scale.size(gap)}{chance}.")
    if top or rest:
        where = f"in {trained}" if top else f"on average over {counted(len(others), 'language')}"
        return f"{label}: {scale.with_unit(summarise(top or rest).mean)} {where}{chance}."
    return ""


def _verdict(grid: Grid, interval: Interval, comparison: Comparison) -> str:
    seeds, scale = counted(len(comparison.seeds), "seed"), scale_of(grid.metric)
    if chance := chance_seeds(grid, comparison):
        names = listed([f"{label} ({of})" for label, of in chance.items()])
        return f"nothing is claimed of the difference, for runs are at chance: {names}"
    if not interval.covers_training:
        why = comparison.dependent or f"with {seeds}, where at least {SEEDS_FOR_CLAIMS} are needed"
        return f"the interval covers these test examples only, and nothing can be said of the method ({why})"
    if interval.claimed:
        word = "a gain" if scale.is_gain(interval.estimate) else "a loss"
        return f"{word} over test examples and training runs ({seeds})"
    if interval.excludes_zero:
        return f"not significant after correction for {comparison.labels} labels"
    return (f"not significant ({seeds} like these find a true difference of about "
            f"{scale.size(interval.detectable or 0.0)} in 80 % of studies)")


def _languages_sentence(grid: Grid, comparison: Comparison) -> str:
    if len(comparison.cells) < 2 or not comparison.covers_training:
        return ""
    claimed = [(cell[0], interval.estimate) for cell, interval in
               zip(comparison.cells, comparison.intervals, strict=True) if interval.claimed]
    if not claimed:
        return "After Holm's correction no single language differs significantly."
    parts = [f"{name} ({scale_of(grid.metric).signed(estimate)})" for name, estimate in claimed]
    verb = "differs" if len(parts) == 1 else "differ"
    return (f"After Holm's correction {len(parts)} of {counted(len(comparison.cells), 'language')} {verb} "
            f"significantly: {listed(parts)}.")


def _cautions(grid: Grid) -> list[str]:
    counts = [len(grid.seeds(label)) for label in grid.labels]
    if min(counts) >= SEEDS_FOR_CLAIMS:
        return []
    has = "one seed" if max(counts) == 1 else f"as few as {counted(min(counts), 'seed')}"
    return [f"These numbers rest on {has} per label; at least {SEEDS_FOR_CLAIMS} are needed to draw a conclusion."]
