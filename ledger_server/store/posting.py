"""The commit path's half that speaks to PostgreSQL.

    phase     statements                                         round trips
    lock      session advisory lock of the ledger's lane         ┐
    read      head, clock, keys, origins                         ┘ 1 (+1 each for new names, for balances)
    write     BEGIN SERIALIZABLE, the head moves, rows, COMMIT   1 (small path), 5 (large path)
    unlock    behind the COMMIT                                  with it

Inside the database transaction only the ledger's own head row is read, by moving
it, and only if it is still the one the books were read at (measured with four
ledgers at once: 71-76 % aborts with the reads inside, none so). The head moves
before the rows because the fences demand it: rows fill the span that the head
opened (migrations/0001_journal.sql).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import psycopg
from psycopg import Connection, pq

from ledger_server.domain.accounts import Head
from ledger_server.domain.books import Books
from ledger_server.domain.decisions import Record
from ledger_server.domain.transactions import Transaction
from ledger_server.store import inserting, rows
from ledger_server.store.books import Asking, BooksReader, OpenedBooks, Wanted, lane_lock
from ledger_server.store.outcomes import (
    CommitUnknown,
    DatabaseLost,
    HeadMoved,
    NotCommitted,
    Outcome,
    outcome_of,
)
from ledger_server.store.sql import statements

_SQL = statements("lane")


class LaneSession:
    """One connection that serves lanes, one ledger at a time. Used by one thread.

    `failpoint(name)` is called at named places of the path, so that a test can
    stop or kill the process there.
    """

    def __init__(self, connection: Connection[Any], failpoint: Callable[[str], None]) -> None:
        self.connection = connection
        self.failpoint = failpoint
        self._staged = False
        self._vouched: str | None = None
        self.backend_pid: int = connection.info.backend_pid
        # When the last database transaction began, by the monotonic clock.
        self.began = time.monotonic()

    def open_books(self, ledger: str, ledger_id: int, wanted: Wanted, cached: Books | None) -> OpenedBooks:
        """Takes the lane lock and reads the books; see BooksReader.open.

        Raises NotCommitted where the database refused (the session lives; call
        `abandon`), DatabaseLost where the session is gone.
        """
        try:
            opened = BooksReader(self.connection).open(ledger, ledger_id, wanted, cached)
        except psycopg.Error as error:
            if self._is_lost():
                raise DatabaseLost(str(error).partition("\n")[0]) from error
            raise NotCommitted(error) from error
        self._vouched = opened.vouched
        self.failpoint("books_read")
        return opened

    def write(
        self,
        ledger_id: int,
        before: Head,
        after: Head,
        records: Sequence[Record],
        asset_ids: Mapping[str, int],
    ) -> None:
        """Writes the records and moves the head from `before` to `after`, in one database transaction.

        Returns when they are durable, with the lane lock given back. Raises
        HeadMoved or NotCommitted where nothing was written (call `abandon`),
        CommitUnknown where that is not certain (the session is of no more use).
        """
        first = records[0]
        self.began = time.monotonic()
        self.failpoint("decided")
        try:
            self._write(ledger_id, before, after, records, asset_ids)
        except psycopg.Error as error:
            if outcome_of(error, connection_lost=self._is_lost()) is Outcome.UNKNOWN:
                raise CommitUnknown(error, first.sequence, first.hash) from error
            raise NotCommitted(error) from error

    def _write(
        self,
        ledger_id: int,
        before: Head,
        after: Head,
        records: Sequence[Record],
        asset_ids: Mapping[str, int],
    ) -> None:
        connection = self.connection
        runs = [(kind, list(run)) for kind, run in groupby(records, type)]
        # The stage is emptied by COMMIT only, so it holds one run a batch.
        staged = len(runs) == 1 and runs[0][0] is Transaction and len(records) >= inserting.STAGED_FROM
        if staged and not self._staged:
            inserting.stage(connection)
            self._staged = True
        self.failpoint("before_begin")
        with connection.pipeline() as pipeline:
            connection.execute(_SQL.begin)
            connection.execute(_SQL.set_ledger, {"ledger_id": ledger_id})
            if self._vouched is not None:
                connection.execute(_SQL.give_vouched, {"vouched": self._vouched})
            moved = connection.execute(
                _SQL.move_head,
                {
                    "ledger_id": ledger_id,
                    "before_sequence": before.sequence,
                    "before_hash": before.hash,
                    "sequence": after.sequence,
                    "hash": after.hash,
                    "record_time": rows.moment(after.record_time),
                },
            )
            if staged:
                pipeline.sync()
                if moved.rowcount != 1:
                    raise HeadMoved
            else:
                for kind, run in runs:
                    inserting.insert(connection, kind, run, ledger_id, asset_ids)
                self.failpoint("before_commit")
                try:
                    self._commit(pipeline, ledger_id)
                except psycopg.Error as error:
                    if moved.rowcount == 0:
                        # Behind a head that moved on every row is out of place, whatever was said of it.
                        raise HeadMoved from error
                    raise
        if staged:
            self.failpoint("after_head")
            transactions = [record for record in records if isinstance(record, Transaction)]
            inserting.copy(connection, ledger_id, transactions)
            self.failpoint("before_commit")
            with connection.pipeline() as pipeline:
                connection.execute(_SQL.unstage_transactions)
                connection.execute(_SQL.unstage_entries)
                self._commit(pipeline, ledger_id)
        self.failpoint("after_commit")

    def _commit(self, pipeline: psycopg.Pipeline, ledger_id: int) -> None:
        committed = self.connection.execute(_SQL.commit)
        # Skipped where COMMIT fails; `abandon` unlocks then.
        self.connection.execute(_SQL.unlock, {"lane": lane_lock(ledger_id)})
        self.failpoint("commit_sent")
        pipeline.sync()
        if committed.statusmessage != "COMMIT":
            # PostgreSQL answers ROLLBACK to the COMMIT of a failed transaction.
            raise psycopg.errors.InFailedSqlTransaction(f"COMMIT was answered {committed.statusmessage}")

    def abandon(self, ledger_id: int) -> None:
        """Rolls back and gives the lane lock back after a failure. Raises DatabaseLost if it is gone."""
        try:
            if self.connection.info.transaction_status != pq.TransactionStatus.IDLE:
                self.connection.execute(_SQL.rollback)
            self.connection.execute(_SQL.unlock, {"lane": lane_lock(ledger_id)})
        except psycopg.Error as error:
            raise DatabaseLost(str(error).partition("\n")[0]) from error

    def unlock(self, ledger_id: int) -> None:
        """Gives the lane lock back where nothing had to be written."""
        self.abandon(ledger_id)

    def keep_alive(self) -> None:
        """Keeps an idle session from timing out. Raises DatabaseLost if it is gone."""
        try:
            self.connection.execute(_SQL.backend_pid)
        except psycopg.Error as error:
            raise DatabaseLost(str(error).partition("\n")[0]) from error

    def was_committed(self, ledger_id: int, sequence: int, record_hash: bytes) -> bool:
        """Whether our record stands at our first sequence; asked on a new session.

        It is asked holding the lane lock: then the old database transaction is
        over, so what is read now is what became of it, also when nothing is there.
        Raises DatabaseLost; NotCommitted with 55P03 while another session holds
        the lock.
        """
        connection = self.connection
        try:
            with connection.pipeline() as pipeline:
                connection.execute(_SQL.lock, {"lane": lane_lock(ledger_id)})
                pipeline.sync()
                found = Asking(connection, ledger_id)(_SQL.record_hash_at, sequence=sequence)
                pipeline.sync()
                row = found.fetchone()
        except psycopg.Error as error:
            if self._is_lost():
                raise DatabaseLost(str(error).partition("\n")[0]) from error
            raise NotCommitted(error) from error
        self.abandon(ledger_id)
        return row is not None and bytes(row[0]) == record_hash

    def end_backend(self, pid: int) -> None:
        """Ends an old backend of ours, which may still hold the lane lock."""
        try:
            self.connection.execute(_SQL.end_backend, {"pid": pid})
        except psycopg.Error as error:
            raise DatabaseLost(str(error).partition("\n")[0]) from error

    def _is_lost(self) -> bool:
        return self.connection.closed or self.connection.broken
