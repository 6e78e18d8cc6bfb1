"""The commit path's half that speaks to PostgreSQL.

    phase     statements                                         round trips
    lock      session advisory lock of the ledger's lane         ┐
    read      head, clock, keys, origins                         ┘ 1 (+1 each for new names, for balances)
    vouch     balances and bounds of accounts that have any      ┐
    write     BEGIN SERIALIZABLE, the head moves, rows, COMMIT   │ 1
    unlock    behind the COMMIT                                  ┘

Where a batch is decided while the one before is being written, it reads without the
lock, which the other's session holds, and takes it before it writes. A small batch whose
accounts and balances are known is decided without a look at the database and written in
one round trip (`write_at_once`): vouch, BEGIN SERIALIZABLE, lock, the head moves, rows, COMMIT.

Inside the database transaction only the ledger's own head row is read, by moving
it, and only if it is still the one the books were read at (measured with four
ledgers at once: 71-76 % aborts with the reads inside, none so). The head moves
before the rows, which may only fill a span that it opened (migrations/0001_journal.sql).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import pq

from ledger_server.domain.accounts import Head
from ledger_server.domain.audit import Act
from ledger_server.domain.books import Books
from ledger_server.domain.decisions import Record
from ledger_server.store.books import BooksReader, OpenedBooks, lane_lock
from ledger_server.store.heard_clock import HeardClock
from ledger_server.store.inserting import RowTypes, inserts
from ledger_server.store.outcomes import (
    CommitUnknown,
    DatabaseLost,
    HeadMoved,
    NotCommitted,
    Outcome,
    outcome_of,
)
from ledger_server.store.patience import LaneConnection
from ledger_server.store.roundtrip import Asking, RoundTrip
from ledger_server.store.sql import Statement, statements
from ledger_server.store.wanted import Wanted
from ledger_server.store.writing import Batch, Writing

_SQL = statements("lane")


class LaneSession:
    """One connection that serves lanes, one ledger at a time. Used by one thread at a time.

    `failpoint(name)` is called at named places, so that a test can stop or kill the process there.
    """

    def __init__(self, connection: LaneConnection, failpoint: Callable[[str], None]) -> None:
        self.connection = connection
        self.failpoint = failpoint
        self._is_locked = False
        self._lane = 0
        # When the lane lock was taken (monotonic clock), and whether others had written meanwhile.
        self.locked_at, self.met_others = 0.0, False
        self.backend_pid: int = connection.info.backend_pid
        # When the last database transaction began.
        self.began = time.monotonic()
        self.clock = HeardClock()

    def open_books(self, ledger: str, ledger_id: int, wanted: Wanted, cached: Books | None) -> OpenedBooks:
        """Takes the lane lock, unless it is held, and reads the books; see BooksReader.open.

        Raises NotCommitted where the database refused (the session lives; call
        `abandon`), DatabaseLost where the session is gone.
        """
        was_locked, self._is_locked, self._lane = self._is_locked, True, ledger_id
        left_at = cached.head.sequence if cached is not None else None
        with self._nothing_written():
            opened = BooksReader(self.connection).open(
                ledger, ledger_id, wanted, cached, is_locked=was_locked
            )
        self.clock.hear(opened.clock)
        if not was_locked:
            self.locked_at = time.monotonic()
            self.met_others = left_at is not None and opened.books.head.sequence != left_at
        self.failpoint("books_read")
        return opened

    def open_ahead(self, ledger_id: int, wanted: Wanted, books: Books) -> OpenedBooks:
        """Completes the books that a batch still being written leaves behind; see BooksReader.open_ahead."""
        with self._nothing_written():
            opened = BooksReader(self.connection).open_ahead(ledger_id, wanted, books)
        self.failpoint("books_read")
        return opened

    @contextmanager
    def _nothing_written(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            if outcome_of(error, connection_lost=self.connection.is_lost) is Outcome.UNKNOWN:
                # Not by the batch's doing: cancelled, out of memory, disk full.
                raise DatabaseLost(str(error).partition("\n")[0]) from error
            raise NotCommitted(error) from error

    def batch(
        self,
        before: Head,
        after: Head,
        records: Sequence[Record],
        asset_ids: Mapping[str, int],
        bounded: list[tuple[int, int]],
        acts: Sequence[Act] = (),
    ) -> Batch:
        """Makes records and audit ready; of asset ids by code. Raises DatabaseLost, NotCommitted."""
        if self.connection.row_types is None:
            with self._nothing_written():
                trip = RoundTrip(self.connection)
                found = trip.ask(_SQL.row_types)
                trip.go()
                self.connection.row_types = found.rows()[0]
        made = inserts(records, asset_ids, RowTypes(*self.connection.row_types), acts)
        return Batch(before, after, made, bounded)

    @property
    def is_silent(self) -> bool:
        """Whether the server has said nothing unasked, as it does where it ends a session."""
        return self.connection.is_silent

    @property
    def holds_lane(self) -> bool:
        """Whether the lane lock of the last ledger is held."""
        return self._is_locked

    def write(self, ledger_id: int, batch: Batch, *, keeps_lane: bool = False) -> None:
        """Writes the batch in one database transaction.

        Returns when it is durable, with the lane lock given back unless it is kept. Raises
        HeadMoved or NotCommitted where nothing was written (call `abandon`),
        CommitUnknown where that is not certain (the session is of no more use).
        """
        self.began = time.monotonic()
        self.failpoint("decided")
        if not self._is_locked:
            with self._nothing_written():
                self._lock(ledger_id)
        with self._perhaps_written(batch):
            self._write(ledger_id, batch, keeps_lane)

    def _lock(self, ledger_id: int) -> None:
        """Takes the lane lock. Answered before BEGIN is sent: behind a refusal nothing may be written."""
        self._is_locked, self._lane, self.met_others = True, ledger_id, False
        self.locked_at = time.monotonic()  # When it was asked for: who waited long holds it for less long.
        trip = RoundTrip(self.connection)
        trip.ask(_SQL.lock, lane=lane_lock(ledger_id))
        trip.go()

    def _write(self, ledger_id: int, batch: Batch, keeps_lane: bool) -> None:
        writing = Writing(self.connection, ledger_id, batch, self.failpoint)
        writing.vouch()
        writing.reach("before_begin")
        writing.trip.ask(_SQL.begin)
        writing.trip.ask(_SQL.set_ledger, ledger_id=ledger_id)
        writing.complete(keeps_lane=keeps_lane)
        self._is_locked = keeps_lane
        self.failpoint("after_commit")

    def write_at_once(self, ledger_id: int, batch: Batch) -> None:
        """Writes a batch in one round trip that was decided without a look at the database.

        The lane lock is held by the database transaction, to its end. Nothing is written
        where another server has it, where the head has moved (HeadMoved both), and where a key
        is taken. Raises as `write` does; the session must hold no lane.
        """
        self.began = time.monotonic()
        self.failpoint("decided")
        writing = Writing(self.connection, ledger_id, batch, self.failpoint)
        writing.vouch()
        writing.trip.ask(_SQL.begin)
        entered = writing.trip.ask(_SQL.enter_lane, ledger_id=ledger_id, lane=lane_lock(ledger_id))
        writing.reach("before_begin")
        with self._perhaps_written(batch):
            writing.complete()
        self.clock.hear(entered.number())
        self.failpoint("after_commit")

    @contextmanager
    def _perhaps_written(self, batch: Batch) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            if outcome_of(error, connection_lost=self.connection.is_lost) is Outcome.UNKNOWN:
                raise CommitUnknown(error, batch.after.sequence, batch.after.hash) from error
            raise NotCommitted(error) from error

    def abandon(self, ledger_id: int) -> None:
        """Rolls back and gives the lane lock back after a failure. Raises DatabaseLost if it is gone."""
        trip = RoundTrip(self.connection)
        with self._lost():
            if self.connection.info.transaction_status != pq.TransactionStatus.IDLE:
                trip.ask(_SQL.rollback)
                trip.sync()
            if self._is_locked:
                trip.ask(_SQL.unlock, lane=lane_lock(ledger_id))
            trip.go()
        self._is_locked = False

    def write_nothing(self, ledger_id: int, head: Head | None, *, keeps_lane: bool = False) -> None:
        """Ends a batch that has nothing to write; the head of books decided ahead must still be there.

        Gives the lane lock back unless it is kept. Raises HeadMoved, NotCommitted, DatabaseLost.
        """
        trip = RoundTrip(self.connection)
        with self._nothing_written():
            found = Asking(trip, ledger_id)(_SQL.head) if head is not None else None
            if self._is_locked and not keeps_lane:
                trip.ask(_SQL.unlock, lane=lane_lock(ledger_id))
            trip.go()
        self._is_locked = self._is_locked and keeps_lane
        row = found.row() if found is not None else None
        if head is not None and (row is None or (row[0], bytes(row[1])) != (head.sequence, head.hash)):
            raise HeadMoved

    def leave_lane(self) -> None:
        """Gives a lane lock back that was kept. Raises DatabaseLost if the session is gone."""
        self.abandon(self._lane)

    def keep_alive(self) -> None:
        """Keeps an idle session from timing out. Raises DatabaseLost if it is gone."""
        self._say(_SQL.backend_pid)

    def was_committed(self, ledger_id: int, sequence: int, record_hash: bytes) -> bool:
        """Whether our record stands at its sequence; asked on a new session.

        It is asked holding the lane lock: then the old database transaction is
        over, so what is read now is what became of it, also when nothing is there.
        Raises DatabaseLost; NotCommitted with 55P03 while another session holds
        the lock.
        """
        self._is_locked = True
        trip = RoundTrip(self.connection)
        with self._nothing_written():
            trip.ask(_SQL.lock, lane=lane_lock(ledger_id))
            found = Asking(trip, ledger_id)(_SQL.record_hash_at, sequence=sequence)
            trip.go()
            row = found.row()
        self.abandon(ledger_id)
        return row is not None and bytes(row[0]) == record_hash

    def end_backend(self, pid: int) -> None:
        """Ends an old backend of ours, which may still hold the lane lock."""
        self._say(_SQL.end_backend, pid=pid)

    def end_silent_holder(self, ledger_id: int) -> None:
        """Ends a session that holds the ledger's lane lock and has not heard of its server for seconds.

        A server that is stopped in the middle of a round trip keeps the lock while it stands
        still: no timeout of PostgreSQL counts there.
        """
        self._say(_SQL.end_silent_holder, lane=lane_lock(ledger_id))

    def _say(self, statement: Statement, **parameters: int) -> None:
        trip = RoundTrip(self.connection)
        with self._lost():
            trip.ask(statement, **parameters)
            trip.go()

    @staticmethod
    @contextmanager
    def _lost() -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise DatabaseLost(str(error).partition("\n")[0]) from error
