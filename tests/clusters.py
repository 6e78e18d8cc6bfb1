"""The PostgreSQL that the tests run on, and a fresh database for each of them.

fsync stays on everywhere, because the start-up interlock insists on it. The data
lies in a RAM disk where there is room, since no test that uses `database` asks
what a power failure would leave; those that ask about durability start their own
server on a real disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from ledger_server.store.embedded import EmbeddedPostgres, make_ephemeral_data_dir
from ledger_server.store.migrate import migrate

APP_PASSWORD = "for tests only"
TEMPLATE = "ledger_template"
RAM_DISK = Path("/dev/shm")
ROOM_NEEDED = 2 << 30


@dataclass(frozen=True, slots=True)
class Database:
    """A database with the newest schema and empty books."""

    name: str
    owner_url: str
    """As a superuser: for looking, and for doing what nobody may."""
    app_url: str
    """As ledger_app, which serves."""

    def end_sessions(self) -> int:
        """Ends every session of ledger_app, as a crash of PostgreSQL does; answers how many there were."""
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            row = connection.execute(
                "select count(*) filter (where pg_terminate_backend(pid, 10000)) from pg_stat_activity"
                " where usename = 'ledger_app' and datname = %s",
                [self.name],
            ).fetchone()
        assert row is not None
        return int(row[0])


class Cluster:
    """A PostgreSQL server with a migrated template, from which databases are copied."""

    def __init__(self, owner_url: str, version_major: int) -> None:
        self.owner_url = owner_url
        self.version_major = version_major
        self._numbers = count(1)
        self._template = f"{TEMPLATE}_{os.getpid()}"
        self._execute(sql.SQL("create database {}").format(sql.Identifier(self._template)))
        migrate(self.url(self._template), app_password=APP_PASSWORD)

    def url(self, name: str, *, user: str | None = None, password: str | None = None) -> str:
        """The way to a database of this server, as its superuser unless told otherwise."""
        changes = {"dbname": name} | ({"user": user, "password": password} if user else {})
        return conninfo.make_conninfo(self.owner_url, **changes)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """A copy of the template, dropped at the end whoever is still connected."""
        name = f"ledger_{os.getpid()}_{next(self._numbers)}"
        identifier = sql.Identifier(name)
        self._execute(
            sql.SQL("create database {} template {} strategy wal_log").format(
                identifier, sql.Identifier(self._template)
            )
        )
        try:
            app_url = self.url(name, user="ledger_app", password=APP_PASSWORD)
            yield Database(name, self.url(name), app_url)
        finally:
            self._execute(sql.SQL("drop database {} with (force)").format(identifier))

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """The superuser's URL of a database with no schema at all, dropped at the end."""
        name = f"empty_{os.getpid()}_{next(self._numbers)}"
        self._execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            yield self.url(name)
        finally:
            self._execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    def close(self) -> None:
        """Drops the template."""
        self._execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(self._template)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def embedded_cluster(major: int | None = None, bindir: Path | None = None) -> Iterator[Cluster]:
    """A cluster on an embedded PostgreSQL of its own."""
    settings = {"max_connections": "300", "shared_buffers": "256MB", "max_wal_size": "512MB"}
    data_dir = make_ephemeral_data_dir(fast_directory())
    with EmbeddedPostgres.start(
        data_dir, major=major, bindir=bindir, ephemeral=True, settings=settings
    ) as postgres:
        yield Cluster(postgres.owner_url, postgres.version_major)


@contextmanager
def external_cluster(owner_url: str) -> Iterator[Cluster]:
    """A cluster on a server that runs already, given by a superuser's URL."""
    with psycopg.connect(owner_url) as connection:
        version_major = connection.info.server_version // 10000
    cluster = Cluster(owner_url, version_major)
    try:
        yield cluster
    finally:
        cluster.close()


def fast_directory() -> Path | None:
    """The RAM disk if it has room, else None: the system's temporary folder."""
    if RAM_DISK.is_dir() and os.access(RAM_DISK, os.W_OK) and shutil.disk_usage(RAM_DISK).free > ROOM_NEEDED:
        return RAM_DISK
    return None
