"""Trial-balance runs: made for callers, and listed.

A run reads every entry of its ledger, so a process makes few at once; who comes later
waits a little, and is told to come again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from threading import BoundedSemaphore, Lock

from ledger_server.domain.callers import Caller
from ledger_server.domain.refusals import Contention, DatabaseUnavailable, Overloaded, ledger_not_found
from ledger_server.domain.trial_balance_runs import TrialBalanceRun
from ledger_server.service.reads import Reads
from ledger_server.store.connection import ServiceConnection
from ledger_server.store.trial_balance_runs import (
    NEWEST,
    RUN_S_MAX,
    RunCancelled,
    Runs,
    RunUnderWay,
    cancel,
)

_log = logging.getLogger(__name__)

# Each has a reader's connection, of eight, for as long as it takes.
RUNS_IN_FLIGHT_MAX = 2
TURN_WAIT_S = 5.0


class RunsUnderWay:
    """The connections over which runs are made now, for whoever must stop them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connections: set[ServiceConnection] = set()

    @contextmanager
    def over(self, connection: ServiceConnection) -> Iterator[None]:
        """What is done inside may be cancelled."""
        with self._lock:
            self._connections.add(connection)
        try:
            yield
        finally:
            # Waits for `cancel`: behind this the connection is lent to somebody else.
            with self._lock:
                self._connections.remove(connection)

    def cancel(self) -> None:
        """Cancels all of them."""
        with self._lock:
            for connection in self._connections:
                cancel(connection)


class TrialBalanceRuns:
    """Makes runs for callers, and lists all of them."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._turns = BoundedSemaphore(RUNS_IN_FLIGHT_MAX)
        self._under_way = RunsUnderWay()

    def stop(self) -> None:
        """Cancels the runs that callers wait for still."""
        self._under_way.cancel()

    def run(self, ledger: str, caller: Caller, min_sequence: int = 0) -> TrialBalanceRun:
        """Adds up every entry, and keeps what it finds. Raises refusals."""
        if not self._turns.acquire(timeout=TURN_WAIT_S):
            raise Overloaded(
                f"{RUNS_IN_FLIGHT_MAX} trial balances are being run already; try again later",
                runs_in_flight_max=RUNS_IN_FLIGHT_MAX,
            )
        try:
            with (
                self._reads.reading(ledger, min_sequence) as reading,
                self._under_way.over(reading.connection),
            ):
                made = Runs(reading.connection, reading.ledger_id).make(caller)
        except RunUnderWay as error:
            raise Contention(
                f"another trial balance of ledger {ledger!r} is being run; try again later", ledger=ledger
            ) from error
        except RunCancelled as error:
            raise DatabaseUnavailable(
                "the trial balance was cancelled: by an operator, by a server that stops, or after"
                f" {RUN_S_MAX} s; nothing was kept, try again"
            ) from error
        finally:
            self._turns.release()
        if made is None:
            raise ledger_not_found(ledger)
        report(ledger, made)
        return made

    def page(
        self, ledger: str, day: date | None, before: int | None, count: int
    ) -> tuple[list[TrialBalanceRun], bool]:
        """Runs newest first, of a UTC day or of all, with numbers below one; and whether more follow."""
        with self._reads.reading(ledger) as reading:
            runs = Runs(reading.connection, reading.ledger_id)
            found = runs.page(day, NEWEST if before is None else before, count + 1)
        return found[:count], len(found) > count


def report(ledger: str, run: TrialBalanceRun) -> None:
    """Tells the log of a run that found the books at fault."""
    if not run.is_ok:
        _log.error(
            "LEDGER_INVARIANT_BROKEN: trial balance run %d of ledger %r is a MISMATCH: %d sequences are at"
            " fault, the lowest: %s; run `./ledger verify`",
            run.number,
            ledger,
            run.offending_count,
            run.offending,
        )
