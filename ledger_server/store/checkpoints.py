"""Checkpoints: written step by step, read back, and proven against the entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from psycopg import Connection, errors

from ledger_server.store.sql import statements

_SQL = statements("checkpoints")

# So many entries follow one checkpoint before the next is written. A reader adds them up
# in 20 ms; a step takes 0.1 s where they are of few accounts, 1 s where each is of another.
ENTRIES_PER_CHECKPOINT = 100_000

# Gross debits and credits of each (asset_id, account type).
Sums = Mapping[tuple[int, int], tuple[int, int]]


class CheckpointRefused(Exception):
    """The database refused to write a checkpoint, because what it was made of is damaged."""


class CheckpointCancelled(Exception):
    """A step was cancelled: by an operator, or because it took longer than statement_timeout."""


class StoredCheckpoint(NamedTuple):
    """A row of ledger.checkpoints; `is_sound` says that its digest is right."""

    sequence: int
    is_sound: bool
    sums: Sums


class DifferingBalance(NamedTuple):
    """An account's sums in the newest checkpoint and those of its entries; None where there are none."""

    sequence: int
    account_id: int
    asset_id: int
    held: tuple[int, int] | None
    summed: tuple[int, int] | None


class Checkpoints:
    """The checkpoints of one ledger over one connection, which may be READ ONLY by default."""

    def __init__(self, connection: Connection[Any], ledger_id: int) -> None:
        self._connection = connection
        self._ledger_id = ledger_id

    def write(self, entries: int) -> int | None:
        """Writes the next one, so many entries after the newest, and answers its sequence.

        None where fewer entries follow, or another session is writing. Raises CheckpointRefused,
        CheckpointCancelled.
        """
        try:
            found = self._change(_SQL.write, entries=entries)
        except errors.CheckViolation as error:
            raise CheckpointRefused(error.diag.message_primary) from error
        except errors.QueryCanceled as error:
            raise CheckpointCancelled(error.diag.message_primary) from error
        return None if found is None else int(found)

    def discard(self) -> None:
        """Discards all of them."""
        self._change(_SQL.discard)

    def stored(self) -> list[StoredCheckpoint]:
        """All of them in order, as they lie in the table."""
        return [
            StoredCheckpoint(
                sequence,
                is_sound,
                {
                    (asset_id, kind): (int(debit), int(credit))
                    for asset_id, kind, debit, credit in zip(assets, kinds, debits, credits_, strict=True)
                },
            )
            for sequence, is_sound, assets, kinds, debits, credits_ in self._ask(_SQL.stored)
        ]

    def sums_between(self, after: int, until: int) -> Sums:
        """What the entries after one sequence and up to another add up to."""
        return {
            (asset_id, kind): (int(debits), int(credits_))
            for asset_id, kind, debits, credits_ in self._ask(_SQL.sums_between, after=after, until=until)
        }

    def differing_balance(self) -> DifferingBalance | None:
        """The first account of which the newest checkpoint says something else than its entries."""
        for sequence, account_id, asset_id, *sums in self._ask(_SQL.differing_balance):
            debits, credits_, summed_debits, summed_credits = sums
            return DifferingBalance(
                sequence,
                account_id,
                asset_id,
                None if debits is None else (int(debits), int(credits_)),
                None if summed_debits is None else (int(summed_debits), int(summed_credits)),
            )
        return None

    def wrong_checksum(self) -> int | None:
        """The newest checkpoint, where its checksum is not that of its accounts."""
        found = self._ask(_SQL.wrong_checksum)
        return found[0][0] if found else None

    def _change(self, statement: bytes, **parameters: object) -> Any:
        with self._connection.transaction():
            self._connection.execute(_SQL.read_write)
            self._connection.execute(_SQL.plan_freely)
            self._connection.execute(_SQL.join_by_hashing)
            self._connection.execute(_SQL.set_ledger, {"ledger_id": self._ledger_id})
            return self._connection.execute(statement, parameters).fetchone()[0]  # type: ignore[index]

    def _ask(self, statement: bytes, **parameters: object) -> list[Any]:
        with self._connection.transaction():
            self._connection.execute(_SQL.plan_freely)
            self._connection.execute(_SQL.set_ledger, {"ledger_id": self._ledger_id})
            return self._connection.execute(
                statement, {"ledger_id": self._ledger_id, **parameters}
            ).fetchall()
