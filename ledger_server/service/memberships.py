"""Memberships as calls need them: remembered for a second, exact on the server that changed them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from ledger_server.domain.members import MemberVersion
from ledger_server.domain.refusals import DatabaseUnavailable
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost
from ledger_server.store.reading import Reading

# A change that another server made is seen after this long.
REMEMBERED_S = 1.0
# From this age on one caller asks again, while the others go on with what is known.
ASKED_AGAIN_S = 0.5
REMEMBERED_MAX = 10_000


@dataclass(slots=True)
class _Known:
    """A membership as it was when the database was asked, by the monotonic clock."""

    member: MemberVersion | None
    asked_at: float
    is_asked_again: bool = False


class Memberships:
    """Who is a member of which ledger. Safe to share between threads."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = Lock()
        # By ledger and principal.
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._changes = 0

    def of(self, ledger: str, principal: str) -> MemberVersion | None:
        """The present membership; None where there is none, or no such ledger. Raises DatabaseUnavailable."""
        place = (ledger, principal)
        now = self._clock()
        with self._lock:
            known = self._known.get(place)
            if known is not None and now - known.asked_at < REMEMBERED_S:
                if known.is_asked_again or now - known.asked_at < ASKED_AGAIN_S:
                    return known.member
                known.is_asked_again = True
            changes = self._changes
        member = self._read(ledger, principal)
        with self._lock:
            # What was read while somebody was changing it may be what it was before.
            if self._changes == changes:
                self._known[place] = _Known(member, now)
                self._known.move_to_end(place)
                if len(self._known) > REMEMBERED_MAX:
                    self._known.popitem(last=False)
        return member

    def exists(self, ledger: str) -> bool:
        """Whether there is a ledger of this name. Raises DatabaseUnavailable."""
        try:
            return self._database.ledger_id(ledger) is not None
        except DatabaseLost as error:
            raise DatabaseUnavailable("the database does not answer; try again") from error

    def forget(self, ledger: str, principal: str) -> None:
        """The membership may have changed: the next who asks is told what it is now."""
        with self._lock:
            self._changes += 1
            self._known.pop((ledger, principal), None)

    def _read(self, ledger: str, principal: str) -> MemberVersion | None:
        try:
            ledger_id = self._database.ledger_id(ledger)
            if ledger_id is None:
                return None
            with self._database.reading() as connection:
                member = Reading(connection, ledger_id).member(principal)
        except DatabaseLost as error:
            raise DatabaseUnavailable("the database does not answer; try again") from error
        return member if member is not None and member.is_present else None
