"""Audit events: read in pages, and written alone where there is no act: of what was denied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg

from ledger_server.domain.audit import AuditEvent, AuditFilter
from ledger_server.domain.callers import Caller
from ledger_server.store import rows
from ledger_server.store.connection import ServiceConnection
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost
from ledger_server.store.roundtrip import RoundTrip
from ledger_server.store.sql import statements

_SQL = statements("auditing")


class Denial(NamedTuple):
    """What a caller was not let do, so many times, in a ledger or in none."""

    ledger_id: int | None
    caller: Caller
    method: str
    reason: str
    times: int


def event_page(
    connection: ServiceConnection,
    ledger_id: int | None,
    wanted: AuditFilter,
    position: Sequence[int] | None,
    count: int,
) -> list[AuditEvent]:
    """The next events, newest first, of a ledger or of the platform, from a position of (time, id)."""
    trip = RoundTrip(connection)
    parameters: dict[str, Any] = {
        "actor": wanted.actor,
        "since": _moment(wanted.since),
        "until": _moment(wanted.until),
        "position": _moment(None if position is None else position[0]),
        "event_id": None if position is None else position[1],
        "count": count,
    }
    if ledger_id is None:
        trip.ask(_SQL.mean_platform)
        statement = _SQL.platform_events if wanted.actor is None else _SQL.platform_events_of_actor
    else:
        trip.ask(_SQL.set_ledger, ledger_id=ledger_id)
        parameters["ledger_id"] = ledger_id
        statement = _SQL.events if wanted.actor is None else _SQL.events_of_actor
    found = trip.ask(statement, **parameters)
    trip.go()
    return [AuditEvent(row[0], rows.micros(row[1]), *row[2:]) for row in found.rows()]


def write_denials(database: Database, denials: list[Denial]) -> None:
    """Keeps what was denied. Raises DatabaseLost; what was not written then is lost."""
    session = database.lane_session()
    broken = True
    try:
        for denial in denials:
            with session.connection.transaction():
                if denial.ledger_id is None:
                    session.connection.execute(_SQL.mean_platform)
                else:
                    session.connection.execute(_SQL.set_ledger, {"ledger_id": denial.ledger_id})
                session.connection.execute(
                    _SQL.audit,
                    {
                        "ledger_id": denial.ledger_id,
                        "actor": denial.caller.principal,
                        "means": denial.caller.means.value,
                        "peer": denial.caller.peer,
                        "subject": denial.method,
                        "count": denial.times,
                        "reason": denial.reason,
                    },
                )
        broken = False
    except psycopg.Error as error:
        raise DatabaseLost(str(error).partition("\n")[0]) from error
    finally:
        database.give_back(session, broken=broken)


def _moment(microseconds: int | None) -> Any:
    return None if microseconds is None else rows.moment(microseconds)
