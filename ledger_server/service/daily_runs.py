"""The trial balance that the service runs by itself: once for each ledger and UTC day.

One thread goes through the directory, one ledger after the other, beside the lanes; after
each run it rests for as long as the run took, so it uses half a core at most. Every
server does so: the database keeps one such run a day, and who comes second finds it
there. What fails is passed over, and the pass begins again at it later.
"""

from __future__ import annotations

import logging
import time
from datetime import date
from threading import Event, Thread

from ledger_server.service.trial_balance_runs import RunsUnderWay, report
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost
from ledger_server.store.trial_balance_runs import RunCancelled, Runs, RunUnderWay, today_and_ledgers

_log = logging.getLogger(__name__)

# How often new ledgers, and a new day, are looked for.
LOOK_S = 60.0
# How many ledgers are read from the directory at once.
LEDGERS_PER_LOOK = 100
# A ledger whose run failed is tried again after this long.
FAILED_S = 600.0
_CANCEL_EVERY_S = 0.5


class DailyRuns:
    """One thread that makes the day's run of every ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # How far the day's pass has come, in ledger ids.
        self._day: date | None = None
        self._after = 0
        # Where it begins again for the first ledger that failed, and when.
        self._failed_after: int | None = None
        self._again_at = 0.0
        self._under_way = RunsUnderWay()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="daily-runs", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stops; a run at hand is cancelled, and made by the next server."""
        self._stopping.set()
        deadline = time.monotonic() + timeout_s
        while self._thread.is_alive() and time.monotonic() < deadline:
            # Again, where the run was only about to begin.
            self._under_way.cancel()
            self._thread.join(_CANCEL_EVERY_S)

    def _run(self) -> None:
        rest_s = LOOK_S
        while not self._stopping.wait(rest_s):
            try:
                rest_s = self._look()
            except DatabaseLost:
                # Whoever serves calls says so; the pass goes on where it is.
                rest_s = LOOK_S
            except Exception:
                _log.exception("looking for ledgers whose trial balance is due failed")
                rest_s = LOOK_S

    def _look(self) -> float:
        """Makes the runs of the next few ledgers; answers how long to rest."""
        if self._failed_after is not None and time.monotonic() >= self._again_at:
            self._after, self._failed_after = min(self._after, self._failed_after), None
        with self._database.reading() as connection:
            day, ledgers = today_and_ledgers(connection, self._after, LEDGERS_PER_LOOK)
        if day != self._day:
            self._day, self._after, self._failed_after = day, 0, None
            return 0.0
        for ledger_id, name in ledgers:
            started = time.monotonic()
            if not self._make(ledger_id, name) and self._failed_after is None:
                self._failed_after, self._again_at = self._after, time.monotonic() + FAILED_S
            self._after = ledger_id
            if self._stopping.wait(time.monotonic() - started):
                return 0.0
        return 0.0 if len(ledgers) == LEDGERS_PER_LOOK else LOOK_S

    def _make(self, ledger_id: int, name: str) -> bool:
        """Makes the ledger's run of the day, unless it is there; False where it is to be tried again."""
        try:
            with self._database.reading() as connection, self._under_way.over(connection):
                run = Runs(connection, ledger_id).make_daily()
        except RunUnderWay:
            return False
        except DatabaseLost as error:
            _log.warning("the daily trial balance of ledger %r was not made: %s", name, error)
            return False
        except RunCancelled as error:
            if not self._stopping.is_set():
                _log.warning("the daily trial balance of ledger %r was cancelled: %s", name, error)
            return False
        except Exception:
            _log.exception("the daily trial balance of ledger %r failed", name)
            return False
        if run is not None:
            report(name, run)
        return True
