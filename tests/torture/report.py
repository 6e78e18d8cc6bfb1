"""A torture's table: what was tried, how often, what was found, and what that proves."""

from __future__ import annotations

from collections.abc import Sequence

from torture.rounds import Row

HEADS = (
    "fault",
    "n",
    "acknowledged",
    "unknown: there",
    "not there",
    "lost",
    "doubled",
    "violations",
    "back in",
    "at most",
)


def table(rows: Sequence[Row]) -> str:
    """One line for each kind of fault. `at most` is the rate that no failure in n still allows, at 95 %."""
    cells = [HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADS))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.fault,
        f"{row.n:,}",
        f"{row.acknowledged:,}",
        f"{row.unknown_committed:,}",
        f"{row.unknown_not_committed:,}",
        str(row.lost),
        str(row.doubled),
        str(len(row.violations)),
        f"{row.recovery_max_s:.2f} s",
        "-" if row.violations else f"{min(3 / row.n, 1):.2g}",
    )


def faults(rows: Sequence[Row]) -> list[str]:
    """What makes the run fail, in sentences; empty where nothing does."""
    found = [f"{row.fault}: {violation}" for row in rows for violation in row.violations]
    found += [
        f"{row.fault}: serving again took {row.recovery_max_s:.1f} s;"
        f" at most {row.recovery_bound_s:.0f} s are allowed"
        for row in rows
        if row.recovery_max_s > row.recovery_bound_s
    ]
    return found + powerless(rows)


def powerless(rows: Sequence[Row]) -> list[str]:
    """Says so where no caller was left in the dark: such a run proves nothing."""
    met = {
        "was recorded": sum(row.unknown_committed for row in rows),
        "was not recorded": sum(row.unknown_not_committed for row in rows),
    }
    return [f"no unknown outcome {what}: the run has no power" for what, n in met.items() if not n]
