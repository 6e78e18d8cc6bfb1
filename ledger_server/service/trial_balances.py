"""Trial balances: what the entries add up to, from all of them or from a checkpoint on.

A checkpoint is a shortcut and never an authority. Where none can be used (there is
none yet, it is not what was written, the newest one lies after the sequence that is
asked for and accounts are wanted), the sums are recomputed, and the answer says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from hashlib import sha256
from threading import Lock
from typing import NamedTuple

from ledger_server.domain.reads import (
    AssetTotal,
    SummedRow,
    sums_by_asset,
    sums_by_type,
    trial_balance_bytes,
)
from ledger_server.service.reads import Reads, check_reached
from ledger_server.store.summing import CheckpointDamaged, CheckpointSums, Summing

_log = logging.getLogger(__name__)

# A handful of ledgers' sums by account are kept, for paging only.
_SUMS_KEPT_MAX = 4


class Breakdown(Enum):
    """Which rows stand beside the totals."""

    NONE = "none"
    BY_TYPE = "by type"
    BY_ACCOUNT = "by account"


class SumsAsk(NamedTuple):
    """Which sums: `at` 0 is now; the digest is of the rows by account."""

    at: int
    breakdown: Breakdown
    with_digest: bool
    may_use_checkpoint: bool

    @property
    def needs_accounts(self) -> bool:
        """Whether every account must be added up on its own."""
        return self.with_digest or self.breakdown is Breakdown.BY_ACCOUNT


class Sums(NamedTuple):
    """A trial balance's sums at a sequence, and the checkpoint they come from (0: recomputed)."""

    rows: list[SummedRow]
    totals: list[AssetTotal]
    at: int
    checkpoint: int
    digest: bytes


class _ByAccount(NamedTuple):
    """Every account's sums at a sequence."""

    rows: list[SummedRow]
    at: int
    checkpoint: int


class TrialBalances:
    """Answers trial balances. `wants_checkpoint` is told which ledgers are asked for from a checkpoint."""

    def __init__(self, reads: Reads, wants_checkpoint: Callable[[str], None]) -> None:
        self._reads = reads
        self._wants_checkpoint = wants_checkpoint
        self._last: dict[int, _ByAccount] = {}
        self._last_lock = Lock()

    def sums(self, ledger: str, ask: SumsAsk, *, is_later_page: bool, min_sequence: int = 0) -> Sums:
        """The sums at a sequence. Raises LedgerNotFound, SequenceNotReached, DatabaseUnavailable.

        A later page may be answered from the sums of the page before: they are of
        the same sequence, at or below which nothing changes.
        """
        with self._reads.reading(ledger, min_sequence) as reading:
            head = reading.head().sequence
            check_reached(ledger, head, ask.at)
            ask = ask._replace(at=ask.at or head)
            if ask.may_use_checkpoint:
                self._wants_checkpoint(ledger)
            summing = Summing(reading.connection, reading.ledger_id)
            if not ask.needs_accounts:
                return _without_accounts(summing, ledger, ask)
            found = self._kept(reading.ledger_id, ask) if is_later_page else None
            if found is None:
                found = _by_account(summing, ledger, ask)
                self._keep(reading.ledger_id, found)
        totals = sums_by_asset(found.rows)
        digest = sha256(trial_balance_bytes(found.rows)).digest() if ask.with_digest else b""
        rows = found.rows
        if ask.breakdown is not Breakdown.BY_ACCOUNT:
            rows = sums_by_type(rows) if ask.breakdown is Breakdown.BY_TYPE else []
        return Sums(rows, totals, ask.at, found.checkpoint, digest)

    def _kept(self, ledger_id: int, ask: SumsAsk) -> _ByAccount | None:
        with self._last_lock:
            last = self._last.get(ledger_id)
        if last is None or last.at != ask.at or (last.checkpoint and not ask.may_use_checkpoint):
            return None
        return last

    def _keep(self, ledger_id: int, found: _ByAccount) -> None:
        with self._last_lock:
            while len(self._last) >= _SUMS_KEPT_MAX:
                self._last.pop(next(iter(self._last)))
            self._last[ledger_id] = found


def _without_accounts(summing: Summing, ledger: str, ask: SumsAsk) -> Sums:
    """The checkpoint's sums and those of the entries after it; without one, those of all entries."""
    after, before = CheckpointSums(0, [])
    if ask.may_use_checkpoint:
        try:
            after, before = summing.newest_checkpoint(ask.at) or (after, before)
        except CheckpointDamaged as damaged:
            _report(ledger, damaged)
    if ask.breakdown is Breakdown.NONE:
        return Sums([], sums_by_asset([*before, *summing.by_asset(after, ask.at)]), ask.at, after, b"")
    rows = sums_by_type([*before, *summing.by_type(after, ask.at)])
    return Sums(rows, sums_by_asset(rows), ask.at, after, b"")


def _by_account(summing: Summing, ledger: str, ask: SumsAsk) -> _ByAccount:
    if ask.may_use_checkpoint:
        try:
            checkpoint = summing.newest_checkpoint(ask.at)
            if checkpoint is not None:
                rows = summing.by_account_from_checkpoint(checkpoint.sequence, ask.at)
                if rows is not None:
                    return _ByAccount(rows, ask.at, checkpoint.sequence)
        except CheckpointDamaged as damaged:
            _report(ledger, damaged)
    return _ByAccount(summing.by_account(ask.at), ask.at, 0)


def _report(ledger: str, damaged: CheckpointDamaged) -> None:
    _log.error(
        "LEDGER_INVARIANT_BROKEN: checkpoint %d of ledger %r is damaged and was not used; run"
        " `./ledger verify --rebuild-checkpoints`",
        damaged.sequence,
        ledger,
    )
