"""The connections: one pool for reads, one for the lanes, and which database this is."""

from __future__ import annotations

import os
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import psycopg
from psycopg import Connection
from psycopg_pool import PoolTimeout

from ledger_server.store import interlock
from ledger_server.store.connection import ServiceConnection
from ledger_server.store.lending import LendingPool, answers
from ledger_server.store.outcomes import DatabaseLost
from ledger_server.store.patience import LaneConnection
from ledger_server.store.posting import LaneSession
from ledger_server.store.sql import statements
from ledger_server.store.writing import no_failpoint

_SQL = statements("database")

# Of the lanes' pool, beside one for each committer.
LANES_SPARE = 2
# How many ledgers' ids are remembered; a name never changes its id.
KNOWN_LEDGERS_MAX = 100_000

# More than the rows of a batch of 2,000 transactions.
SEND_BUFFER_BYTES = 1024 * 1024

# Every statement goes by an index whatever its parameters are, so it is planned
# once a session; planned anew for each array's length, a short read spends more on
# the plan than on the rows.
_PLAN_ONCE = "set plan_cache_mode = force_generic_plan"
# A lane lock is waited for this long: the time another process may take for its
# batch. idle_session_timeout frees the lock of a stopped process; committers keep
# their own sessions alive.
LANE_SETTINGS = (
    "set time zone 'UTC'",
    "set default_transaction_isolation = 'read committed'",
    "set enable_seqscan = off",
    # Every lookup has the order of the index it means; see lane.sql.
    "set enable_sort = off",
    "set enable_incremental_sort = off",
    "set jit = off",
    _PLAN_ONCE,
    "set lock_timeout = '5s'",
    "set idle_session_timeout = '15s'",
    "set idle_in_transaction_session_timeout = '10s'",
    "set client_connection_check_interval = '1s'",
)
# Reads are READ ONLY by default, so that every statement of a read is.
READ_SETTINGS = (
    "set time zone 'UTC'",
    "set default_transaction_isolation = 'read committed'",
    "set default_transaction_read_only = on",
    # Every lookup is a probe by an index; see reading.sql. What adds up plans for itself.
    "set enable_seqscan = off",
    "set enable_sort = off",
    "set enable_incremental_sort = off",
    "set enable_hashjoin = off",
    "set enable_mergejoin = off",
    "set jit = off",
    _PLAN_ONCE,
    "set statement_timeout = '60s'",
    "set client_connection_check_interval = '1s'",
)
# A peer that is gone is noticed in seconds, not hours (PostgreSQL, libpq connection parameters).
_LIVENESS: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "connect_timeout": 5,
    "application_name": "ledger",
}


class Database:
    """The service's database, as ledger_app. Every connection passes the start-up interlock first."""

    def __init__(
        self,
        url: str,
        *,
        committers: int,
        readers: int,
        failpoint: Callable[[str], None] = no_failpoint,
    ) -> None:
        self._url = url
        self.failpoint = failpoint
        self._known: OrderedDict[str, int] = OrderedDict()
        self._known_lock = Lock()
        # Round trips prepare by themselves, and psycopg would deallocate theirs with its own.
        options = {**_LIVENESS, "autocommit": True, "prepare_threshold": None}
        self._reads: LendingPool[ServiceConnection] = LendingPool(
            url,
            connection_class=ServiceConnection,
            kwargs=options,
            configure=_configure_read,
            lives=lambda connection: connection.is_silent,
            min_size=1,
            max_size=readers,
            max_waiting=256,
            name="reads",
        )
        self._lanes: LendingPool[LaneConnection] = LendingPool(
            url,
            connection_class=LaneConnection,
            kwargs=options,
            configure=_configure_lane,
            # Committers keep theirs; spare ones are closed, one every max_idle, and
            # so mostly before idle_session_timeout. A dead one is replaced, not lent.
            lives=answers,
            min_size=0,
            max_idle=3.0,
            # Spare ones are for creating ledgers.
            max_size=committers + LANES_SPARE,
            name="lanes",
        )

    def open(self, timeout_s: float = 10.0) -> None:
        """Connects. Raises interlock.Interlock where the database must not be served from."""
        try:
            with psycopg.connect(self._url, **{**_LIVENESS, "autocommit": True}) as connection:
                interlock.check(connection)
            interlock.check_session(lambda: psycopg.connect(self._url, **_LIVENESS))
        except psycopg.Error as error:
            raise DatabaseLost(str(error).strip()) from error
        self._reads.open(wait=True, timeout=timeout_s)
        self._lanes.open(wait=True, timeout=timeout_s)
        self._settle_identity()

    def close(self) -> None:
        """Closes every connection."""
        self._lanes.close()
        self._reads.close()

    @contextmanager
    def reading(self) -> Iterator[ServiceConnection]:
        """Lends a READ ONLY connection. Raises DatabaseLost where none is to be had or it breaks."""
        try:
            with self._reads.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError) as error:
            # InterfaceError: the connection was closed before it was used.
            raise DatabaseLost(str(error).partition("\n")[0]) from error

    def lane_session(self) -> LaneSession:
        """Borrows a session for a committer until `give_back`. Raises DatabaseLost."""
        try:
            return LaneSession(self._lanes.getconn(), self.failpoint)
        except (PoolTimeout, psycopg.Error) as error:
            raise DatabaseLost(str(error).partition("\n")[0]) from error

    def give_back(self, session: LaneSession, *, broken: bool) -> None:
        """Takes a session back; a broken one is closed, and the pool makes a new one."""
        if broken:
            session.connection.close()
        self._lanes.putconn(session.connection)

    def ledger_id(self, name: str) -> int | None:
        """The id of a ledger's name, or None. Raises DatabaseLost."""
        with self._known_lock:
            known = self._known.get(name)
            if known is not None:
                return known
        try:
            row = self._row_of(name)
        except DatabaseLost:
            # Perhaps a connection that had died unnoticed; the next one is new.
            row = self._row_of(name)
        if row is None:
            return None
        with self._known_lock:
            self._known[name] = row[0]
            if len(self._known) > KNOWN_LEDGERS_MAX:
                self._known.popitem(last=False)
        return int(row[0])

    def _row_of(self, name: str) -> tuple[Any, ...] | None:
        with self.reading() as connection:
            return connection.execute(_SQL.ledger_id, {"name": name}).fetchone()

    def version(self) -> str:
        """PostgreSQL's version, as it says itself. Raises DatabaseLost."""
        with self.reading() as connection:
            row = connection.execute(_SQL.version).fetchone()
        return str(row[0]) if row else ""

    def is_serving(self) -> bool:
        """Whether the database answers now."""
        try:
            with self.reading() as connection:
                connection.execute(_SQL.version)
        except DatabaseLost:
            return False
        return True

    def _settle_identity(self) -> None:
        """Raises the epoch of every ledger when this is another database than the last one served.

        Another system identifier or timeline means a restore or a failover: sequences
        that a caller saw may be gone, and the epoch is how a reader notices.
        """
        with self._lanes.connection() as connection, connection.transaction():
            row = connection.execute(_SQL.identity).fetchone()
            assert row is not None
            stored = connection.execute(_SQL.stored_identity).fetchone()
            if stored == row:
                return
            parameters = {"system_identifier": row[0], "timeline": row[1]}
            if stored is None:
                connection.execute(_SQL.store_identity, parameters)
                return
            for (ledger_id,) in connection.execute(_SQL.directory_ids).fetchall():
                connection.execute(_SQL.set_ledger, {"ledger_id": ledger_id})
                connection.execute(_SQL.raise_epoch, {"ledger_id": ledger_id})
            connection.execute(_SQL.update_identity, parameters)


def _configure_read(connection: Connection[Any]) -> None:
    for setting in READ_SETTINGS:
        connection.execute(setting)
    interlock.check(connection)


def _configure_lane(connection: Connection[Any]) -> None:
    for setting in LANE_SETTINGS:
        connection.execute(setting)
    interlock.check(connection)
    _make_room(connection)


def _make_room(connection: Connection[Any]) -> None:
    """Has a local socket take a whole batch at once, as far as the system allows (unix(7), SO_SNDBUF).

    Else who sends a batch waits for the interpreter's lock several times, and the database for him.
    """
    with socket.socket(fileno=os.dup(connection.fileno())) as ours:
        if ours.family == socket.AF_UNIX:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
