"""API keys: made, revoked and listed in a ledger, and proved at every call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ledger_server.domain import api_keys
from ledger_server.domain.api_keys import APIKey, APIKeyDraft, GoodKey
from ledger_server.domain.callers import Caller
from ledger_server.domain.refusals import (
    APIKeyNotFound,
    DatabaseUnavailable,
    ValidationFailed,
    Violation,
    ledger_not_found,
)
from ledger_server.service.remembered import Remembered
from ledger_server.store.api_keys import APIKeyTable, find_key, keys_of
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost, NotCommitted


class APIKeys:
    """The API keys of a database, with a memory of those that were good within the last second."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        # By id; unknown ones are anybody's invention.
        self._remembered: Remembered[str, GoodKey] = Remembered(self._find, keeps_absence=False, clock=clock)

    # proving -------------------------------------------------------------------------

    def proved(self, text: str) -> GoodKey | None:
        """The key that a caller's text proves; None where it is unknown, wrong, expired or revoked.

        Raises DatabaseUnavailable.
        """
        parts = api_keys.parted(text)
        if parts is None:
            return None
        key_id, secret = parts
        known = self._remembered.get(key_id)
        return known if api_keys.is_proved(secret, known) else None

    def _find(self, key_id: str) -> GoodKey | None:
        try:
            return find_key(self._database, key_id)
        except DatabaseLost as error:
            raise DatabaseUnavailable("the database does not answer; try again") from error

    # keeping -------------------------------------------------------------------------

    def create(self, draft: APIKeyDraft, caller: Caller) -> tuple[APIKey, str]:
        """Makes a key; answers it and the text that proves it, once. Raises refusals."""
        assert draft.ledger is not None
        with self._keys_of(draft.ledger) as keys:
            return keys.insert(draft, caller)

    def revoke(self, ledger: str, key_id: str, caller: Caller) -> APIKey:
        """Revokes a key for good: at once here, within a second everywhere. Raises refusals."""
        with self._keys_of(ledger) as keys:
            revoked = keys.revoke(key_id, caller)
        self._remembered.forget(key_id)
        if revoked is None:
            raise APIKeyNotFound(f"no API key {key_id!r} in ledger {ledger!r}", key_id=key_id)
        return revoked

    def page(self, ledger: str, after: tuple[int, str], count: int) -> tuple[list[APIKey], bool]:
        """Keys in order of their making, after a time and an id; and whether there are more."""
        with self._keys_of(ledger) as keys:
            found = keys.page(after, count + 1)
        return found[:count], len(found) > count

    @contextmanager
    def _keys_of(self, ledger: str) -> Iterator[APIKeyTable]:
        try:
            ledger_id = self._database.ledger_id(ledger)
            if ledger_id is None:
                raise ledger_not_found(ledger)
            with keys_of(self._database, ledger_id, ledger) as keys:
                yield keys
        except DatabaseLost as error:
            raise DatabaseUnavailable("the database does not answer; try again") from error
        except NotCommitted as error:
            if error.constraint == "credentials_expire_later":
                raise ValidationFailed(
                    "expire_time: lies in the past",
                    violations=(Violation("expire_time", "lies in the past"),),
                ) from error
            raise
