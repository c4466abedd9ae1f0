"""Schema of study files: a question, its factors and seeds, and the commands that answer it.

A study is a grid of *cells*, one per combination of factor levels and seed. A cell is a chain of *stages* (trainings);
*steps* prepare what stages need. Text in `command`, `output`, `start`, `set` and `evaluate` may hold placeholders:

    {out} {shards} {runs}     folders of the study
    {output}                  the step's own output
    {NAME}                    a parameter; the level of a factor; a step's output; the run of a stage, in the same cell
    {FACTOR.x}                the level's number
    {STAGE.id}                six hex digits that name the run of a stage by content
    {seed}                    the seed of the cell
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from data_prep.base.errors import did_you_mean
from trainer.settings import Section

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
LevelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+.-]*$", max_length=40)]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
RETRY_STRIDE = 1000  # between the seeds of a training's attempts
RESERVED = ("out", "shards", "runs", "output", "seed")


class Level(Section):
    """One level of a factor: what is different in its cells."""

    label: Text | None = None
    """Name in reports; None takes the level's key."""
    x: float | None = None
    """Place on the axis of a curve (shots per class, number of tasks)."""
    skip: list[Word] = Field(default_factory=list)
    """Stages that its cells leave out: the next stage starts where the skipped one would have, and what would have been
    evaluated of it is evaluated of the stage that it starts from."""
    set: dict[Word, dict[str, Any]] = Field(default_factory=dict)
    """By stage, dotted keys of its recipe."""


class Step(Section):
    """A command that makes an input, once for all cells that need the same one."""

    command: Text
    """Words behind `python -m`, e.g. `data_prep build xnli --source {source}/xnli --out {shards}`."""
    output: Text
    """The output's path below the study's folder; `shards/TASK` marks the cells of a task, found by their name."""
    needs: list[Word] = Field(default_factory=list)
    """Steps that must be done before, beside those that placeholders name."""


class Stage(Section):
    """One training of a cell."""

    recipe: Text
    """A recipe beside the study files, one that ships, or a path."""
    start: Text | None = None
    """Stage whose encoder it takes, or a model: a name on the hub or a folder, as `{STAGE}/best`, which keeps a head of
    the same classes. None leaves it to the recipe."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted keys of the recipe."""
    seed: int | None = Field(default=None, ge=0)
    """Seed that all cells share, for a stage whose luck is not studied; None takes the seed of the cell."""
    average: int | None = Field(default=None, ge=2)
    """Also average the last snapshots, this many, and evaluate the average beside the best checkpoint."""
    evaluate: list[Text] = Field(default_factory=list)
    """Evaluations of the run, each the flags of `python -m trainer evaluate`; a stage with some is reported."""
    diagnose: Text | None = None
    """Distances of languages to English, the flags of `python -m trainer diagnose`: measured in the runs at the base of
    the study's comparisons, for the effect against distance."""


class Comparison(Section):
    """Differences of the levels of one factor to a base level, which answer the question."""

    factor: Word
    base: LevelName
    at: dict[Word, LevelName] = Field(default_factory=dict)
    """Levels of other factors to compare at; those not named are compared at each of their levels."""


class Curve(Section):
    """Scores along the `x` of one factor, a line per level of another."""

    factor: Word
    by: Word | None = None
    at: dict[Word, LevelName] = Field(default_factory=dict)


class Study(Section):
    """A study at one size."""

    title: Text
    question: Text
    hypothesis: Text
    limits: list[Text] = Field(default_factory=list)
    """Limits of the answer, a sentence each."""
    parameters: dict[Word, str | None] = Field(default_factory=dict)
    """Values that the command line may set (`--source DIR`); null must be set."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(min_length=1)
    retries: int = Field(default=0, ge=0, le=5)
    """New seeds tried for a training that collapsed or diverged. Failed seeds are counted in the report."""
    factors: dict[Word, dict[LevelName, Level]] = Field(default_factory=dict)
    levels: dict[Word, list[LevelName]] = Field(default_factory=dict)
    """Levels to use of a factor, in the order of reports; all where it is not named."""
    exclude: list[dict[Word, list[LevelName]]] = Field(default_factory=list)
    """Combinations of levels without cells."""
    steps: dict[Word, Step] = Field(default_factory=dict)
    stages: dict[Word, Stage] = Field(min_length=1)
    comparisons: list[Comparison] = Field(min_length=1)
    """The first one gives the answer."""
    curves: list[Curve] = Field(default_factory=list)
    data_maps: list[Word] = Field(default_factory=list)
    """Stages whose training dynamics are drawn."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Host memory of one training; on this machine, as many run at once as fit."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> Study:
        """One seed twice would count as two."""
        if len({seed % RETRY_STRIDE if self.retries else seed for seed in self.seeds}) < len(self.seeds):
            raise ValueError(f"seeds: expected different ones, found {', '.join(map(str, self.seeds))}; with retries "
                             f"they may not differ by multiples of {RETRY_STRIDE} either, which are the retries' own")
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Study:
        named = [*self.parameters, *self.factors, *self.steps, *self.stages]
        for name in named:
            if named.count(name) > 1 or name in RESERVED:
                raise ValueError(f"{name!r} names two things; parameters, factors, steps and stages share one set of "
                                 f"names with {', '.join(RESERVED)}")
        for factor, levels in self.factors.items():
            for key, level in levels.items():
                if stray := [name for name in (*level.skip, *level.set) if name not in self.stages]:
                    raise ValueError(f"factors.{factor}.{key}: no stage {stray[0]!r}; stages: {', '.join(self.stages)}")
        for place, used in self._levels_named():
            for factor, names in used.items():
                if factor not in self.factors:
                    raise ValueError(f"{place}: no factor {factor!r}{did_you_mean(factor, self.factors)}; factors: "
                                     f"{', '.join(self.factors)}")
                if unknown := [name for name in names if name not in self.factors[factor]]:
                    raise ValueError(f"{place}: factor {factor} has no level {unknown[0]!r}"
                                     f"{did_you_mean(unknown[0], self.factors[factor])}; levels: "
                                     f"{', '.join(self.factors[factor])}")
        return self

    def _levels_named(self) -> list[tuple[str, dict[str, list[str]]]]:
        """(key of the file, levels by factor) wherever levels are named."""
        found: list[tuple[str, dict[str, list[str]]]] = [("levels", self.levels)]
        found += [(f"exclude.{number}", entry) for number, entry in enumerate(self.exclude)]
        for number, comparison in enumerate(self.comparisons):
            at = {factor: [level] for factor, level in comparison.at.items()}
            found.append((f"comparisons.{number}", {comparison.factor: [comparison.base]} | at))
        for number, curve in enumerate(self.curves):
            by: dict[str, list[str]] = {curve.by: []} if curve.by is not None else {}
            at = {factor: [level] for factor, level in curve.at.items()}
            found.append((f"curves.{number}", {curve.factor: [], **by} | at))
        return found

    def chosen_levels(self, factor: str) -> list[str]:
        """Levels of `factor` that have cells, in the order of reports."""
        return self.levels.get(factor, list(self.factors[factor]))
