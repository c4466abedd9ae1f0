"""Numbers as text: metrics in their units and digits, intervals, p-values, true minus signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.metrics import METRICS, Metric

if TYPE_CHECKING:  # scipy takes a second, and training and lists of runs do without
    from trainer.statistics.differences import Interval
    from trainer.statistics.summary import Summary


@dataclass(frozen=True)
class Scale:
    """Format of values and differences of a metric."""

    metric: Metric

    @property
    def factor(self) -> int:
        """Factor between the stored and the displayed number: 100 for percent and correlations."""
        return self.metric.factor

    @property
    def unit(self) -> str:
        """Unit of a value, as in "71.3 %"."""
        return self.metric.unit

    @property
    def step(self) -> str:
        """Unit of a difference, as in "+0.8 points"."""
        return "points" if self.factor == 100 else self.metric.unit

    @property
    def name(self) -> str:
        """Name of the metric in words."""
        return self.metric.name.replace("_", " ")

    @property
    def column(self) -> str:
        """Name of the metric with its unit, as in "accuracy (%)" or "pearson (× 100)"."""
        unit = self.unit or ("× 100" if self.factor == 100 else "")
        return f"{self.name} ({unit})" if unit else self.name

    def is_gain(self, difference: float) -> bool:
        """True if a difference is an improvement."""
        return self.metric.sign * difference > 0

    def value(self, value: float) -> str:
        """A value without its unit."""
        return f"{self.factor * value:.{self.metric.digits}f}"

    def with_unit(self, value: float) -> str:
        """A value with its unit."""
        return f"{self.value(value)} {self.unit}".rstrip()

    def signed(self, difference: float) -> str:
        """A difference with its sign; zero, also after rounding, has none."""
        text = f"{self.factor * difference:+.{self.metric.digits}f}"
        return text[1:] if float(text) == 0 else text.replace("-", "−")

    def size(self, difference: float) -> str:
        """A positive difference with its unit and no plus sign, as in "0.8 points"."""
        return f"{self.signed(difference).lstrip('+')} {self.step}".rstrip()

    def deviation(self, summary: Summary) -> str:
        """Standard deviation as in "± 0.4"; empty for a single value."""
        return "" if summary.deviation is None else f"± {self.value(summary.deviation)}"

    def interval(self, interval: Interval) -> str:
        """Interval as in "[−0.1, +0.8]"."""
        return f"[{self.signed(interval.low)}, {self.signed(interval.high)}]"


def scale_of(metric: str) -> Scale:
    """Scale of the metric of this name, a key of METRICS."""
    return Scale(METRICS[metric])


PERCENT = scale_of("accuracy")


def p_value(p: float) -> str:
    """Three decimals; "< 0.001" below."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def listed(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def listed_names(names: Sequence[str]) -> str:
    """As `listed`, for names of the user's: apart by semicolons where one holds a comma or an "and" itself."""
    return "; ".join(names) if any(", " in name or " and " in name for name in names) else listed(names)


def counted(count: int, singular: str, plural: str = "") -> str:
    """ "1 seed", "3 seeds", "1,000 examples"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def duration(seconds: float) -> str:
    """Time for people: "40 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{minutes // 60} h {minutes % 60} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
