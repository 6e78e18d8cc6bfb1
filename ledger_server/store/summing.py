"""What the entries of one ledger add up to at a sequence: from all of them, or from a checkpoint on."""

from __future__ import annotations

from typing import Any, NamedTuple

from ledger_server.domain.accounts import AccountType
from ledger_server.domain.reads import AssetTotal, SummedRow
from ledger_server.store.connection import ServiceConnection
from ledger_server.store.roundtrip import RoundTrip
from ledger_server.store.sql import Statement, statements

_SQL = statements("summing")


class CheckpointDamaged(Exception):
    """A checkpoint is not what was written; nothing may be taken from it."""

    def __init__(self, sequence: int) -> None:
        super().__init__(f"checkpoint {sequence} is damaged")
        self.sequence = sequence


class CheckpointSums(NamedTuple):
    """A checkpoint's sequence, and the sums by account type and asset up to it."""

    sequence: int
    rows: list[SummedRow]


class Summing:
    """One ledger over one borrowed connection. READ COMMITTED, READ ONLY; use within one `with`."""

    def __init__(self, connection: ServiceConnection, ledger_id: int) -> None:
        self._trip = RoundTrip(connection)
        self._ledger_id = ledger_id

    def by_account(self, at: int) -> list[SummedRow]:
        """Gross sums of every account and asset with entries, in bytewise order."""
        return [_row(*found) for found in self._ask(_SQL.by_account, at=at)]

    def by_asset(self, after: int, at: int) -> list[AssetTotal]:
        """Gross sums of every asset with entries after one sequence and up to another."""
        return [
            AssetTotal(code, scale, int(debits), int(credits_))
            for code, scale, debits, credits_ in self._ask(_SQL.by_asset, after=after, at=at)
        ]

    def by_type(self, after: int, at: int) -> list[SummedRow]:
        """Gross sums of every account type and asset with entries after one sequence and up to another."""
        return [_row(*found) for found in self._ask(_SQL.by_type, after=after, at=at)]

    def newest_checkpoint(self, at: int) -> CheckpointSums | None:
        """The newest checkpoint at or below a sequence. Raises CheckpointDamaged."""
        found = self._ask(_SQL.newest_checkpoint, at=at)
        if not found:
            return None
        sequence, is_sound = found[0][:2]
        if not is_sound:
            raise CheckpointDamaged(sequence)
        return CheckpointSums(sequence, [_row("", *row[2:]) for row in found])

    def by_account_from_checkpoint(self, checkpoint: int, at: int) -> list[SummedRow] | None:
        """The same as `by_account` from the newest checkpoint and what follows it.

        None where the checkpoint is not the newest one: accounts are kept for that
        one only. Raises CheckpointDamaged.
        """
        found = self._ask(_SQL.by_account_from_checkpoint, after=checkpoint, at=at)
        if not found:
            return None
        if not found[0][0]:
            raise CheckpointDamaged(checkpoint)
        return [_row(*row[1:]) for row in found]

    def _ask(self, statement: Statement, **parameters: object) -> list[Any]:
        self._trip.ask(_SQL.set_ledger, ledger_id=self._ledger_id)
        self._trip.ask(_SQL.plan_anew)
        found = self._trip.ask(statement, ledger_id=self._ledger_id, **parameters)
        self._trip.go()
        return found.rows()


def _row(name: str, kind: int, code: str, scale: int, debits: Any, credits_: Any) -> SummedRow:
    return SummedRow(name, AccountType(kind), code, scale, int(debits), int(credits_))
