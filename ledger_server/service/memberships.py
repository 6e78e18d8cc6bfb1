"""Memberships as calls need them: remembered for a second, exact on the server that changed them."""

from __future__ import annotations

import time
from collections.abc import Callable

from ledger_server.domain.members import MemberVersion
from ledger_server.domain.refusals import DatabaseUnavailable
from ledger_server.service.remembered import Remembered
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost
from ledger_server.store.reading import Reading


class Memberships:
    """Who is a member of which ledger. Safe to share between threads."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        # By ledger and principal.
        self._remembered: Remembered[tuple[str, str], MemberVersion] = Remembered(
            lambda place: self._read(*place), keeps_absence=True, clock=clock
        )

    def of(self, ledger: str, principal: str) -> MemberVersion | None:
        """The present membership; None where there is none, or no such ledger. Raises DatabaseUnavailable."""
        return self._remembered.get((ledger, principal))

    def exists(self, ledger: str) -> bool:
        """Whether there is a ledger of this name. Raises DatabaseUnavailable."""
        try:
            return self._database.ledger_id(ledger) is not None
        except DatabaseLost as error:
            raise DatabaseUnavailable("the database does not answer; try again") from error

    def forget(self, ledger: str, principal: str) -> None:
        """The membership may have changed: the next who asks is told what it is now."""
        self._remembered.forget((ledger, principal))

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
