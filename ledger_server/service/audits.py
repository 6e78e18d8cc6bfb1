"""Audit events in pages."""

from __future__ import annotations

from collections.abc import Sequence

from ledger_server.domain.audit import AuditEvent, AuditFilter
from ledger_server.domain.refusals import DatabaseUnavailable, ledger_not_found
from ledger_server.store.auditing import event_page
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost


def audit_page(
    database: Database, ledger: str, wanted: AuditFilter, position: Sequence[int] | None, count: int
) -> tuple[list[AuditEvent], bool]:
    """Events newest first, of a ledger or, without a name, of the platform; and whether more follow.

    Raises LedgerNotFound, DatabaseUnavailable.
    """
    try:
        ledger_id = database.ledger_id(ledger) if ledger else None
        if ledger and ledger_id is None:
            raise ledger_not_found(ledger)
        with database.reading() as connection:
            found = event_page(connection, ledger_id, wanted, position, count + 1)
    except DatabaseLost as error:
        raise DatabaseUnavailable("the database does not answer; try again") from error
    return found[:count], len(found) > count
