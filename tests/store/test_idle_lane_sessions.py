"""A lane session that PostgreSQL ended while it lay idle is no caller's business."""

from __future__ import annotations

from clusters import Database
from ledger.v1 import ledger_admin_service_pb2
from serving import Serving


def test_a_ledger_is_created_after_every_idle_session_was_ended(server: Serving, database: Database) -> None:
    """Idle sessions end after idle_session_timeout: the first CreateLedger after a pause was refused."""
    server.admin.CreateLedger(ledger_admin_service_pb2.CreateLedgerRequest(name="before a pause"))
    ended = database.end_sessions()

    answer = server.admin.CreateLedger(ledger_admin_service_pb2.CreateLedgerRequest(name="after a pause"))

    assert ended >= 2
    assert answer.ledger.sequence == 1
