"""Our connection: what a round trip must know of it."""

from __future__ import annotations

import select
from typing import Any

from psycopg import Connection
from psycopg.pq.abc import PGconn


class ServiceConnection(Connection[Any]):
    """A connection that round trips go over; see roundtrip.py."""

    # A wait for the server that is longer than this gives the connection up: above
    # statement_timeout, within which the server speaks up by itself.
    silence_max_s = 65.0

    def __init__(self, pgconn: PGconn, *arguments: Any, **options: Any) -> None:
        super().__init__(pgconn, *arguments, **options)
        # The labels of the statements that this connection has prepared.
        self.prepared: set[bytes] = set()
        # The numbers of the types that rows are sent as, once they were asked for.
        self.row_types: tuple[int, ...] | None = None

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be said over it any more."""
        return self.closed or self.broken

    @property
    def is_silent(self) -> bool:
        """Whether the server has said nothing unasked, as it does where it ends a session. No round trip."""
        if self.is_lost:
            return False
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return not poll.poll(0)
