"""How numbers are written: percent and points with one decimal, perplexity with two, true minus signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.statistics.differences import Interval
from trainer.statistics.summary import Summary


@dataclass(frozen=True)
class Scale:
    """How a metric is shown."""

    factor: float
    digits: int
    unit: str
    """After a value, as in "71.3 %"."""
    step: str
    """After a difference, as in "+0.8 points"."""
    higher_is_better: bool

    @property
    def sign(self) -> int:
        """1 where a higher value is better, else -1: turns a difference into "how much worse"."""
        return 1 if self.higher_is_better else -1

    def value(self, value: float) -> str:
        return f"{self.factor * value:.{self.digits}f}"

    def with_unit(self, value: float) -> str:
        return f"{self.value(value)} {self.unit}".rstrip()

    def signed(self, difference: float) -> str:
        """A difference with its sign; zero, also after rounding, has none."""
        text = f"{self.factor * difference:+.{self.digits}f}"
        return text[1:] if float(text) == 0 else text.replace("-", "−")

    def deviation(self, summary: Summary) -> str:
        """ "± 0.4", or nothing for a single value."""
        return "" if summary.deviation is None else f"± {self.factor * summary.deviation:.{self.digits}f}"

    def interval(self, interval: Interval) -> str:
        return f"[{self.signed(interval.low)}, {self.signed(interval.high)}]"


PERCENT = Scale(factor=100, digits=1, unit="%", step="points", higher_is_better=True)
SCALES: dict[str, Scale] = {
    "accuracy": PERCENT,
    "perplexity": Scale(factor=1, digits=2, unit="", step="", higher_is_better=False),
}


def scale_of(metric: str) -> Scale:
    """The scale of a metric; metrics that are fractions need no entry in SCALES."""
    return SCALES.get(metric, PERCENT)


def p_value(p: float) -> str:
    """Three decimals; "< 0.001" below."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def listed(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def counted(count: int, singular: str, plural: str = "") -> str:
    """ "1 seed", "3 seeds", "1,000 examples"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
