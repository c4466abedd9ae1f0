"""Certified accuracy from smoothed rows and the certificate files they name.

Input: a section's smoothed rows. Output: `Smoothed` groups, one per site and sigma, with `Curve`s: the share of
examples that are right and certified at radius r or more (Cohen, Rosenfeld and Kolter 2019, ICML).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from data_prep.base.errors import InputError
from trainer.report.data.collect import Section
from trainer.report.data.grid import Grid
from trainer.report.data.runs import Run
from trainer.results.predictions import read_certificates
from trainer.results.scores import ResultRow, SmoothingRecord, file_in

POINTS = 201  # per curve; more than a figure resolves
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Certified accuracy of one label by radius; mean and standard deviation over seeds, shapes (POINTS + 1,).

    The last point, zero, lies just beyond the largest radius that the number of samples can certify.
    """

    label: str
    radii: Floats
    mean: Floats
    deviation: Floats
    """Zero where there is one seed."""
    plain: float
    """Accuracy without smoothing, mean over the same seeds and languages."""
    chance: float | None = None
    """Accuracy of the majority class, mean over the languages; None where unknown."""


@dataclass
class Smoothed:
    """Scored smoothed rows of one task, split, site and sigma."""

    grid: Grid
    """The standard rows of the same task and split."""
    site: str
    sigma: float
    entries: dict[tuple[str, int, str], tuple[Run, ResultRow]] = field(default_factory=dict)
    """By label, seed and language."""
    curves: list[tuple[str, list[Curve]]] = field(default_factory=list)
    """Per panel its name and a curve per label."""
    _reach: dict[tuple[str, int, str], Floats] = field(default_factory=dict, repr=False)

    @property
    def labels(self) -> list[str]:
        return sorted({label for label, _, _ in self.entries}, key=self.grid.positions.__getitem__)

    def seeds(self, label: str) -> list[int]:
        return sorted({seed for found, seed, _ in self.entries if found == label})

    @property
    def languages(self) -> list[str]:
        """Languages with a row, the source language first."""
        found = {language for _, _, language in self.entries}
        return [language for language in self.grid.languages if language in found]

    @property
    def shared(self) -> list[str]:
        """Languages with a row in every run that was smoothed with this noise; means are over these."""
        runs = {(label, seed) for label, seed, _ in self.entries}
        return [language for language in self.languages if all((*run, language) in self.entries for run in runs)]

    @property
    def panels(self) -> list[tuple[str, list[str]]]:
        """(name, languages): the source language, and the mean of the others, where there are any."""
        source = self.grid.source or ""
        rest = [language for language in self.shared if language != source]
        first = [(source, [source])] if source in self.shared else []
        name = f"mean, {len(rest)} non-{source}" if source else f"mean, all {len(rest)}"
        return [*first, *([(rest[0] if len(rest) == 1 else name, rest)] if rest else [])]

    @property
    def records(self) -> list[SmoothingRecord]:
        return [row.smoothing for _, row in self.entries.values() if row.smoothing is not None]

    @property
    def ceiling(self) -> float:
        """Largest radius that the samples can certify: all n votes equal, p = alpha^(1/n)."""
        return max(self.sigma * NormalDist().inv_cdf(r.alpha ** (1.0 / r.samples)) for r in self.records)

    def record(self, label: str, seed: int, language: str) -> SmoothingRecord:
        record = self.entries[label, seed, language][1].smoothing
        if record is None:
            raise ValueError("not a smoothed row")
        return record

    def curve(self, label: str, languages: list[str]) -> Curve:
        """Certified accuracy, unweighted mean over `languages` (all shared), then over seeds.

        Raises InputError where a file of certificates is missing, damaged, or does not fit its row.
        """
        top = self.ceiling
        radii = np.append(np.linspace(0.0, top * (1 - 1e-6), POINTS), top * (1 + 1e-6))
        per_seed = np.array([np.mean([self._share(label, seed, language, radii) for language in languages], axis=0)
                             for seed in self.seeds(label)])
        deviation = per_seed.std(axis=0, ddof=1) if len(per_seed) > 1 else np.zeros(len(radii))
        plain = [value for seed in self.seeds(label) for language in languages
                 if (value := self.grid.value(label, seed, (language, language))) is not None]
        levels = [level for language in languages if (level := self.grid.chance((language, language))) is not None]
        chance = float(np.mean(levels)) if len(levels) == len(languages) else None
        return Curve(label, radii, per_seed.mean(axis=0), deviation, float(np.mean(plain)), chance)

    def _share(self, label: str, seed: int, language: str, radii: Floats) -> Floats:
        """Share of examples that are right and certified at each radius or more."""
        key = (label, seed, language)
        run, row = self.entries[key]
        if key not in self._reach:
            path = file_in(run.path / "eval", self.record(*key).certified)
            found = read_certificates(path)
            right = found.correct == 1
            if found.ids.size != row.n or abs(right.mean() - (row.value or 0.0)) > 1e-4:
                raise InputError(f"{path}: holds {found.ids.size} certificates, {100 * right.mean():.2f} % right; its "
                                 f"row says {row.n}, {100 * (row.value or 0.0):.2f} %; evaluate the run again")
            self._reach[key] = np.sort(found.radii[right])
        reach = self._reach[key]
        shares: Floats = (reach.size - np.searchsorted(reach, radii, side="left")) / row.n
        return shares


def smoothed_groups(section: Section) -> list[Smoothed]:
    """Groups of a section's scored smoothed rows, by site in input order, then by sigma. Raises: see `curve`."""
    found: dict[tuple[str, float], Smoothed] = {}
    for run, row in section.smoothed:
        if row.smoothing is None or row.value is None:
            continue
        key = row.smoothing.site, row.smoothing.sigma
        group = found.setdefault(key, Smoothed(section.standard, *key))
        group.entries[row.label, row.seed, row.language] = (run, row)
    for group in found.values():
        group.curves = [(title, [group.curve(label, languages) for label in group.labels])
                        for title, languages in group.panels]
    sites = list(dict.fromkeys(site for site, _ in found))
    return sorted(found.values(), key=lambda group: (sites.index(group.site), group.sigma))
