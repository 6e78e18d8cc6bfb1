"""Tells whether our sessions are our own, or a proxy hands their database transactions around.

A transaction-pooling proxy gives a server process to a client for one database
transaction. Session advisory locks, temporary tables and settings then end up
with somebody else, and nothing says so. The probe holds a session idle, lets others
open transactions beside it, and looks whether anybody else was given its process,
or it another one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psycopg

NEIGHBOURS = 3


class SharedSession(Exception):
    """A proxy shares sessions between clients; the message says what to use instead."""

    def __init__(self) -> None:
        super().__init__(
            "The database URL leads to a proxy that pools transactions: a session's locks and temporary "
            "tables would be lost in silence. Use the server's own address (a managed database calls it "
            "the direct or unpooled endpoint), or pool_mode = session."
        )


def check_session(connect: Callable[[], psycopg.Connection[Any]]) -> None:
    """Raises SharedSession if connections made so do not keep their server process. Makes four of them."""
    token = secrets.token_hex(8)
    with ExitStack() as stack:
        session = stack.enter_context(connect())
        session.autocommit = True
        session.execute("select set_config('ledger.session_probe', %s, false)", (token,))
        home = _process(session)
        taken = {home}
        for _ in range(NEIGHBOURS):
            neighbour = stack.enter_context(connect())
            neighbour.autocommit = True
            # Held open until the end, so that a pool cannot give this process to us again.
            stack.enter_context(neighbour.transaction(force_rollback=True))
            # Judged before the next query: a pool that is now empty would let us wait.
            if _process(neighbour) in taken:
                raise SharedSession
            taken.add(_process(neighbour))
            kept = session.execute("select current_setting('ledger.session_probe', true)").fetchone()
            if kept != (token,) or _process(session) != home:
                raise SharedSession


def _process(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("select pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])
