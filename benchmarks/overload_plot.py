"""The overload as a picture: offered, accepted and refused calls, second by second."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measured import Measured
from benchmarks.report import Report

_WIDTH, _HEIGHT = 760, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 110, 46, 44
_COLOURS = {"offered": "#98a2b3", "accepted": "#3b6ea8", "refused": "#b4532a"}
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1c2430}.title{font-weight:600;font-size:14px}"
    ".note{fill:#667085;font-size:11px}.axis{stroke:#d5dae1}.line{fill:none;stroke-width:2}"
    ".capacity{stroke:#1c2430;stroke-dasharray:3 2}"
)
_TICKS = 4


def overload_svg(report: Report) -> str | None:
    """The plot of the row that has a course in time; None where no such suite ran."""
    for one in report.measured:
        if one.series:
            return _svg(one)
    return None


def _svg(one: Measured) -> str:
    seconds = max(len(values) for values in one.series.values())
    most = max([1.0, one.denominator or 0.0, *(value for values in one.series.values() for value in values)])

    def x(second: float) -> float:
        return _LEFT + second / max(seconds, 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(rate: float) -> float:
        return _HEIGHT - _BOTTOM - rate / most * (_HEIGHT - _TOP - _BOTTOM)

    def line(values: Sequence[float]) -> str:
        # Each second is drawn at its middle.
        return " ".join(f"{x(number + 0.5):.1f},{y(value):.1f}" for number, value in enumerate(values))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        ' aria-label="Calls a second in an overload: offered, accepted, refused">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        '<text class="title" x="16" y="24">Calls a second in an overload</text>',
    ]
    for tick in range(_TICKS + 1):
        rate, second = most * tick / _TICKS, seconds * tick / _TICKS
        parts += [
            f'<line class="axis" x1="{_LEFT}" y1="{y(rate):.1f}" x2="{_WIDTH - _RIGHT}" y2="{y(rate):.1f}"/>',
            f'<text class="note" x="{_LEFT - 8}" y="{y(rate) + 4:.1f}" text-anchor="end">{rate:,.0f}</text>',
            f'<text class="note" x="{x(second):.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">'
            f"{second:g} s</text>",
        ]
    if one.denominator is not None:
        at = y(one.denominator)
        parts += [
            f'<line class="capacity" x1="{_LEFT}" y1="{at:.1f}" x2="{_WIDTH - _RIGHT}" y2="{at:.1f}"/>',
            f'<text class="note" x="{_WIDTH - _RIGHT + 8}" y="{at + 4:.1f}">capacity</text>',
        ]
    for number, (name, values) in enumerate(one.series.items()):
        colour, at = _COLOURS[name], _TOP - 22
        left = _LEFT + 260 + 90 * number
        parts += [
            f'<polyline class="line" data-name="{name}" stroke="{colour}" points="{line(values)}"/>',
            f'<rect x="{left}" y="{at - 9}" width="10" height="10" fill="{colour}"/>',
            f'<text x="{left + 16}" y="{at}">{name}</text>',
        ]
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
