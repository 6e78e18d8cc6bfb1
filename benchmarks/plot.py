"""The ratios as a picture: a bar for each suite, a mark where it must reach, a line for the interval."""

from __future__ import annotations

from xml.sax.saxutils import escape

from benchmarks.measured import Measured, figure
from benchmarks.report import Report

_WIDTH = 820
_LEFT = 280
_RIGHT = 150
_ROW = 34
_TOP = 46
_BAR = 16
_MOST = 1.5
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1c2430}.title{font-weight:600;font-size:14px}"
    ".note{fill:#667085;font-size:11px}.bar{fill:#3b6ea8}.low{fill:#b4532a}.axis{stroke:#d5dae1}"
    ".must{stroke:#1c2430;stroke-width:2;stroke-dasharray:3 2}.interval{stroke:#0f2a47;stroke-width:1.5}"
)


def svg(report: Report) -> str:
    """The plot of every rate that stands beside another one; 1.0 would be the denominator itself."""
    rows = [one for one in report.measured if one.ratio is not None and one.unit.endswith("/s")]
    height = _TOP + _ROW * len(rows) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"'
        ' aria-label="Rates as a share of what they stand beside">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text class="title" x="16" y="24">Rates as a share of what they stand beside</text>',
    ]
    bottom = _TOP + _ROW * len(rows)
    for quarter in range(int(_MOST * 4) + 1):
        x = _x(quarter / 4)
        parts.append(f'<line class="axis" x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(
            f'<text class="note" x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{quarter / 4:g}</text>'
        )
    for number, one in enumerate(rows):
        parts += _bar(one, _TOP + _ROW * number)
    parts.append(
        f'<text class="note" x="16" y="{height - 8}">{escape(str(report.machine.get("cpu", "")))},'
        f" {report.machine.get('cores')} cores; dashed: the bar; thin line: the interval of the median</text>"
    )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _x(ratio: float) -> float:
    return _LEFT + min(ratio, _MOST) / _MOST * (_WIDTH - _LEFT - _RIGHT)


def _bar(one: Measured, top: int) -> list[str]:
    assert one.ratio is not None
    assert one.ratio_low is not None
    assert one.ratio_high is not None
    middle = top + _BAR / 2
    kind = "low" if one.is_failure else "bar"
    parts = [
        f'<text x="{_LEFT - 10}" y="{middle}" text-anchor="end">{escape(one.suite)}</text>',
        f'<text class="note" x="{_LEFT - 10}" y="{middle + 13}" text-anchor="end">'
        f"beside {escape(one.beside)}</text>",
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{_x(one.ratio) - _LEFT:.1f}" height="{_BAR}"/>',
        f'<line class="interval" x1="{_x(one.ratio_low):.1f}" y1="{middle}" x2="{_x(one.ratio_high):.1f}"'
        f' y2="{middle}"/>',
        f'<text x="{_WIDTH - _RIGHT + 10}" y="{middle + 4}">{one.ratio:.2f} ({figure(one.value)}/s)</text>',
    ]
    must = one.bar.ratio_min if one.bar.ratio_min is not None else one.bar.ratio_high_min
    if must is not None:
        x = _x(must)
        parts.append(f'<line class="must" x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{top + _BAR + 4}"/>')
    return parts
