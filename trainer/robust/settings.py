"""Setting groups shared by robust methods: site, ball, ascent, noise.

A method's own settings are beside its `step`. `trainer.robust` imports torch inside functions only, so that recipes are
read without it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from trainer.settings import Positive, Section, Share

Start = Literal["zero", "uniform", "gaussian"]
RandomStart = Literal["uniform", "gaussian"]
PartnerSource = Literal["batch", "copy"]
DEFAULT_SITE = "word_embeddings"
SITE_PATTERN = r"word_embeddings|embeddings|layer:[0-9]{1,4}"


def check_site(text: str) -> str:
    """Return `text`; ValueError if it is not the name of a site."""
    if not re.fullmatch(SITE_PATTERN, text):
        raise ValueError(f"expected word_embeddings, embeddings or layer:K, found {text[:40]!r}")
    return text


class MethodSettings(Section):
    """Base of every method's settings; the properties state what the method needs from training."""

    method: str
    """A key of `trainer.robust.METHODS`."""

    @property
    def ema_decay(self) -> float | None:
        """Decay of the EMA of the weights that the method needs; None without one."""
        return None

    @property
    def partner_source(self) -> PartnerSource | None:
        """Source of each example's partner; None without partners."""
        return None

    def resolved(self) -> dict[str, Any]:
        """Settings that take effect, with derived defaults filled in: name -> plain value, for the run's identity."""
        return self.model_dump(mode="json")


class SiteSettings(MethodSettings):
    """Site in the model, and ramp over the run."""

    site: Annotated[str, AfterValidator(check_site)] = DEFAULT_SITE
    """Representation that the method changes: `word_embeddings`, `embeddings` (the block's output) or `layer:K`."""
    ramp_start: Share = 0.0
    """Share of the run before which the radius is zero (plain training)."""
    ramp_end: Share = 0.0
    """Share of the run from which the radius is full; it grows linearly in between."""

    @model_validator(mode="after")
    def _ramp_goes_forward(self) -> SiteSettings:
        if self.ramp_end < self.ramp_start:
            raise ValueError("robust.ramp_end must not lie before robust.ramp_start")
        return self


class BallSettings(SiteSettings):
    """Ball of the perturbation at the site."""

    epsilon: Positive = 0.1
    """Radius of the ball; with `relative`, as a share of the mean norm (of this norm and scope) at the site. Only
    rounding exceeds it, in bf16 by at most 2^-8 of it."""
    relative: bool = True
    """Epsilon is such a share, measured once at the start of training; without it, an absolute length."""
    norm: Literal["l2", "linf"] = "l2"
    """Norm of the ball."""
    scope: Literal["token", "sequence"] = "token"
    """What has a ball of its own: each token, or each whole sequence."""
    shared_dropout: bool = False
    """All passes of a micro-batch above the site, ascent and update, clean and perturbed, draw the same dropout masks
    (as FreeLB's authors do); without it, each draws its own. Below the site there is one pass, so one set of masks."""


class AscentSettings(BallSettings):
    """Projected gradient ascent in the ball; each method sets its defaults of `ascent_steps` and `start`."""

    ascent_steps: int = Field(ge=1, le=1000)
    """Ascent steps K."""
    ascent_step_size: Positive | None = None
    """Length of an ascent step as a share of epsilon; None takes 1 for one step, which reaches the boundary, else
    2.5 / K, with which several can cross the ball."""
    start: Start
    """Starting point of the ascent."""
    start_radius: float = Field(default=1.0, gt=0.0, le=1.0)
    """Radius of the ball that a random start is drawn in, as a share of epsilon."""

    @property
    def step_length(self) -> float:
        """`ascent_step_size`, resolved."""
        if self.ascent_step_size is not None:
            return self.ascent_step_size
        return 1.0 if self.ascent_steps == 1 else 2.5 / self.ascent_steps

    def resolved(self) -> dict[str, Any]:
        """As in `MethodSettings`; a start at zero has no radius."""
        found = super().resolved() | {"ascent_step_size": self.step_length}
        if self.start == "zero":
            del found["start_radius"]
        return found


class DivergenceAscentSettings(AscentSettings):
    """Ascent on the divergence from the clean prediction, whose gradient at zero is zero: the start is random."""

    ascent_steps: int = Field(default=1, ge=1, le=1000)
    """Ascent steps K."""
    start: RandomStart = "gaussian"
    """Distribution of the starting point."""
    start_radius: float = Field(default=0.1, gt=0.0, le=1.0)
    """Radius of the ball that the start is drawn in, as a share of epsilon: small, so that the direction found
    outweighs the start. The authors of smart and trades start at about 0.01 and 0.03 of a step or radius; in bf16
    so small a start often leaves the logits as they were."""
    smoothness_weight: Positive = 1.0
    """Weight of the divergence between the clean and the perturbed prediction."""


class NoiseSettings(BallSettings):
    """Random points of the ball."""

    noise: RandomStart = "uniform"
    """Distribution in the ball."""
    draws: int = Field(default=1, ge=1, lt=4096)
    """Independent draws M whose losses, or divergences, are averaged."""


def ball_of(settings: MethodSettings) -> BallSettings:
    """Ball of the method; without one, the default ball at its site, in which distances are measured."""
    if isinstance(settings, BallSettings):
        return settings
    return BallSettings(method=settings.method, site=site_of(settings))


def site_of(settings: MethodSettings) -> str:
    """Site at which the model is split; the default site if the method changes nothing."""
    return settings.site if isinstance(settings, SiteSettings) else DEFAULT_SITE
