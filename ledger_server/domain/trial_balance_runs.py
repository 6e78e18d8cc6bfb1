"""Trial-balance runs: what every entry of a ledger added up to at a moment, as it was kept."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from ledger_server.domain.reads import AssetTotal

# Of the sequences at fault a run names the lowest.
OFFENDING_MAX = 100


class TrialBalanceRun(NamedTuple):
    """One run: the head that it reflects, the sums, and what is at fault.

    `day` is the UTC day of `record_time`, which is in microseconds. `is_daily`: made by the
    service itself. `offending` names the lowest OFFENDING_MAX of the `offending_count`
    sequences that keep the books from being sound; an asset that does not exist has no code.
    """

    number: int
    day: date
    record_time: int
    created_by: str
    is_daily: bool
    sequence: int
    hash: bytes
    totals: tuple[AssetTotal, ...]
    offending_count: int
    offending: tuple[int, ...]

    @property
    def is_ok(self) -> bool:
        """Whether nothing is at fault; then debits equal credits in every asset."""
        return self.offending_count == 0
