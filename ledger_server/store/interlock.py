"""What the server refuses to start on: a database that would lie about durability or isolation.

A ledger on a server with fsync off looks like any other until the power fails; a
service role that bypasses row-level security looks like any other until a tenant
reads another's books. So each of these is asked once, before the first call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from .migrate import (
    SERVER_VERSION_MIN,
    Migration,
    MigrationError,
    applied_migrations,
    pending_migrations,
    read_migrations,
)
from .session_probe import SharedSession, check_session

__all__ = ["Interlock", "SharedSession", "check", "check_session"]


class Interlock(Exception):
    """The server must not serve from this database; a sentence for each reason says what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def check(connection: psycopg.Connection[Any], *, migrations: Sequence[Migration] | None = None) -> None:
    """Raises Interlock with everything that is wrong; the connection is one that the server would use."""
    problems = [
        *_server_problems(connection),
        *_role_problems(connection),
        *_schema_problems(connection, read_migrations() if migrations is None else migrations),
    ]
    if problems:
        raise Interlock(problems)


def _server_problems(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """The server: old, a standby, or set to lose what it said it had kept."""
    server = _row(
        connection,
        """
        select
            current_setting('server_version') as version,
            current_setting('fsync') as fsync,
            current_setting('full_page_writes') as full_page_writes,
            current_setting('synchronous_commit') as synchronous_commit,
            current_setting('row_security') as row_security,
            current_setting('session_replication_role') as replication_role,
            pg_is_in_recovery() as in_recovery
        """,
    )
    if connection.info.server_version < SERVER_VERSION_MIN * 10000:
        yield f"PostgreSQL {server.version} is too old: {SERVER_VERSION_MIN} or newer is needed."
    if server.in_recovery:
        yield "The server is a standby and takes no writes. Point LEDGER_DATABASE_URL at the primary."
    if server.fsync != "on":
        yield "fsync is off: a power failure would corrupt the books. Set fsync = on for the server."
    if server.full_page_writes != "on":
        yield (
            "full_page_writes is off: a power failure could tear pages of the books. "
            "Set full_page_writes = on for the server."
        )
    if server.synchronous_commit == "off":
        yield (
            "synchronous_commit is off: transactions would be confirmed before they are kept. "
            "Set synchronous_commit = on for the server, the database and the role."
        )
    if server.row_security != "on":
        yield "row_security is off. Set row_security = on for the database and the role."
    if server.replication_role != "origin":
        yield (
            f"session_replication_role is {server.replication_role}: the triggers that keep the journal "
            "append-only would not run. Reset it for the database and the role."
        )


def _role_problems(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """The role: one that row-level security or the triggers cannot hold back."""
    role = _row(
        connection,
        """
        select
            session_user as name,
            coalesce(bool_or(rolsuper), false) as is_superuser,
            coalesce(bool_or(rolbypassrls or rolname = 'ledger_backup'), false) as bypasses,
            exists (
                select from pg_class
                where relnamespace = to_regnamespace('ledger')
                    and relkind in ('r', 'p')
                    and (pg_has_role(session_user, relowner, 'member')
                        or pg_has_role(current_user, relowner, 'member'))
            ) as owns_tables
        from pg_roles
        where pg_has_role(session_user, oid, 'member') or pg_has_role(current_user, oid, 'member')
        """,
    )
    advice = "Serve as ledger_app, which `./ledger migrate` creates."
    if role.is_superuser:
        yield f"The role {role.name} is a superuser, or may become one: nothing would hold it back. {advice}"
    elif role.bypasses:
        yield (
            f"The role {role.name} has BYPASSRLS, or may become a role that has or that backs up every "
            f"ledger: it would read them all. {advice}"
        )
    elif role.owns_tables:
        yield f"The role {role.name} owns the ledger's tables, or may become their owner. {advice}"


def _schema_problems(connection: psycopg.Connection[Any], migrations: Sequence[Migration]) -> Iterator[str]:
    """The schema: older or newer than the code, or not what the code says it is."""
    try:
        pending = pending_migrations(applied_migrations(connection), migrations)
    except MigrationError as error:
        yield str(error)
        return
    except psycopg.errors.InsufficientPrivilege:
        yield (
            f"The role {connection.info.user} may not read the schema `ledger`. "
            "Serve as ledger_app, which `./ledger migrate` creates."
        )
        return
    if pending:
        first = len(migrations) - len(pending)
        yield (
            f"The database's schema is at migration {first}, the code needs {len(migrations)}. "
            "Run `./ledger migrate --database-url URL` with the owner's URL first."
        )


def _row(connection: psycopg.Connection[Any], query: str) -> Any:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        row = cursor.execute(query.encode()).fetchone()
    assert row is not None
    return row
