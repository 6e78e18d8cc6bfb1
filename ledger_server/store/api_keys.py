"""API keys in the database: made, revoked and listed by their ledger or by the owner; found by their id."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from ledger_server.domain import api_keys
from ledger_server.domain.api_keys import ID_BYTES, SECRET_BYTES, APIKey, APIKeyDraft, GoodKey
from ledger_server.domain.callers import Caller
from ledger_server.store import rows
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost, NotCommitted, failure
from ledger_server.store.sql import statements

_SQL = statements("api_keys")


class APIKeyTable:
    """The keys of one ledger, or the platform's where it has neither id nor name. Use within one `with`."""

    def __init__(
        self, connection: psycopg.Connection[Any], ledger_id: int | None, ledger: str | None
    ) -> None:
        self._connection = connection
        self._ledger_id = ledger_id
        self._ledger = ledger

    def insert(self, draft: APIKeyDraft, caller: Caller) -> tuple[APIKey, str]:
        """Makes a key for the caller; answers it and the text that its owner sends, which is kept nowhere.

        Raises NotCommitted, of the constraint credentials_expire_later where it had expired before.
        """
        key_id, secret = os.urandom(ID_BYTES), os.urandom(SECRET_BYTES)
        row = self._execute(
            _SQL.insert,
            key_id=key_id.hex(),
            digest=api_keys.digest(secret.hex()),
            principal=draft.principal,
            description=draft.description,
            created_by=caller.principal,
            expires_at=None if draft.expires_at is None else rows.moment(draft.expires_at),
            lifetime=draft.lifetime,
        ).fetchone()
        self._audit("API_KEY_CREATED", key_id.hex(), caller)
        return self._key(row), api_keys.credential(key_id, secret)

    def revoke(self, key_id: str, caller: Caller) -> APIKey | None:
        """Revokes a key, if it is not revoked yet, and answers it; None where there is none."""
        if self._execute(_SQL.revoke, key_id=key_id).rowcount:
            self._audit("API_KEY_REVOKED", key_id, caller)
        row = self._execute(_SQL.get, key_id=key_id).fetchone()
        return self._key(row) if row else None

    def page(self, after: tuple[int, str], count: int) -> list[APIKey]:
        """Keys in order of their making, after a time and an id."""
        found = self._execute(_SQL.page, after_time=rows.moment(after[0]), after_id=after[1], count=count)
        return [self._key(row) for row in found.fetchall()]

    def _audit(self, action: str, key_id: str, caller: Caller) -> None:
        self._execute(
            _SQL.audit,
            actor=caller.principal,
            means=caller.means.value,
            peer=caller.peer,
            action=action,
            key_id=key_id,
        )

    def _execute(self, statement: bytes, **parameters: object) -> psycopg.Cursor[Any]:
        return self._connection.execute(statement, {"ledger_id": self._ledger_id, **parameters})

    def _key(self, row: Any) -> APIKey:
        key_id, principal, description, created_at, created_by, expires_at, revoked_at = row
        return APIKey(
            key_id,
            self._ledger,
            principal,
            description,
            rows.micros(created_at),
            created_by,
            None if expires_at is None else rows.micros(expires_at),
            None if revoked_at is None else rows.micros(revoked_at),
        )


@contextmanager
def keys_of(database: Database, ledger_id: int, ledger: str) -> Iterator[APIKeyTable]:
    """The keys of a ledger, in a database transaction of ledger_app. Raises NotCommitted, DatabaseLost."""
    session = database.lane_session()
    broken = True
    try:
        with session.connection.transaction():
            session.connection.execute(_SQL.set_ledger, {"ledger_id": ledger_id})
            yield APIKeyTable(session.connection, ledger_id, ledger)
        broken = False
    except psycopg.Error as error:
        broken = session.connection.closed or session.connection.broken
        raise failure(error, connection_lost=broken) from error
    finally:
        database.give_back(session, broken=broken)


@contextmanager
def owned_keys(owner_url: str, ledger: str | None) -> Iterator[APIKeyTable | None]:
    """The keys of a ledger, or the platform's, as the owner; None where there is no such ledger.

    Raises NotCommitted, DatabaseLost.
    """
    try:
        with psycopg.connect(owner_url, connect_timeout=5, application_name="ledger-keys") as connection:
            connection.execute("set role ledger_owner")
            connection.execute("set time zone 'UTC'")
            if ledger is None:
                yield APIKeyTable(connection, None, None)
                return
            row = connection.execute(_SQL.ledger_id, {"name": ledger}).fetchone()
            yield APIKeyTable(connection, row[0], ledger) if row else None
    except psycopg.OperationalError as error:
        raise DatabaseLost(str(error).partition("\n")[0]) from error
    except psycopg.Error as error:
        raise NotCommitted(error) from error


def find_key(database: Database, key_id: str) -> GoodKey | None:
    """A key that is good now, whatever its ledger. Raises DatabaseLost."""
    with database.reading() as connection:
        row = connection.execute(_SQL.find, {"key_id": key_id}).fetchone()
    return GoodKey(bytes(row[0]), row[1], row[2]) if row else None
