"""What was read without the lane lock is written under it."""

from __future__ import annotations

import psycopg
import pytest
from callers import Teller
from clusters import Database
from serving import Serving

from ledger_server.domain.decisions import Moment, Recorded
from ledger_server.domain.posting import decide
from ledger_server.domain.transactions import EntryDraft, PostDraft
from ledger_server.store.books import lane_lock
from ledger_server.store.database import Database as StoreDatabase
from ledger_server.store.outcomes import LOCK_TIMEOUT, NotCommitted
from ledger_server.store.wanted import Wanted


def test_a_batch_that_was_decided_ahead_waits_for_the_lane_before_it_writes(
    server: Serving, database: Database
) -> None:
    teller = Teller.open(server)
    teller.post("cash", "sales", 1)
    store = StoreDatabase(database.app_url, committers=1, readers=1)
    store.open()
    session = store.lane_session()
    try:
        ledger_id = store.ledger_id(teller.ledger)
        assert ledger_id is not None
        session.connection.execute("set lock_timeout = '100ms'")
        wanted = Wanted({"cash", "sales"}, {"USD"}, places={("cash", "USD"), ("sales", "USD")})
        left = session.open_books(teller.ledger, ledger_id, wanted, None).books
        session.abandon(ledger_id)
        books, clock, bounded = session.open_ahead(ledger_id, wanted, left)
        before = books.head
        lines = (EntryDraft("cash", True, 2, "USD"), EntryDraft("sales", False, 2, "USD"))
        decisions = decide(
            [PostDraft(lines, "", "", None, "", {}, "", "tester")],
            books,
            Moment(max(clock, before.record_time), lambda: bytes(16)),
        )
        records = [one.record for one in decisions if isinstance(one, Recorded)]
        asset_ids = {code: asset.asset_id for code, asset in books.assets.items() if asset is not None}
        batch = session.batch(before, books.head, records, asset_ids, bounded)

        with psycopg.connect(database.owner_url, autocommit=True) as holder:
            holder.execute("select pg_advisory_lock(%s)", [lane_lock(ledger_id)])
            with pytest.raises(NotCommitted) as refused:
                session.write(ledger_id, batch)
            session.abandon(ledger_id)
            held_from_elsewhere = teller.balance("cash")
        session.write(ledger_id, batch)

        assert refused.value.sqlstate == LOCK_TIMEOUT
        assert held_from_elsewhere == 1
        assert teller.balance("cash") == 3
    finally:
        store.give_back(session, broken=True)
        store.close()
