"""Brings a database's schema up to the code: roles, then numbered migrations of plain SQL.

Each migration runs in a database transaction of its own, together with the row in
ledger.schema_migrations that says so, as the role ledger_owner. Killed at any
point, it has either happened or not, and the next run goes on from there. One
migrator at a time works on a database, under a session advisory lock.

A released migration never changes: its checksum is kept and compared. A schema
that is newer than the code is refused, because the code cannot know what it means.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import psycopg
from psycopg import errors, sql

from .session_probe import check_session

log = logging.getLogger(__name__)

SERVER_VERSION_MIN = 15
ROLES = {
    "ledger_owner": "create role ledger_owner nologin",
    "ledger_app": "create role ledger_app login nosuperuser nobypassrls",
    "ledger_read": "create role ledger_read nologin",
    "ledger_backup": "create role ledger_backup nologin",
}
# What each may do with the database, as PostgreSQL's privileges are called.
DATABASE_PRIVILEGES = (
    ("ledger_owner", "create", "grant create on database {} to ledger_owner"),
    ("ledger_owner", "connect", "grant connect on database {} to ledger_owner"),
    ("ledger_app", "connect", "grant connect on database {} to ledger_app"),
    ("ledger_app", "temporary", "grant temporary on database {} to ledger_app"),
    ("ledger_read", "connect", "grant connect on database {} to ledger_read"),
    ("ledger_backup", "connect", "grant connect on database {} to ledger_backup"),
)
LOCK = (0x6C65, 0x6467)  # "le", "dg": the two-key space, which no ledger's lane uses.
LOCK_TIMEOUT_MIGRATOR = "60s"  # For another migrator to finish.
LOCK_TIMEOUT_DDL = "5s"  # A waiting ALTER blocks every query behind it, so it waits briefly.

Connection = psycopg.Connection[Any]


class MigrationError(Exception):
    """The schema cannot be brought up to the code; the message says why and what to do."""


class SchemaNewer(MigrationError):
    """The database was migrated by a newer version of the code."""


class SchemaChanged(MigrationError):
    """A migration that the database has applied is not the one in the code."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of SQL statements, which name every object with its schema."""

    number: int
    name: str
    text: bytes

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, the same for both kinds of line ends."""
        return hashlib.sha256(self.text.replace(b"\r\n", b"\n")).hexdigest()


def read_migrations(directory: Traversable | None = None) -> Sequence[Migration]:
    """The migrations in order, numbered from 1 without a gap. By default those of this package."""
    directory = directory or files(__package__).joinpath("migrations")
    found = []
    for file in directory.iterdir():
        if match := re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", file.name):
            found.append(Migration(int(match[1]), match[2], file.read_bytes()))
        elif file.name.endswith(".sql"):
            raise MigrationError(f"{file.name} is not named like 0001_journal.sql.")
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"Migrations are not numbered 1, 2, 3 ...: {[m.number for m in found]}.")
    return found


def newest_migration() -> int:
    """The schema's number that this code works with."""
    return len(read_migrations())


def schema_version(connection: Connection) -> int:
    """The number of the newest migration that the database has applied; 0 for none."""
    return max((number for number, _ in applied_migrations(connection)), default=0)


def applied_migrations(connection: Connection) -> Sequence[tuple[int, str]]:
    """Number and checksum of each migration that the database has applied, in order."""
    exists = connection.execute("select to_regclass('ledger.schema_migrations')").fetchone()
    if exists is None or exists[0] is None:
        return []
    rows = connection.execute("select number, checksum from ledger.schema_migrations order by number")
    return rows.fetchall()


def pending_migrations(
    applied: Sequence[tuple[int, str]], migrations: Sequence[Migration]
) -> Sequence[Migration]:
    """What is still to be applied. Raises SchemaNewer or SchemaChanged if that has no answer."""
    newest = max((number for number, _ in applied), default=0)
    if newest > len(migrations):
        raise SchemaNewer(
            f"The database's schema is at migration {newest}; this code knows {len(migrations)}. "
            "Run the version that migrated it, or a newer one."
        )
    for (number, checksum), migration in zip(applied, migrations, strict=False):
        if number != migration.number or checksum != migration.checksum:
            raise SchemaChanged(
                f"Migration {migration.number} ({migration.name}) is not the one that was applied. "
                "A released migration never changes: restore the file, and put the change into a new one."
            )
    return migrations[len(applied) :]


def migrate(owner_url: str, *, app_password: str | None = None, directory: Traversable | None = None) -> int:
    """Creates the roles, applies what is pending and returns the newest number.

    The URL's user is a superuser, or owns the database and may create roles.
    `app_password` becomes the password of ledger_app; it is sent hashed. Raises MigrationError.
    """
    migrations = read_migrations(directory)

    def connect() -> Connection:
        return psycopg.connect(owner_url, autocommit=True, application_name="ledger-migrate")

    check_session(connect)
    with connect() as connection:
        return apply_migrations(connection, migrations, app_password=app_password)


def apply_migrations(
    connection: Connection, migrations: Sequence[Migration], *, app_password: str | None = None
) -> int:
    """The same on a connection in autocommit mode, which no proxy shares."""
    if connection.info.server_version // 10000 < SERVER_VERSION_MIN:
        raise MigrationError(f"PostgreSQL {SERVER_VERSION_MIN} or newer is needed.")
    try:
        connection.execute("select set_config('statement_timeout', '0', false)")
        connection.execute("select set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT_MIGRATOR,))
        connection.execute("select pg_advisory_lock(%s, %s)", LOCK)
    except errors.LockNotAvailable as error:
        raise MigrationError(
            f"Another migrator has been at work for {LOCK_TIMEOUT_MIGRATOR}. Let it finish, then run again."
        ) from error
    try:
        pending = pending_migrations(applied_migrations(connection), migrations)
        _prepare_roles(connection, app_password)
        _prepare_schema(connection)
        for migration in pending:
            _apply(connection, migration)
        return len(migrations)
    except errors.InsufficientPrivilege as error:
        raise MigrationError(
            f"The role {connection.info.user} may not do that ({error.diag.message_primary}). Migrate as a "
            "superuser, or as the owner of the database with CREATEROLE."
        ) from error
    except errors.LockNotAvailable as error:
        raise MigrationError(
            f"A table stayed in use for {LOCK_TIMEOUT_DDL}. Nothing was changed by that migration; run again "
            "when long transactions have ended."
        ) from error
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s, %s)", LOCK)


def _prepare_roles(connection: Connection, app_password: str | None) -> None:
    """Creates the roles, lets this user act as the owner, and opens the database to all of them."""
    for role, creating in ROLES.items():
        known = connection.execute("select from pg_roles where rolname = %s", (role,)).fetchone()
        if known is None:
            # Roles belong to the whole cluster: another database's migrator may be faster.
            with suppress(errors.DuplicateObject, errors.UniqueViolation):
                connection.execute(creating)
    _let_backups_bypass(connection)
    # Version 16 separates being a member of a role from acting as it.
    act = "set" if connection.info.server_version >= 160000 else "member"
    may = connection.execute("select pg_has_role(current_user, 'ledger_owner', %s)", (act,)).fetchone()
    if may != (True,):
        connection.execute("grant ledger_owner to current_user")
    database = sql.Identifier(connection.info.dbname)
    for role, privilege, granting in DATABASE_PRIVILEGES:
        has = connection.execute(
            "select has_database_privilege(%s, current_database(), %s)", (role, privilege)
        ).fetchone()
        if has != (True,):
            connection.execute(sql.SQL(granting).format(database))
    if app_password is not None:
        hashed = connection.pgconn.encrypt_password(app_password.encode(), b"ledger_app", b"scram-sha-256")
        connection.execute(sql.SQL("alter role ledger_app password {}").format(hashed.decode()))


def _let_backups_bypass(connection: Connection) -> None:
    """Gives ledger_backup BYPASSRLS, or says what its user must do where this one may not give it."""
    bypasses = connection.execute(
        "select from pg_roles where rolname = 'ledger_backup' and rolbypassrls"
    ).fetchone()
    if bypasses is not None:
        return
    try:
        connection.execute("alter role ledger_backup bypassrls")
    except errors.InsufficientPrivilege:
        log.warning(
            "ledger_backup has no BYPASSRLS, which %s may not give: dump with pg_dump --enable-row-security, "
            "or have a superuser run `alter role ledger_backup bypassrls`",
            connection.info.user,
        )
    except errors.InternalError_:
        # Another database's migrator changes the same role at this moment.
        pass


def _prepare_schema(connection: Connection) -> None:
    """Makes the schema and the table of what was applied, all at once or not at all."""
    exists = connection.execute("select to_regclass('ledger.schema_migrations')").fetchone()
    if exists != (None,):
        return
    with connection.transaction():
        connection.execute("set local role ledger_owner")
        connection.execute("create schema if not exists ledger")
        connection.execute(
            """
            create table ledger.schema_migrations (
                number integer primary key check (number > 0),
                name text not null,
                checksum text not null check (length(checksum) = 64),
                applied_time timestamptz not null default clock_timestamp()
            )
            """
        )
        connection.execute("grant usage on schema ledger to ledger_app, ledger_read")
        connection.execute("grant select on ledger.schema_migrations to ledger_app, ledger_read")


def _apply(connection: Connection, migration: Migration) -> None:
    """Applies one migration whole, or nothing of it."""
    with connection.transaction():
        # Each statement sees what was committed before it, also behind a lock that it waited for.
        connection.execute("set transaction isolation level read committed")
        connection.execute("set local role ledger_owner")
        connection.execute("select set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT_DDL,))
        # Nothing that a stranger made in a public schema can be meant by a migration.
        connection.execute("set local search_path to pg_catalog, pg_temp")
        connection.execute(migration.text)
        connection.execute(
            "insert into ledger.schema_migrations (number, name, checksum) values (%s, %s, %s)",
            (migration.number, migration.name, migration.checksum),
        )
