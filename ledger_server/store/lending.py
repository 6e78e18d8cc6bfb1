"""A pool that lends living connections, and loses no time over dead ones.

psycopg's own pool pauses for 1 s, then 2, then 4 between the dead connections it
comes upon, and doubles its pauses while it cannot connect. After a crash of
PostgreSQL all that lay in the pool are dead, and nothing is won by pausing between
them: a borrower was refused after 5 s in a database that had been back for as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolTimeout

ConnectionT = TypeVar("ConnectionT", bound=Connection[Any])

# A borrower waits this long; then DATABASE_UNAVAILABLE.
BORROW_TIMEOUT_S = 5.0
# While the database is away or refuses new sessions, a connection is tried for this long, and then
# the next one: some eight tries a second for each pool.
RECONNECT_S = 0.25


class LendingPool(ConnectionPool[ConnectionT]):
    """A pool whose dead connections are replaced where it comes upon them, and the next one is lent."""

    def __init__(self, url: str, *, lives: Callable[[ConnectionT], bool], **options: Any) -> None:
        self._lives = lives
        super().__init__(
            url,
            timeout=BORROW_TIMEOUT_S,
            reconnect_timeout=RECONNECT_S,
            reconnect_failed=ConnectionPool.check,
            open=False,
            **options,
        )

    def getconn(self, timeout: float | None = None) -> ConnectionT:
        """Lends a connection until `putconn`. Raises PoolTimeout, and TooManyRequests where many wait."""
        within_s = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + within_s
        try:
            connection = super().getconn(within_s)
            while not self._lives_or_goes(connection):
                connection = super().getconn(max(deadline - time.monotonic(), 0))
        except PoolTimeout:
            raise PoolTimeout(f"no living connection within {within_s:.2f} s") from None
        return connection

    def _lives_or_goes(self, connection: ConnectionT) -> bool:
        """Whether it lives; if it does not, or that cannot be told, the pool makes another one instead."""
        lives = False
        try:
            lives = self._lives(connection)
        finally:
            if not lives:
                connection.close()
                self.putconn(connection)
        return lives


def answers(connection: Connection[Any]) -> bool:
    """Whether the server answers on this connection now: a round trip."""
    try:
        connection.execute("")
    except psycopg.Error:
        return False
    return True
