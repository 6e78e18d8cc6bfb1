"""A lane session that PostgreSQL ended while it lay idle is no caller's business."""

from __future__ import annotations

import psycopg
from clusters import Database
from ledger.v1 import ledger_admin_service_pb2
from serving import Serving


def test_a_ledger_is_created_after_every_idle_session_was_ended(server: Serving, database: Database) -> None:
    """Idle sessions end after idle_session_timeout: the first CreateLedger after a pause was refused."""
    server.admin.CreateLedger(ledger_admin_service_pb2.CreateLedgerRequest(name="before a pause"))
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        ended = connection.execute(
            "select count(*) filter (where pg_terminate_backend(pid, 5000)) from pg_stat_activity"
            " where application_name = 'ledger' and datname = %s",
            (database.name,),
        ).fetchone()

    answer = server.admin.CreateLedger(ledger_admin_service_pb2.CreateLedgerRequest(name="after a pause"))

    assert ended is not None
    assert ended[0] >= 2
    assert answer.ledger.sequence == 1
