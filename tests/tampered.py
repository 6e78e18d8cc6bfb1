"""Rows changed behind every fence and put back, and what `verify` says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from clusters import Database

from ledger_server.service.verify import BadRecord, Proof, prove
from ledger_server.store.replaying import reading_journals


def proven(database: Database, name: str) -> Proof | BadRecord:
    """What `verify` says, read as ledger_app."""
    with reading_journals(database.app_url, name) as journals:
        (journal,) = journals
        try:
            return prove(journal)
        except BadRecord as bad:
            return bad


def unchecked(session: psycopg.Connection[Any], relation: str) -> list[str]:
    """The table's checks."""
    rows = session.execute(
        "select conname from pg_constraint where conrelid = %s::regclass and contype = 'c'",
        [f"ledger.{relation}"],
    )
    return [f'"{name}"' for (name,) in rows]


@contextmanager
def undone(session: psycopg.Connection[Any], relation: str, ledger: str, sequence: int) -> Iterator[str]:
    """Puts back what the block did to one row."""
    row = session.execute("select ledger_id from ledger.directory where name = %s", [ledger]).fetchone()
    assert row is not None
    where = f"ledger_id = {row[0]} and sequence = {sequence}"
    session.execute(f"create temporary table kept as select *, ctid as place from ledger.{relation}".encode())
    yield where
    others = f"select place from kept where not ({where})"
    session.execute(f"delete from ledger.{relation} where ctid not in ({others})".encode())
    columns = ", ".join(
        name
        for (name,) in session.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
            " and not attisdropped order by attnum",
            [f"ledger.{relation}"],
        )
    )
    session.execute(f"insert into ledger.{relation} select {columns} from kept where {where}".encode())
    session.execute("drop table kept")
