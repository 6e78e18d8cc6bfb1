"""Creating a ledger: its name, its head and its first record, in one database transaction."""

from __future__ import annotations

import os

import psycopg

from ledger_server.domain import chain
from ledger_server.domain.accounts import LedgerDraft, LedgerRecord
from ledger_server.domain.chain import framed
from ledger_server.store import rows
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost, NotCommitted
from ledger_server.store.sql import statements

_SQL = statements("opening")


def open_ledger(database: Database, draft: LedgerDraft) -> LedgerRecord | None:
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
        broken = False
        return LedgerRecord(draft.name, draft.description, record_time, draft.created_by, salt, record_hash)
    except psycopg.errors.UniqueViolation as error:
        broken = False
        if error.diag.constraint_name == "directory_name_key":
            return None
        raise NotCommitted(error) from error
    except psycopg.Error as error:
        if session.connection.closed or session.connection.broken:
            raise DatabaseLost(str(error).partition("\n")[0]) from error
        broken = False
        raise NotCommitted(error) from error
    finally:
        database.give_back(session, broken=broken)
