"""Pairs of figures, their medians, the interval of the median ratio, and what each must reach."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from math import comb
from typing import Any

_CONFIDENCE = 0.95
_SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure must reach; None where nothing is asked of it."""

    ratio_min: float | None = None
    ratio_max: float | None = None
    ratio_high_min: float | None = None
    """What the upper end of the ratio's interval must reach: 1 says "not slower" of a rate."""
    ratio_low_max: float | None = None
    """What the lower end may not pass: 1 says "not slower" of a time."""
    value_min: float | None = None
    value_min_where: float | None = None
    """value_min is asked only where the denominator reaches this: of a machine that fast."""
    value_max: float | None = None
    is_stretch: bool = False
    """A wish: shown, but a figure below it is no failure."""

    def __str__(self) -> str:
        parts = []
        if self.ratio_min is not None:
            parts.append(f"ratio >= {self.ratio_min:.2f}")
        if self.ratio_max is not None:
            parts.append(f"ratio <= {self.ratio_max:.2f}")
        if self.ratio_high_min is not None or self.ratio_low_max is not None:
            parts.append(f"interval includes {self.ratio_high_min or self.ratio_low_max:.0f}, or better")
        if self.value_min is not None:
            where = "" if self.value_min_where is None else f" where beside {self.value_min_where:,.0f}"
            parts.append(f">= {figure(self.value_min)}{where}")
        if self.value_max is not None:
            parts.append(f"<= {figure(self.value_max)}")
        return ", ".join(parts) + (" (stretch)" if self.is_stretch and parts else "")

    def is_reached_by(self, one: Measured) -> bool | None:
        """Whether the figure reaches every part; None where no part is asked of it."""
        is_fast = self.value_min_where is None or (one.denominator or 0.0) >= self.value_min_where
        judged = [
            figure_of is not None and (figure_of >= bound if is_least else figure_of <= bound)
            for bound, figure_of, is_least in (
                (self.ratio_min, one.ratio, True),
                (self.ratio_max, one.ratio, False),
                (self.ratio_high_min, one.ratio_high, True),
                (self.ratio_low_max, one.ratio_low, False),
                (self.value_min if is_fast else None, one.value, True),
                (self.value_max, one.value, False),
            )
            if bound is not None
        ]
        return all(judged) if judged else None


@dataclass(frozen=True, slots=True)
class Measured:
    """One row of the result: a figure, what it stands beside, and whether it reaches its bar."""

    suite: str
    unit: str
    value: float
    beside: str = ""
    denominator: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    pairs: int = 0
    bar: Bar = field(default_factory=Bar)
    cpu_us: dict[str, float] = field(default_factory=dict)
    """CPU microseconds by process for one unit of work: a transaction, a call."""
    latency_us: dict[str, float] = field(default_factory=dict)
    """Microseconds by percentile."""
    series: dict[str, list[float]] = field(default_factory=dict)
    """What happened second by second, by name."""

    @property
    def is_ok(self) -> bool | None:
        """Whether it reaches its bar; None where there is none."""
        return self.bar.is_reached_by(self)

    @property
    def is_failure(self) -> bool:
        """Whether it misses a bar that is no mere wish."""
        return self.is_ok is False and not self.bar.is_stretch

    def to_json(self) -> dict[str, object]:
        """As the JSON file holds it."""
        return asdict(self) | {"is_ok": self.is_ok}


def from_json(fields: dict[str, Any]) -> Measured:
    """The row that the JSON file holds."""
    known = {name: value for name, value in fields.items() if name != "is_ok"}
    return Measured(**known | {"bar": Bar(**fields["bar"])})


def paired(
    suite: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    beside: str,
    *,
    bar: Bar | None = None,
    cpu_us: dict[str, float] | None = None,
    latency_us: dict[str, float] | None = None,
) -> Measured:
    """The medians of both sides, and the median of the pairs' ratios with its interval."""
    ratios = [value / denominator for value, denominator in pairs]
    low, high = median_interval(ratios)
    return Measured(
        suite=suite,
        unit=unit,
        value=statistics.median(value for value, _ in pairs),
        beside=beside,
        denominator=statistics.median(denominator for _, denominator in pairs),
        ratio=statistics.median(ratios),
        ratio_low=low,
        ratio_high=high,
        pairs=len(pairs),
        bar=bar or Bar(),
        cpu_us=cpu_us or {},
        latency_us=latency_us or {},
    )


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The distribution-free 95 % interval of the median: two of the sorted values.

    The number of values below the true median is binomial (n, 1/2), so the k-th
    smallest and the k-th largest enclose it with a probability known exactly.
    With fewer than six values no two of them do so at 95 %: then all of them.
    """
    ordered = sorted(values)
    count = len(ordered)
    outside, place = 0.0, 0
    while place < count // 2:
        outside += 2 * comb(count, place) / 2**count
        if outside > 1 - _CONFIDENCE:
            break
        place += 1
    place = max(place, 1)
    return ordered[place - 1], ordered[count - place]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of sorted values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """p50, p99 and p99.9 of what was measured; empty where nothing was."""
    ordered = sorted(values)
    return {name: percentile(ordered, share) for name, share in _SHARES.items()} if ordered else {}


def figure(value: float) -> str:
    """Three digits that mean something: 14,546 and 0.052."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
