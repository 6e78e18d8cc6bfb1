"""Creating a ledger: its name, head, first record and first member, in one database transaction."""

from __future__ import annotations

import os
from datetime import datetime

import psycopg

from ledger_server.domain import chain
from ledger_server.domain.accounts import Head, LedgerDraft, LedgerRecord
from ledger_server.domain.callers import Caller
from ledger_server.domain.chain import framed
from ledger_server.domain.members import MemberDraft, Role
from ledger_server.domain.membership import first_or_next
from ledger_server.store import rows
from ledger_server.store.database import Database
from ledger_server.store.outcomes import NotCommitted, failure
from ledger_server.store.patience import LaneConnection
from ledger_server.store.sql import statements

_SQL = statements("opening")


def open_ledger(database: Database, draft: LedgerDraft, caller: Caller | None = None) -> LedgerRecord | None:
    """Creates the ledger; None where the name is taken, by whom ever and however lately.

    Safe to repeat after any failure: the name is its own idempotency key. Raises
    NotCommitted, DatabaseLost.
    """
    session = database.lane_session()
    broken = True
    try:
        connection = session.connection
        with connection.transaction():
            connection.execute(_SQL.serializable)
            row = connection.execute(_SQL.insert_name, {"name": draft.name}).fetchone()
            assert row is not None
            ledger_id = row[0]
            connection.execute(_SQL.set_ledger, {"ledger_id": ledger_id})
            clock = connection.execute(_SQL.clock).fetchone()
            assert clock is not None
            record_time = rows.micros(clock[0])
            salt = os.urandom(16)
            digest = chain.details_digest(salt, draft.description, {}, "")
            record_hash = chain.record_hash(
                framed(draft.name),
                1,
                chain.GENESIS,
                chain.ledger_canonical(record_time, draft.created_by, digest),
            )
            parameters = {
                "ledger_id": ledger_id,
                "record_time": clock[0],
                "created_by": draft.created_by,
                "description": draft.description,
                "salt": salt,
                "hash": record_hash,
            }
            connection.execute(_SQL.insert_head, parameters)
            connection.execute(_SQL.insert_ledger, parameters)
            created = LedgerRecord(
                draft.name, draft.description, record_time, draft.created_by, salt, record_hash
            )
            if draft.tenant_admin:
                _add_tenant_admin(connection, ledger_id, created, draft.tenant_admin, clock[0])
            if caller is not None:
                _audit(connection, ledger_id, draft, caller)
        broken = False
        return created
    except psycopg.errors.UniqueViolation as error:
        broken = False
        if error.diag.constraint_name == "directory_name_key":
            return None
        raise NotCommitted(error) from error
    except psycopg.Error as error:
        broken = session.connection.closed or session.connection.broken
        raise failure(error, connection_lost=broken) from error
    finally:
        database.give_back(session, broken=broken)


def _add_tenant_admin(
    connection: LaneConnection, ledger_id: int, created: LedgerRecord, principal: str, record_time: datetime
) -> None:
    """The second record."""
    draft = MemberDraft(principal, (Role.TENANT_ADMIN,), (), 0, created.created_by)
    head = Head(1, created.hash, created.record_time)
    member = first_or_next(draft, 1, framed(created.name), head, created.record_time)
    parameters = {
        "ledger_id": ledger_id,
        "principal": principal,
        "role": int(Role.TENANT_ADMIN),
        "record_time": record_time,
        "created_by": created.created_by,
        "hash": member.hash,
    }
    connection.execute(_SQL.move_head, parameters)
    connection.execute(_SQL.insert_tenant_admin, parameters)


def _audit(connection: LaneConnection, ledger_id: int, draft: LedgerDraft, caller: Caller) -> None:
    """Tells the platform of the ledger, and the ledger of its tenant-admin."""
    parameters: dict[str, object] = {
        "ledger_id": ledger_id,
        "actor": caller.principal,
        "means": caller.means.value,
        "peer": caller.peer,
        "name": draft.name,
        "tenant_admin": draft.tenant_admin,
    }
    connection.execute(_SQL.mean_platform)
    connection.execute(_SQL.audit_ledger, parameters)
    if draft.tenant_admin:
        connection.execute(_SQL.audit_tenant_admin, parameters)
