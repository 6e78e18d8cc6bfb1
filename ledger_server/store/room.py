"""Whether the database has room for every connection that the service may make."""

from __future__ import annotations

import psycopg

from ledger_server.store.database import LANES_SPARE
from ledger_server.store.outcomes import DatabaseLost

_ROOM = """
    select least(
        current_setting('max_connections')::integer
            - current_setting('superuser_reserved_connections')::integer
            - coalesce(current_setting('reserved_connections', true), '0')::integer,
        nullif(datconnlimit, -1),
        nullif(rolconnlimit, -1)
    )
    from pg_database
    join pg_roles on rolname = current_user
    where datname = current_database()
"""


class NoRoom(Exception):
    """The database takes fewer connections than the service may make."""


def connections_of(committers: int, readers: int) -> int:
    """How many connections one process of the service makes at most."""
    return committers + LANES_SPARE + readers


def refuse_crowd(url: str, wanted: int) -> None:
    """Raises NoRoom where the database would never take so many connections; DatabaseLost."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute(_ROOM).fetchone()
    except psycopg.Error as error:
        raise DatabaseLost(str(error).strip()) from error
    assert row is not None
    if wanted > row[0]:
        raise NoRoom(
            f"the service may make {wanted} connections, and the database takes {row[0]}:"
            " raise its max_connections (or the limit of the role or database), or lower"
            " --workers or LEDGER_COMMITTERS"
        )
