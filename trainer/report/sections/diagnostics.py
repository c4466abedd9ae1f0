"""The report's section on distance to English and noise: diagnoses to tables, figures and sentences.

"Other languages" are those other than English that every run of a diagnosis has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

from trainer.plots.figures import NOISE_AXIS, Curve, Spot, curves, distance_scatter, limits
from trainer.plots.palette import colour_of
from trainer.report.data.diagnosis import DISTANCES, IN_ENGLISH, Diagnosis, Values
from trainer.report.document import Block, Bullets, Drawing, Entry, Folded, Heading, Paragraph, Row, Table
from trainer.report.sections import figure_data
from trainer.results.numbers import PERCENT, counted, listed
from trainer.statistics.rank_correlation import FEWEST_LANGUAGES, RankCorrelation
from trainer.statistics.summary import summarise


def blocks(diagnosis: Diagnosis) -> list[Block]:
    """Section of one task and split."""
    anchor = re.sub(r"[^a-z0-9]+", "-", f"{diagnosis.task}-{diagnosis.split}-distance".lower())
    made: list[Block] = [Heading(f"Distance to English: {diagnosis.title}", anchor),
                         Paragraph(_introduction(diagnosis))]
    found, noise = diagnosis.correlations, diagnosis.noise_panels
    if diagnosis.others:
        made += [Bullets([sentence(diagnosis, label, found[label]["token, site"]) for label in found]),
                 _correlation_table(diagnosis),
                 Row(_scatters(diagnosis, anchor, {curve.name: curve for curve in noise.get(IN_ENGLISH, [])}))]
    made += _inside_tables(diagnosis)
    if noise:
        made.append(Drawing(
            f"{anchor}-noise", "Accuracy under Gaussian noise on every content token at the site, by the length of a "
            f"token's noise.{_error_caption(noise)}{_chance_caption(diagnosis)}",
            f"Accuracy by noise for {listed(list(noise))}",
            partial(curves, noise, NOISE_AXIS, diagnosis.chance), figure_data.curves(noise)))
    tables = [_language_table(diagnosis, label) for label in diagnosis.runs]
    made.append(Folded("Distances, shares inside the radius, and accuracy by language",
                       [*tables, *_noise_tables(noise)]))
    return made


def findings(diagnosis: Diagnosis) -> list[str]:
    """Finding for the top of the report: the correlation of distance and accuracy per label; empty if unknown."""
    found = {label: by_distance["token, site"] for label, by_distance in diagnosis.correlations.items()}
    known = [f"{label} {_rho(rho.mean)}{'' if rho.clear else ' (not clear)'}" for label, rho in found.items() if rho]
    if not known:
        return []
    return [f"{diagnosis.title}: rank correlation of distance to English and accuracy over "
            f"{counted(len(diagnosis.others), 'language')} other than English: {listed(known)}."]


def method_lines() -> list[str]:
    """Methods of the section, for "How these numbers were made"."""
    return [
        "Distance to English: rows of equal id, at the output of the run's perturbation site and of the last layer, "
        "content tokens only, premise and hypothesis together. Token distance: the mean L2 distance of a token to the "
        "nearest one of the English sentence (greedy matching as in BERTScore, Zhang et al. 2020, arXiv 1904.09675, in "
        "L2). Sentence distance: L2 between the means of the tokens. Both in units of the mean norm of English tokens "
        "at that place, the unit of a relative epsilon; the mean over sentences.",
        "Inside the radius: with a ball per token, the share of tokens whose nearest English token is within the "
        "run's full radius at the site; with a ball per sequence, the share of sentences. In the norm of the run's "
        "ball. \"Sentences not ruled out\" is weaker: the distance of the means allows that all tokens are inside.",
        "Rank correlation: Spearman's, over languages other than English, per run, then averaged. p is the share of "
        "orders of the languages (all, up to 8 languages; else 40,000 random ones) whose mean correlation is at least "
        "as far from zero. It treats languages as exchangeable; related ones are not independent, so it says too much "
        f"for languages in general. Nothing is claimed below {FEWEST_LANGUAGES} languages. It is called clear where "
        "p < 0.05 and all runs agree in sign; nothing is corrected for the number of labels.",
        "Noise: Gaussian, independent per content token and dimension, the same for all runs, of root mean square "
        "length per token as given, in mean norms of English tokens at the site.",
    ]


def sentence(diagnosis: Diagnosis, label: str, rho: RankCorrelation | None) -> str:
    """Correlation of token distance at the site and accuracy over the runs of `label`, in words."""
    others = counted(len(diagnosis.others), "other language")
    if rho is None:
        return f"{label}: {others}, too few (or too alike) to say whether distance and accuracy go together."
    low, high = min(rho.by_run), max(rho.by_run)
    spread = (f"mean of {counted(len(rho.by_run), 'run')}, from {_rho(low)} to {_rho(high)}" if len(rho.by_run) > 1
              else "one run, so nothing is known of other seeds")
    measured = f"rank correlation {_rho(rho.mean)} over {others} ({spread}), p {_p(rho.p)}"
    if not rho.clear:
        return f"{label}: no clear relation between distance to English and accuracy, {measured}."
    trend = "lower" if rho.mean < 0 else "higher"
    return f"{label}: the farther a language's tokens lie from English, the {trend} its accuracy, {measured}."


def _introduction(diagnosis: Diagnosis) -> str:
    rows = {label: [row for run in runs for row in run.values()] for label, runs in diagnosis.runs.items()}
    sites = {label: " and ".join(sorted({row.site_name for row in found})) for label, found in rows.items()}
    where = (next(iter(sites.values())) if len(set(sites.values())) == 1
             else "; ".join(f"{label}: {site}" for label, site in sites.items()))
    sizes = sorted({row.n for found in rows.values() for row in found})
    count = " to ".join(f"{size:,}" for size in dict.fromkeys([sizes[0], sizes[-1]]))
    radii = {label: diagnosis.radius(label) for label in diagnosis.runs}
    trained = [f"{label} {radius:.2f}" for label, radius in radii.items() if radius is not None]
    return (f"To the argument that another language is perturbed English: how far {count} row-aligned sentences per "
            f"language lie from English at the site ({where}) and at the last layer, in units of the mean norm of "
            f"English tokens, and what distance and noise do to accuracy."
            + (f" Trained radius per token, in the same unit: {listed(trained)}." if trained else ""))


def _correlation_table(diagnosis: Diagnosis) -> Table:
    columns = [Entry("label"), Entry("runs"), *(Entry(name) for name in DISTANCES), Entry("near − far, fifths"),
               Entry("language − English, equal noise")]
    rows = []
    for label, by_distance in diagnosis.correlations.items():
        line = [_label_entry(diagnosis, label), Entry(str(len(diagnosis.runs[label])))]
        for rho in by_distance.values():
            line.append(Entry("–", tone="muted") if rho is None else Entry(
                _rho(rho.mean), "" if len(rho.by_run) == 1 else f"{_rho(min(rho.by_run))} to {_rho(max(rho.by_run))}",
                tone="" if rho.clear else "muted", hint=f"p {_p(rho.p)}, {counted(rho.n, 'language')}"))
        rows.append([*line, _points(diagnosis.near_minus_far(label)), _points(diagnosis.against_noise(label))])
    notes = ["Below a mean: the lowest and highest run. Pale: not clear (p ≥ 0.05, or runs disagree in sign).",
             "Near − far, fifths: within a language, accuracy of the fifth of its sentences nearest to English minus "
             "that of the farthest, by sentence distance at the site; the mean over other languages, in points.",
             "Language − English, equal noise: accuracy of a language minus that of English under Gaussian noise as "
             "long as the language's token distance, the mean over other languages, in points: below zero, languages "
             "cost more accuracy than noise of that length."]
    return Table("Rank correlation of distance and accuracy over languages", columns, rows, notes)


def _points(gaps: Sequence[float]) -> Entry:
    if not gaps:
        return Entry("–", tone="muted")
    found = summarise(gaps)
    return Entry(PERCENT.signed(found.mean), PERCENT.deviation(found))


def _scatters(diagnosis: Diagnosis, anchor: str, noise: Mapping[str, Curve]) -> list[Drawing]:
    """Accuracy by token distance at the site, one figure per label on the same axes."""
    by_label: dict[str, list[Spot]] = {}
    for label in diagnosis.runs:
        for language in diagnosis.languages:
            distance = diagnosis.values(label, language, DISTANCES["token, site"])
            accuracy = diagnosis.values(label, language, lambda row: row.accuracy)
            if accuracy:
                x, y = summarise(distance), summarise(accuracy)
                by_label.setdefault(label, []).append(
                    Spot(language, x.mean, y.mean, x.deviation or 0.0, y.deviation or 0.0))
    axes = limits([spot for spots in by_label.values() for spot in spots], diagnosis.chance)
    drawn = []
    for number, (label, spots) in enumerate(by_label.items()):
        radius = diagnosis.radius(label)
        ball = " Dashed and upright: the trained radius." if radius is not None and radius <= axes.distance else ""
        line = " Grey: English under Gaussian noise of that length." if label in noise else ""
        drawn.append(Drawing(
            f"{anchor}-{number}", f"{label}: accuracy by distance to English at the site.{line}{ball}"
            f"{_chance_caption(diagnosis)}",
            f"Accuracy of {label} by distance to English, one point per language",
            partial(distance_scatter, label, diagnosis.colours[label], spots, radius, axes, noise.get(label),
                    diagnosis.chance), figure_data.spots(spots)))
    return drawn


def _chance_caption(diagnosis: Diagnosis) -> str:
    return " Dashed and level: chance." if diagnosis.chance is not None else ""


def _error_caption(panels: Mapping[str, Sequence[Curve]]) -> str:
    several = any(any(line.deviation) for lines in panels.values() for line in lines)
    return " Error bars: standard deviation over runs." if several else " One run each, so there are no error bars."


def _noise_tables(panels: Mapping[str, Sequence[Curve]]) -> list[Table]:
    tables = []
    for title, lines in panels.items():
        scales = sorted({scale for line in lines for scale in line.x})
        rows = []
        for line in lines:
            at = {x: Entry(PERCENT.value(y), f"± {100 * d:.1f}" if d else "")
                  for x, y, d in zip(line.x, line.accuracy, line.deviation, strict=True)}
            mark = Entry(line.name, colour=colour_of(line.position))
            rows.append([mark, *(at.get(scale, Entry("–", tone="muted")) for scale in scales)])
        tables.append(Table(f"Accuracy (%) by noise per token: {title}",
                            [Entry("label"), *(Entry(f"{scale:g}") for scale in scales)], rows))
    return tables


def _inside_tables(diagnosis: Diagnosis) -> list[Table]:
    """Share inside the trained radius by label and language; empty where no label has a radius."""
    rows = []
    for label in diagnosis.runs:
        by_language = [diagnosis.values(label, language, lambda row: row.inside) for language in diagnosis.languages]
        if any(by_language):
            found = [summarise(values) if values else None for values in by_language]
            rows.append([_label_entry(diagnosis, label), *(
                Entry(PERCENT.value(s.mean), PERCENT.deviation(s)) if s else Entry("–", tone="muted") for s in found)])
    if not rows:
        return []
    notes = ["Of the tokens, or of the sentences where the ball is one per sequence; languages from near to far. "
             "Labels trained without a ball are left out."]
    return [Table("Share inside the trained radius (%)",
                  [Entry("label"), *map(Entry, diagnosis.languages)], rows, notes)]


def _language_table(diagnosis: Diagnosis, label: str) -> Table:
    """Distances, shares and accuracy of one label, a row per language."""
    columns: dict[str, tuple[Values, float, int]] = {
        "token, site": (DISTANCES["token, site"], 1, 3), "sentence, site": (DISTANCES["sentence, site"], 1, 3),
        "token, last": (DISTANCES["token, last layer"], 1, 3),
        "sentence, last": (DISTANCES["sentence, last layer"], 1, 3),
        "cosine, last": (lambda row: row.last.cosine, 1, 3),
        "inside radius (%)": (lambda row: row.inside, 100, 1),
        "sentences not ruled out (%)": (lambda row: row.inside_sentences, 100, 1),
        "accuracy (%)": (lambda row: row.accuracy, 100, 1),
    }
    rows = []
    for language in diagnosis.languages:
        names = [run[language].language_name for run in diagnosis.runs[label] if language in run]
        line = [Entry(language, hint=names[0] if names and names[0] not in ("unknown", language) else "")]
        for value, factor, digits in columns.values():
            numbers = diagnosis.values(label, language, value)
            if not numbers:
                line.append(Entry("–", tone="muted"))
                continue
            s = summarise(numbers)
            below = f"± {factor * s.deviation:.{digits}f}" if s.deviation is not None else ""
            line.append(Entry(f"{factor * s.mean:.{digits}f}", below))
        rows.append(line)
    runs = counted(len(diagnosis.runs[label]), "run")
    no_ball = all(row.radius is None for run in diagnosis.runs[label] for row in run.values())
    return Table(f"{label}: distances in mean norms of English tokens, {runs}",
                 [Entry("language"), *(Entry(name) for name in columns)], rows,
                 ["Trained without a ball, so there is no radius to lie in."] if no_ball else [])


def _label_entry(diagnosis: Diagnosis, label: str) -> Entry:
    return Entry(label, colour=colour_of(diagnosis.colours[label]))


def _rho(value: float) -> str:
    text = f"{value:+.2f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
