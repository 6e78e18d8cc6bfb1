"""A batch's database transaction: what is said in it, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import psycopg

from ledger_server.domain.accounts import Head
from ledger_server.store import rows
from ledger_server.store.books import ids, lane_lock
from ledger_server.store.connection import ServiceConnection
from ledger_server.store.inserting import Insert, send
from ledger_server.store.outcomes import CommitUnknown, HeadMoved
from ledger_server.store.roundtrip import Asking, RoundTrip
from ledger_server.store.sql import statements

_SQL = statements("lane")


def no_failpoint(name: str) -> None:
    """Nobody looks."""


class Batch(NamedTuple):
    """What moves the head from `before` to `after`, ready to be sent; `bounded` places have limits."""

    before: Head
    after: Head
    inserts: list[Insert]
    bounded: list[tuple[int, int]]


class Writing:
    """One trip of one session with a batch's database transaction. Used by one thread, once.

    The caller queues in `trip` what opens the database transaction and names its ledger.
    """

    def __init__(
        self, connection: ServiceConnection, ledger_id: int, batch: Batch, failpoint: Callable[[str], None]
    ) -> None:
        self.trip = RoundTrip(connection)
        self._connection = connection
        self._ledger_id = ledger_id
        self._batch = batch
        self._failpoint = failpoint

    def vouch(self) -> None:
        """Has the bounds that the batch comes near vouched for, where there are any."""
        if self._batch.bounded:
            # Before BEGIN: SERIALIZABLE would watch all that it reads. Where it fails, the fence does.
            Asking(self.trip, self._ledger_id)(_SQL.vouch, **ids(self._batch.bounded))
            self.trip.sync()

    def reach(self, name: str) -> None:
        """A failpoint within the trip: what was queued before it is sent first, where somebody looks."""
        if self._failpoint is not no_failpoint:
            self.trip.send()
            self._failpoint(name)

    def complete(self, *, keeps_lane: bool = True) -> None:
        """Moves the head, inserts, commits, and gives the session's lane lock back unless it is kept.

        Returns when all of it is durable. Raises HeadMoved where nothing was written,
        CommitUnknown or psycopg.Error where the caller must judge.
        """
        before, after, trip = self._batch.before, self._batch.after, self.trip
        moved = trip.ask(
            _SQL.move_head,
            ledger_id=self._ledger_id,
            before_sequence=before.sequence,
            before_hash=before.hash,
            sequence=after.sequence,
            hash=after.hash,
            record_time=rows.moment(after.record_time).isoformat(),
        )
        self.reach("after_head")
        for insert in self._batch.inserts:
            send(trip, insert, self._ledger_id, after.record_time)
        self.reach("before_commit")
        committed = trip.ask(_SQL.commit)
        if not keeps_lane:
            # Skipped where COMMIT fails; `abandon` unlocks then.
            trip.ask(_SQL.unlock, lane=lane_lock(self._ledger_id))
        self.reach("commit_sent")
        try:
            trip.go()
        except psycopg.Error as error:
            if moved.is_there and moved.count == 0 and not self._connection.is_lost:
                # Behind a head that moved on every row is out of place, whatever was said of it.
                raise HeadMoved from error
            if committed.is_there:
                # What failed came behind COMMIT: whoever looks for the record finds what became of it.
                raise CommitUnknown(error, after.sequence, after.hash) from error
            raise
        if committed.tag != "COMMIT":
            # PostgreSQL answers ROLLBACK to the COMMIT of a failed transaction.
            raise psycopg.errors.InFailedSqlTransaction(f"COMMIT was answered {committed.tag}")
