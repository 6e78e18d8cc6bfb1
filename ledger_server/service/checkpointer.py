"""Writes checkpoints of ledgers that grow, one step at a time, beside the lanes.

A step adds up a bounded number of entries in one database transaction, under a lock
that other servers' checkpointers try too, and takes no lock that a lane needs. After
a step it rests for as long as the step took, so it uses half a core at most.
"""

from __future__ import annotations

import logging
import threading
import time

from ledger_server.store.checkpoints import (
    ENTRIES_PER_CHECKPOINT,
    CheckpointCancelled,
    CheckpointRefused,
    Checkpoints,
)
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost

_log = logging.getLogger(__name__)

# How often ledgers that have grown are looked at.
LOOK_S = 2.0
# A ledger whose step failed is tried again after this long: `verify` may have rebuilt what was damaged.
REFUSED_S = 600.0


class Checkpointer:
    """One thread that writes the checkpoints of the ledgers it was told of."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._noted: dict[str, None] = {}
        # Until when a ledger that was refused is left alone.
        self._refused: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stops after the step at hand."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def note(self, ledger: str) -> None:
        """A ledger may have grown."""
        # Critical section: every write passes it; one dictionary entry inside.
        with self._lock:
            self._noted[ledger] = None

    def _run(self) -> None:
        rest_s = LOOK_S
        while not self._stopping.wait(rest_s):
            with self._lock:
                noted, self._noted = self._noted, {}
            started, has_written = time.monotonic(), False
            for ledger in noted:
                if not self._stopping.is_set() and self._step(ledger):
                    self.note(ledger)
                    has_written = True
            rest_s = time.monotonic() - started
            if not has_written:
                rest_s = max(rest_s, LOOK_S)

    def _step(self, ledger: str) -> bool:
        """Writes one checkpoint, if enough entries wait for it; whether it did."""
        if time.monotonic() < self._refused.get(ledger, 0.0):
            return False
        try:
            ledger_id = self._database.ledger_id(ledger)
            if ledger_id is None:
                return False
            with self._database.reading() as connection:
                return Checkpoints(connection, ledger_id).write(ENTRIES_PER_CHECKPOINT) is not None
        except DatabaseLost:
            # Whoever serves calls says so; the ledger is looked at again.
            self.note(ledger)
        except CheckpointRefused as error:
            self._refused[ledger] = time.monotonic() + REFUSED_S
            _log.error(
                "LEDGER_INVARIANT_BROKEN: no more checkpoints of ledger %r: %s; run `./ledger verify`",
                ledger,
                error,
            )
        except CheckpointCancelled as error:
            self._refused[ledger] = time.monotonic() + REFUSED_S
            _log.warning("writing a checkpoint of ledger %r was cancelled: %s", ledger, error)
        except Exception:
            self._refused[ledger] = time.monotonic() + REFUSED_S
            _log.exception("writing a checkpoint of ledger %r failed", ledger)
        return False
