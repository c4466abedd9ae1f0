"""The report's part on randomized smoothing: meaning of a certificate, and a figure and tables per noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from trainer.plots.palette import colour_of
from trainer.report.data.certified import Smoothed
from trainer.report.data.compute import SectionResult
from trainer.report.document import Block, Drawing, Entry, Folded, Heading, Paragraph, Table
from trainer.report.sections import figure_data, figures
from trainer.results.numbers import PERCENT, listed
from trainer.statistics.summary import summarise

_MEANING = (
    "Gaussian noise of standard deviation sigma is added to every number of the content tokens' vectors at the site, "
    "and the class that is most frequent over many noisy passes is certified, or there is none (Cohen, Rosenfeld and "
    "Kolter 2019, ICML; bounds by Clopper and Pearson). Certified at radius r: with probability 1 − alpha, for each "
    "example by itself, this vote stays the same under every change of the vectors of all its content tokens together "
    "whose L2 norm is below r; the number of tokens is fixed. It says nothing of the model without the vote."
)


def blocks(anchor: str, section: SectionResult) -> list[Block]:
    """Blocks of all noises; empty where no run of the section was smoothed."""
    groups = section.smoothed_groups
    if not groups:
        return []
    found: list[Block] = [Heading("Randomized smoothing", f"{anchor}-smoothed", 3), Paragraph(_MEANING)]
    for number, group in enumerate(groups):
        found += _group(f"{anchor}-certified-{number}", group)
    return found


def _group(name: str, group: Smoothed) -> list[Block]:
    what = f"noise at {group.site}, sigma {group.sigma:g}"
    if not group.panels:
        return [Paragraph(f"No language was smoothed in every run with {what}: nothing to compare.")]
    several = any(curve.deviation.any() for _, curves in group.curves for curve in curves)
    bands = " Bands: standard deviation over seeds." if several else ""
    caption = (f"Certified accuracy, {what}: the share of examples that are right and certified at this radius or "
               f"more. Open markers: accuracy without smoothing."
               f"{bands}{figures.chance_caption(group.grid)}")
    return [
        Drawing(name, caption, f"Certified accuracy over the radius for {', '.join(group.labels)}, {what}",
                partial(figures.certified_accuracy, group.grid, group.curves, group.site),
                figure_data.certified(group.curves)),
        _summary_table(group),
        Folded(f"By language, sigma {group.sigma:g}", [_language_table(group)]),
    ]


def _summary_table(group: Smoothed) -> Table:
    """Accuracy without and with smoothing, abstentions and mean radius, per panel and label."""
    names = ("label", "languages", "seeds", "unsmoothed", "smoothed", "majority vote", "abstained", "mean radius")
    rows = []
    for panel, languages in group.panels:
        for label in group.labels:
            seeds = group.seeds(label)
            rows.append([
                _label(group, label), Entry(panel, hint=", ".join(languages) if len(languages) > 1 else ""),
                Entry("one seed" if len(seeds) == 1 else str(len(seeds))),
                _entry(group, label, languages, lambda *key: group.grid.value(key[0], key[1], (key[2], key[2]))),
                _entry(group, label, languages, lambda *key: group.entries[key][1].value),
                _entry(group, label, languages, lambda *key: group.record(*key).vote),
                _entry(group, label, languages, lambda *key: group.record(*key).abstained),
                _entry(group, label, languages, lambda *key: group.record(*key).mean_radius, radius=True),
            ])
    return Table(f"Smoothed at {group.site}, sigma {group.sigma:g}", [Entry(name) for name in names], rows,
                 _notes(group), text_columns=2)


def _language_table(group: Smoothed) -> Table:
    rows = []
    for label in group.labels:
        row = [_label(group, label)]
        for language in group.languages:
            runs = [key for seed in group.seeds(label) if (key := (label, seed, language)) in group.entries]
            values = [value for key in runs if (value := group.entries[key][1].value) is not None]
            radii = [radius for key in runs if (radius := group.record(*key).mean_radius) is not None]
            row.append(Entry(PERCENT.value(summarise(values).mean), f"r {summarise(radii).mean:.3g}") if values
                       else Entry("missing", tone="muted"))
        rows.append(row)
    return Table(f"Smoothed accuracy (%) by language, sigma {group.sigma:g}",
                 [Entry("label"), *(Entry(language) for language in group.languages)], rows,
                 ["Mean over seeds; r: mean certified radius."])


def _entry(group: Smoothed, label: str, languages: Sequence[str], value: Callable[[str, int, str], float | None],
           radius: bool = False) -> Entry:
    """Mean and deviation over seeds of the unweighted mean over languages."""
    per_seed = []
    for seed in group.seeds(label):
        found = [one for language in languages if (one := value(label, seed, language)) is not None]
        if len(found) == len(languages):
            per_seed.append(sum(found) / len(found))
    if not per_seed:
        return Entry("–", tone="muted")
    summary = summarise(per_seed)
    if not radius:
        return Entry(PERCENT.value(summary.mean), PERCENT.deviation(summary))
    return Entry(f"{summary.mean:.3g}", "" if summary.deviation is None else f"± {summary.deviation:.2g}")


def _label(group: Smoothed, label: str) -> Entry:
    return Entry(label, colour=colour_of(group.grid.colours[label]))


def _notes(group: Smoothed) -> list[str]:
    """Notes on sigma and the radii."""
    records = group.records

    def shown(name: str) -> str:
        return listed([f"{value:g}" for value in sorted({getattr(record, name) for record in records})])

    norms = [record.token_norm for record in records]
    low, high = f"{min(norms):.3g}", f"{max(norms):.3g}"
    noise = " and ".join(sorted({f"{group.sigma * record.width ** 0.5:.3g}" for record in records}))
    notes = [
        "In %, but for radii. Smoothed: right and certified at any radius; abstentions count as wrong. Mean radius: 0 "
        "for what is wrong or abstained, so it is the area under the curve, in the units of the site.",
        f"{shown('samples')} samples after {shown('selection_samples')} that choose the class, alpha {shown('alpha')}: "
        f"no radius can exceed {group.ceiling:.3g}. The noise of one token has norm {noise}, where its vector has "
        f"{low if low == high else f'{low} to {high}'} on average (by language and run).",
    ]
    if len({(record.samples, record.selection_samples, record.alpha) for record in records}) > 1:
        notes.append("The runs were smoothed with different samples or alpha: their radii are not to be compared.")
    left_out = [language for language in group.languages if language not in group.shared]
    if left_out:
        notes.append(f"Not smoothed in every run, so in no mean: {', '.join(left_out)}.")
    return notes
