"""The epoch: how a reader notices that the books were restored or failed over."""

from __future__ import annotations

import psycopg
import pytest
from clusters import Database
from ledger.v1 import ledger_admin_service_pb2 as admin
from serving import serving


def _epochs(database: Database, names: list[str]) -> list[int]:
    with serving(database.app_url) as server:
        return [server.admin.GetLedger(admin.GetLedgerRequest(name=name)).ledger.epoch for name in names]


def test_the_epoch_of_every_ledger_rises_when_the_database_is_another_one(database: Database) -> None:
    with serving(database.app_url) as server:
        for name in ("first", "second"):
            server.admin.CreateLedger(admin.CreateLedgerRequest(name=name))

    before = _epochs(database, ["first", "second"])
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("update ledger.database_identity set system_identifier = 'another'")
    after = _epochs(database, ["first", "second"])
    again = _epochs(database, ["first", "second"])

    assert (before, after, again) == ([1, 1], [2, 2], [2, 2])


@pytest.mark.parametrize("column", ["system_identifier = 'x'", "timeline = timeline + 1"])
def test_a_failover_keeps_the_journal_where_it_was(database: Database, column: str) -> None:
    with serving(database.app_url) as server:
        created = server.admin.CreateLedger(admin.CreateLedgerRequest(name="one")).ledger

    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute(f"update ledger.database_identity set {column}")
    with serving(database.app_url) as server:
        found = server.admin.GetLedger(admin.GetLedgerRequest(name="one")).ledger
        server.admin.CreateAsset(admin.CreateAssetRequest(ledger="one", code="EUR", scale=2))
        moved = server.admin.GetLedger(admin.GetLedgerRequest(name="one")).ledger

    assert (found.sequence, found.hash, found.epoch) == (created.sequence, created.hash, 2)
    assert (moved.sequence, moved.epoch) == (2, 2)
