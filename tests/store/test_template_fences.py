"""What the database refuses of transactions that templates made, tried by raw SQL as ledger_app."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from clusters import Database
from psycopg import errors
from raw_books import CASH, CREDIT, DEBIT, FUNDED, HASH, SALES, SALT, RawBook, entry

NEXT = FUNDED + 1
MADE = """
    insert into ledger.transactions (ledger_id, sequence, kind, effective_time, effective_time_given,
        record_time, created_by, description, metadata, external_ref, salt, hash, reverses,
        template, template_version, parameters)
    select ledger_id, %(sequence)s, '', record_time, false, record_time, '', '', '{}', '', %(salt)s, %(hash)s,
        %(reverses)s, %(template)s, %(version)s, %(parameters)s
    from ledger.heads where ledger_id = %(id)s
"""
GIVEN = json.dumps({"values": {"amount": "5"}, "items": []})


@pytest.fixture
def book(database: Database) -> Iterator[RawBook]:
    """A fresh ledger, as ledger_app."""
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        yield RawBook(connection)


def made(book: RawBook, **columns: Any) -> None:
    """Records a sale of 5 that a template made."""
    values = {
        "sequence": NEXT,
        "template": "sale",
        "version": 1,
        "parameters": GIVEN,
        "reverses": None,
        **columns,
    }
    with book.writing(1):
        book.run(MADE, {"id": book.id, "salt": SALT, "hash": HASH, **values})
        book.entries(entry(NEXT, 0, CASH, DEBIT, 5, 105), entry(NEXT, 1, SALES, CREDIT, 5, -5))


def test_a_transaction_may_say_what_made_it(book: RawBook) -> None:
    made(book)

    with book.writing():
        found = book.run(
            "select template, template_version, parameters from ledger.transactions where sequence = 8"
        )
        assert found.fetchall() == [("sale", 1, json.loads(GIVEN))]


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"template": None}, "made_by_template"),
        ({"version": None}, "made_by_template"),
        ({"version": 0}, "made_by_template"),
        ({"template": ""}, "made_by_template"),
        ({"template": "x" * 65}, "made_by_template"),
        ({"reverses": FUNDED}, "made_by_template"),
        ({"parameters": None}, "template_parameters"),
        ({"template": None, "version": None}, "template_parameters"),
    ],
)
def test_the_database_refuses_half_of_it(book: RawBook, columns: dict[str, Any], constraint: str) -> None:
    with pytest.raises(errors.CheckViolation) as refusal:
        made(book, **columns)

    assert refusal.value.diag.constraint_name == constraint
