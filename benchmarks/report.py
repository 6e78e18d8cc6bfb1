"""The result as a table for people and for documents, as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmarks.measured import Measured, figure, from_json

_HEADINGS = (
    "suite",
    "measured",
    "beside",
    "denominator",
    "ratio",
    "bar",
    "ok",
    "p50, p99, p99.9 ms",
    "CPU us each",
)


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
        """Whether every figure with a bar reaches it; wishes aside."""
        return not any(one.is_failure for one in self.measured)

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
        return "\n".join([self.facts(), "", *(line.rstrip() for line in lines)])

    def to_markdown(self) -> str:
        """The table as documents hold it."""
        rows = [_HEADINGS, ("---",) * len(_HEADINGS), *(_row(one) for one in self.measured)]
        return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"

    def facts(self) -> str:
        """The machine in one line."""
        return ", ".join(f"{name} {value}" for name, value in self.machine.items())


def read_report(text: str) -> Report:
    """The report that the JSON holds."""
    content = json.loads(text)
    return Report(
        size=content["suite"],
        taken=content["taken"],
        seconds=content["seconds"],
        machine=content["machine"],
        measured=[from_json(fields) for fields in content["measured"]],
    )


def _row(one: Measured) -> tuple[str, ...]:
    ratio = ""
    if one.ratio is not None:
        ratio = f"{one.ratio:.2f}"
        if one.pairs:
            ratio += f" ({one.ratio_low:.2f}-{one.ratio_high:.2f}, {one.pairs} pairs)"
    return (
        one.suite,
        f"{figure(one.value)} {one.unit}",
        one.beside,
        "" if one.denominator is None else figure(one.denominator),
        ratio,
        str(one.bar),
        {True: "yes", False: "NO", None: ""}[one.is_ok],
        ", ".join(figure(value / 1e3) for value in one.latency_us.values()),
        ", ".join(f"{name} {figure(value)}" for name, value in one.cpu_us.items()),
    )
