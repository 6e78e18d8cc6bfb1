"""API keys: made, revoked and listed in a ledger, and proved at every call."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from ledger_server.domain import api_keys
from ledger_server.domain.api_keys import APIKey, APIKeyDraft, GoodKey
from ledger_server.domain.callers import Caller
from ledger_server.domain.refusals import (
    APIKeyNotFound,
    DatabaseUnavailable,
    LedgerNotFound,
    ValidationFailed,
    Violation,
)
from ledger_server.store.api_keys import APIKeyTable, find_key, keys_of
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost, NotCommitted

# A key that was revoked by another process is good for no longer than this.
REMEMBERED_S = 1.0
# From this age on one caller asks again, while the others go on with what is known.
ASKED_AGAIN_S = 0.5
KEYS_REMEMBERED_MAX = 10_000


@dataclass(slots=True)
class _Known:
    """A key as it was when the database was asked, by the monotonic clock."""

    asked_at: float
    key: GoodKey
    is_asked_again: bool = False


class APIKeys:
    """The API keys of a database, with a memory of those that were good within the last second."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        # Rises with each revocation here: what was asked before it is not remembered after it.
        self._revocations = 0
        # Critical section: the memory and the count; never held while the database is asked.
        self._lock = Lock()

    # proving -------------------------------------------------------------------------

    def proved(self, text: str) -> GoodKey | None:
        """The key that a caller's text proves; None where it is unknown, wrong, expired or revoked.

        Raises DatabaseUnavailable.
        """
        parts = api_keys.parted(text)
        if parts is None:
            return None
        key_id, secret = parts
        known = self._good(key_id)
        return known if api_keys.is_proved(secret, known) else None

    def _good(self, key_id: str) -> GoodKey | None:
        now = self._clock()
        with self._lock:
            known = self._known.get(key_id)
            if known is not None and now < known.asked_at + REMEMBERED_S:
                if known.is_asked_again or now < known.asked_at + ASKED_AGAIN_S:
                    return known.key
                known.is_asked_again = True
            revocations = self._revocations
        try:
            found = find_key(self._database, key_id)
        except DatabaseLost as error:
            with self._lock:
                if known is not None:
                    known.is_asked_again = False
            raise DatabaseUnavailable("the database does not answer; try again") from error
        with self._lock:
            self._known.pop(key_id, None)
            if found is not None and revocations == self._revocations:
                self._known[key_id] = _Known(now, found)
                if len(self._known) > KEYS_REMEMBERED_MAX:
                    self._known.popitem(last=False)
        return found

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
        with self._lock:
            self._revocations += 1
            self._known.pop(key_id, None)
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
                raise LedgerNotFound(f"no ledger {ledger!r}; create it first", ledger=ledger)
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
