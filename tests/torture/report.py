"""A torture's result: a table for people, JSON for programs, and what makes a run fail."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from torture.rows import Row

from benchmarks.machine import facts
from ledger_server import __version__
from ledger_server.store.binaries import find_binaries

HEADS = (
    "fault",
    "n",
    "acknowledged",
    "refused",
    "unknown: there",
    "not there",
    "lost",
    "doubled",
    "violations",
    "back in",
    "at most",
)
# From so many strikes on callers must have been left in the dark in both ways.
STRIKES_WITH_POWER = 10


def at_most(n: int) -> float:
    """The rate that no failure in n trials still allows, at 95 %."""
    return min(3 / n, 1)


def table(rows: Sequence[Row]) -> str:
    """One line for each kind of fault."""
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
    if row.skipped:
        return (row.fault, "SKIPPED", *[""] * (len(HEADS) - 2))
    return (
        row.fault,
        f"{row.n:,}",
        f"{row.acknowledged:,}",
        f"{row.refused:,}",
        f"{row.unknown_committed:,}",
        f"{row.unknown_not_committed:,}",
        f"{row.lost:,}",
        f"{row.doubled:,}",
        str(len(row.violations)),
        f"{row.recovery_max_s:.2f} s",
        "-" if row.violations or row.is_control else f"{at_most(row.n):.2g}",
    )


def to_json(rows: Sequence[Row], *, size: str, seed: int, seconds: float) -> str:
    """Every row, and what it was taken on."""
    content = {
        "size": size,
        "seed": seed,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds),
        "machine": facts(Path(tempfile.gettempdir()), find_binaries().version),
        "ledger": __version__,
        "faults": [asdict(row) for row in rows],
    }
    return json.dumps(content, indent=2) + "\n"


def faults(rows: Sequence[Row]) -> list[str]:
    """What makes the run fail, in sentences; empty where nothing does."""
    in_ci = os.environ.get("LEDGER_CI") == "1"
    found = [f"{row.fault}: {violation}" for row in rows for violation in row.violations]
    found += [
        f"{row.fault}: serving again took {row.recovery_max_s:.1f} s;"
        f" at most {row.recovery_bound_s:.0f} s are allowed"
        for row in rows
        if row.recovery_max_s > row.recovery_bound_s
    ]
    found += [f"{row.fault}: never struck" for row in rows if not row.struck and not row.skipped]
    found += [
        f"{row.fault}: skipped, and CI must have it: {row.skipped}"
        for row in rows
        if row.skipped and row.skipping_fails_ci and in_ci
    ]
    return found + powerless(rows)


def skipped(rows: Sequence[Row]) -> list[str]:
    """What was not tried, in sentences that cannot be overlooked."""
    return [
        f"SKIPPED {row.fault}: {row.skipped}; this run proves nothing of it" for row in rows if row.skipped
    ]


def powerless(rows: Sequence[Row]) -> list[str]:
    """Says so where faults that leave callers in the dark left none there: such a run proves nothing."""
    dark = [row for row in rows if row.leaves_unknown]
    if sum(row.struck for row in dark) < STRIKES_WITH_POWER:
        return []
    met = {
        "was recorded": sum(row.unknown_committed for row in dark),
        "was not recorded": sum(row.unknown_not_committed for row in dark),
    }
    return [f"no unknown outcome {what}: the run has no power" for what, n in met.items() if not n]
