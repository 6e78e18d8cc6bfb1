"""What callers saw: calls with the time they were made and answered, and what was read when all was over.

A caller appends one line before a call and one after it, each on the disk before
it goes on, so that no crash can take back what a caller was told. Times are of
the machine's monotonic clock, which all its processes share, in nanoseconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Fields = dict[str, Any]

OK, REFUSED, UNKNOWN = "ok", "refused", "unknown"
# Refusals that promise that nothing was recorded, whatever the books say.
NOT_TAKEN = frozenset({"DATABASE_UNAVAILABLE", "OVERLOADED", "CONTENTION", "SHUTTING_DOWN"})
NEVER_NS = 2**63


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule of the checker that does not hold, and where."""

    rule: str
    where: str


@dataclass(slots=True)
class Call:
    """One call. `verb` is post, reverse, batch, change, balance or trial; `fields` are the request's.

    A change is of an account or of the chart: its `method` stands beside the request's fields.
    """

    name: str
    verb: str
    fields: Fields
    invoked: int
    completed: int = NEVER_NS
    outcome: str = UNKNOWN
    # Of a write: one result for each operation. Of a read: the answer.
    results: list[Fields] = field(default_factory=list)
    answer: Fields = field(default_factory=dict)

    @property
    def is_write(self) -> bool:
        """Whether it asks to record transactions."""
        return self.verb in ("post", "reverse", "batch")

    @property
    def is_change(self) -> bool:
        """Whether it asks to change an account or the chart."""
        return self.verb == "change"

    @property
    def operations(self) -> list[tuple[str, Fields]]:
        """What a write asks: verb and fields of each operation."""
        if self.verb == "batch":
            return [next(iter(operation.items())) for operation in self.fields["operations"]]
        return [(self.verb, self.fields)] if self.is_write else []


@dataclass(slots=True)
class History:
    """Everything that the checker judges."""

    calls: list[Call]
    # The newest record before the callers began: the ledger, its assets and accounts.
    base: int
    head: int
    # The accounts, assets and charts that were made, as requests.
    opened: list[tuple[str, Fields]]
    # Every transaction by sequence, as the last reads showed it.
    journal: list[Fields]
    # What a read by key showed in the end, for each key of an unknown outcome: its sequence or None.
    resolved: dict[str, int | None]
    # Every later version of an account or of the chart (subject ""), by sequence: what is `now` so.
    changes: list[Fields] = field(default_factory=list)


class Log:
    """A caller's log file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, line: Fields) -> None:
        """Writes a line and waits until it is on the disk."""
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")
        os.fdatasync(self._file)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def read_logs(paths: Iterable[Path]) -> list[Call]:
    """The calls of all logs, by time. A call without an answer, or half a line at the end, is unknown."""
    calls: dict[str, Call] = {}
    for path in paths:
        for text in path.read_bytes().split(b"\n")[:-1]:
            line = json.loads(text)
            if "verb" in line:
                calls[line["name"]] = Call(line["name"], line["verb"], line["fields"], line["at"])
                continue
            call = calls[line["name"]]
            call.outcome = line["outcome"]
            call.results, call.answer = line.get("results", []), line.get("answer", {})
            if call.outcome != UNKNOWN:
                call.completed = line["at"]
    return sorted(calls.values(), key=lambda call: call.invoked)
