"""What was denied, kept as audit events: at most one a second for each principal and ledger, with a count.

Noted in memory by the call that was denied, written by a thread of its own: saying no
never waits for the database. What a crash takes along was of no effect.
"""

from __future__ import annotations

import logging
from threading import Event, Lock, Thread

from ledger_server.domain.callers import Caller
from ledger_server.store.auditing import Denial, write_denials
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost

_log = logging.getLogger(__name__)

WRITTEN_EVERY_S = 1.0
# Principals and ledgers of one second; beyond it denials are counted in the log only.
PLACES_MAX = 1_000


class Denials:
    """Gathers denials and writes them."""

    def __init__(self, database: Database, every_s: float = WRITTEN_EVERY_S) -> None:
        self._database = database
        self._every_s = every_s
        self._lock = Lock()
        # By principal and ledger: the first attempt, and how many there were.
        self._noted: dict[tuple[str, str], tuple[Caller, str, str, int]] = {}
        self._dropped = 0
        self._stopping = Event()
        self._thread = Thread(target=self._write_on, name="denials", daemon=True)

    def start(self) -> None:
        """Starts to write."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Writes what was noted, and stops."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def note(self, caller: Caller, ledger: str, method: str, reason: str) -> None:
        """Notes an attempt; the ledger may be none that exists, or empty."""
        place = (caller.principal, ledger)
        with self._lock:
            known = self._noted.get(place)
            if known is not None:
                self._noted[place] = (*known[:3], known[3] + 1)
            elif len(self._noted) < PLACES_MAX:
                self._noted[place] = (caller, method, reason, 1)
            else:
                self._dropped += 1

    def _write_on(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self._every_s)
            self._write()

    def _write(self) -> None:
        with self._lock:
            noted, self._noted = self._noted, {}
            dropped, self._dropped = self._dropped, 0
        if dropped:
            _log.warning("denied %d more attempts, of too many principals to tell of each", dropped)
        if not noted:
            return
        try:
            write_denials(self._database, self._gathered(noted))
        except DatabaseLost as error:
            _log.warning("%d denials were not kept: %s", len(noted), error)

    def _gathered(self, noted: dict[tuple[str, str], tuple[Caller, str, str, int]]) -> list[Denial]:
        """What was noted, with all that names no ledger of ours told of together."""
        gathered: dict[tuple[str, int | None], Denial] = {}
        for (principal, ledger), (caller, method, reason, count) in noted.items():
            ledger_id = self._database.ledger_id(ledger) if ledger else None
            known = gathered.get((principal, ledger_id))
            times = count + (known.times if known is not None else 0)
            gathered[principal, ledger_id] = Denial(ledger_id, caller, method, reason, times)
        return list(gathered.values())
