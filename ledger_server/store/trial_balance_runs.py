"""Trial-balance runs in the database: made by the owner's function, and read in pages."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Any

import psycopg
from psycopg import errors

from ledger_server.domain.callers import SERVICE, Caller
from ledger_server.domain.reads import AssetTotal
from ledger_server.domain.trial_balance_runs import TrialBalanceRun
from ledger_server.store import rows
from ledger_server.store.connection import ServiceConnection
from ledger_server.store.roundtrip import RoundTrip
from ledger_server.store.sql import statements

_SQL = statements("trial_balance_runs")

# A run that a caller asked for ends with the longest deadline that a call may have.
RUN_S_MAX = 300
# Nobody waits for the service's own, and a ledger may have billions of entries.
DAILY_S_MAX = 3_600
# How long a run waits for another one of its ledger.
LOCK_S_MAX = 5
# How long it may take to tell the server to cancel one.
CANCEL_S_MAX = 5
# Above the number of any run.
NEWEST = 2**63 - 1


class RunUnderWay(Exception):
    """Another run of the ledger is being made."""


class RunCancelled(Exception):
    """The run was cancelled: by an operator, or because it took longer than it may."""


class Runs:
    """The runs of one ledger over one borrowed connection, which may be READ ONLY by default."""

    def __init__(self, connection: ServiceConnection, ledger_id: int) -> None:
        self._connection = connection
        self._ledger_id = ledger_id

    def make(self, caller: Caller) -> TrialBalanceRun | None:
        """Makes a run for a caller, and tells the audit; None where there is no such ledger.

        Raises RunUnderWay, RunCancelled.
        """
        return self._make(caller.principal, caller)

    def make_daily(self) -> TrialBalanceRun | None:
        """Makes the day's run of the service itself; None where it is there. Raises as `make`."""
        return self._make(SERVICE, None)

    def _make(self, created_by: str, caller: Caller | None) -> TrialBalanceRun | None:
        seconds = DAILY_S_MAX if caller is None else RUN_S_MAX
        try:
            with self._connection.transaction():
                self._execute(_SQL.read_write)
                self._execute(_SQL.set_ledger)
                self._execute(_SQL.take_time, statement_timeout=f"{seconds}s", lock_timeout=f"{LOCK_S_MAX}s")
                (number,) = self._execute(_SQL.run, created_by=created_by, daily=caller is None)
                if number is None:
                    return None
                if caller is not None:
                    self._execute(
                        _SQL.audit,
                        actor=caller.principal,
                        means=caller.means.value,
                        peer=caller.peer,
                        number=number,
                    )
                return _run(self._execute(_SQL.page, before=number + 1, count=1))
        except errors.LockNotAvailable as error:
            raise RunUnderWay(error.diag.message_primary) from error
        except errors.QueryCanceled as error:
            raise RunCancelled(error.diag.message_primary) from error

    def page(self, day: date | None, before: int, count: int) -> list[TrialBalanceRun]:
        """Runs with a lower number, newest first; of one UTC day where it is given."""
        trip = RoundTrip(self._connection)
        trip.ask(_SQL.set_ledger, ledger_id=self._ledger_id)
        asked = {"ledger_id": self._ledger_id, "before": before, "count": count, "day": day}
        found = trip.ask(_SQL.page if day is None else _SQL.page_of_day, **asked)
        trip.go()
        return [_run(row) for row in found.rows()]

    def _execute(self, statement: bytes, **parameters: object) -> Any:
        """The first row that a statement answers, if it answers any."""
        cursor = self._connection.execute(statement, {"ledger_id": self._ledger_id, **parameters})
        return cursor.fetchone() if cursor.description else None


def today_and_ledgers(
    connection: ServiceConnection, after: int, count: int
) -> tuple[date, list[tuple[int, str]]]:
    """The UTC day by the database's clock; ids and names of ledgers in order, after an id."""
    row = connection.execute(_SQL.today).fetchone()
    assert row is not None
    return row[0], connection.execute(_SQL.ledgers_after, {"after": after, "count": count}).fetchall()


def cancel(connection: ServiceConnection) -> None:
    """Cancels what another thread has the connection do; nothing where it does nothing."""
    with suppress(psycopg.Error):
        connection.cancel_safe(timeout=CANCEL_S_MAX)


def _run(row: Any) -> TrialBalanceRun:
    number, day, record_time, created_by, daily, sequence, head_hash, *sums, count, offending = row
    return TrialBalanceRun(
        number,
        day,
        rows.micros(record_time),
        created_by,
        daily,
        sequence,
        bytes(head_hash),
        tuple(
            AssetTotal(code, scale, int(debits), int(credits_))
            for code, scale, debits, credits_ in zip(*sums, strict=True)
        ),
        count,
        tuple(offending),
    )
