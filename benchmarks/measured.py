"""Pairs of rates, their medians, and the interval of the median ratio."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import comb

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure must reach; None where nothing is asked of it."""

    ratio_min: float | None = None
    rate_min: float | None = None
    value_max: float | None = None

    def __str__(self) -> str:
        parts = []
        if self.ratio_min is not None:
            parts.append(f"ratio >= {self.ratio_min:.2f}")
        if self.rate_min is not None:
            parts.append(f">= {self.rate_min:,.0f}")
        if self.value_max is not None:
            parts.append(f"< {self.value_max:,.0f}")
        return ", ".join(parts)


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

    @property
    def is_ok(self) -> bool | None:
        """Whether it reaches its bar; None where there is none."""
        bar = self.bar
        judged = []
        if bar.ratio_min is not None:
            judged.append(self.ratio is not None and self.ratio >= bar.ratio_min)
        if bar.rate_min is not None:
            judged.append(self.value >= bar.rate_min)
        if bar.value_max is not None:
            judged.append(self.value < bar.value_max)
        return all(judged) if judged else None

    def to_json(self) -> dict[str, object]:
        """As the JSON file holds it."""
        return asdict(self) | {"is_ok": self.is_ok}


def paired(
    suite: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    beside: str,
    *,
    bar: Bar | None = None,
    cpu_us: dict[str, float] | None = None,
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
