"""The result as a table for people, as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmarks.measured import Measured

_HEADINGS = ("suite", "measured", "beside", "denominator", "ratio", "bar", "ok", "CPU us each")


@dataclass(frozen=True, slots=True)
class Report:
    """One run of the bench."""

    size: str
    taken: str
    seconds: float
    machine: dict[str, object]
    measured: list[Measured]

    @property
    def is_ok(self) -> bool:
        """Whether every figure with a bar reaches it."""
        return all(one.is_ok is not False for one in self.measured)

    def to_json(self) -> str:
        """Everything, indented."""
        content = {
            "suite": self.size,
            "taken": self.taken,
            "seconds": self.seconds,
            "machine": self.machine,
            "measured": [one.to_json() for one in self.measured],
            "is_ok": self.is_ok,
        }
        return json.dumps(content, indent=2) + "\n"

    def to_table(self) -> str:
        """Aligned columns."""
        table = [_HEADINGS, *(_row(one) for one in self.measured)]
        widths = [max(len(row[column]) for row in table) for column in range(len(_HEADINGS))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table
        ]
        facts = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        return "\n".join([facts, "", *(line.rstrip() for line in lines)])


def _row(one: Measured) -> tuple[str, ...]:
    ratio = ""
    if one.ratio is not None:
        ratio = f"{one.ratio:.2f} ({one.ratio_low:.2f}-{one.ratio_high:.2f}, {one.pairs} pairs)"
    return (
        one.suite,
        f"{one.value:,.0f} {one.unit}",
        one.beside,
        "" if one.denominator is None else f"{one.denominator:,.0f}",
        ratio,
        str(one.bar),
        {True: "yes", False: "NO", None: ""}[one.is_ok],
        ", ".join(f"{name} {value:,.0f}" for name, value in one.cpu_us.items()),
    )
