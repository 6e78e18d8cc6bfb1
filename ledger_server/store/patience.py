"""The lanes' connection: it gives a server up that says nothing.

A way to the database that swallows everything and closes nothing would hold a
committer, and its ledger with it, for ever: TCP's own probes are still answered by
whatever swallows. So each wait of a lane's session has a bound. What it waited for
is unknown then, and is resolved like any other lost connection.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

from psycopg import OperationalError

from ledger_server.store.connection import ServiceConnection

ResultT = TypeVar("ResultT")

# Above lock_timeout, which is how long the server may rightly be silent about the lane lock.
SILENCE_MAX_S = 6.0


class LaneConnection(ServiceConnection):
    """A connection on which no wait is longer than SILENCE_MAX_S."""

    silence_max_s = SILENCE_MAX_S

    def wait(self, gen: Generator[Any, Any, ResultT], *arguments: Any, **options: Any) -> ResultT:
        """Consumes a generator on the connection; too long a silence ends the session."""
        began = time.monotonic()
        try:
            return super().wait(gen, *arguments, **{"timeout": SILENCE_MAX_S, **options})
        except OperationalError:
            if time.monotonic() - began >= SILENCE_MAX_S:
                self.pgconn.finish()
            raise
