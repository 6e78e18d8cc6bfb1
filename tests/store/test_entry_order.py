"""Entries of a transaction are read in the order of their numbers, however they lie on the disk."""

from __future__ import annotations

import psycopg
import pytest
from clusters import Database
from raw_books import CASH, CREDIT, DEBIT, FUNDED, SALES, RawBook, entry

from ledger_server.store.sql import statements

NEXT = FUNDED + 1
READS = {
    "a lane's replayed post": ("lane", "entries_by_sequences", {"sequences": [NEXT]}),
    "what other lanes posted": ("lane", "entries_since", {"after": FUNDED}),
    "a transaction's answer": ("reading", "entries_of", {"sequences": [NEXT]}),
    "a journal's page": ("replaying", "entries", {"after": FUNDED, "until": NEXT, "count": 100}),
    "the origin of a reversal": ("replaying", "origin_entries", {"sequences": [NEXT]}),
}


@pytest.mark.parametrize("read", READS)
def test_entries_that_were_written_backwards_are_read_forwards(database: Database, read: str) -> None:
    file, name, asked = READS[read]
    with psycopg.connect(database.app_url, autocommit=True) as app:
        book = RawBook(app)
        with book.writing(1):
            book.transactions(NEXT)
            book.entries(
                entry(NEXT, 2, SALES, CREDIT, 2, -3),
                entry(NEXT, 1, SALES, CREDIT, 1, -1),
                entry(NEXT, 0, CASH, DEBIT, 3, 103),
            )
        with book.writing():
            rows = app.execute(getattr(statements(file), name), {"ledger_id": book.id, **asked}).fetchall()

    assert [int(row[-1]) for row in rows] == [103, -1, -3]
