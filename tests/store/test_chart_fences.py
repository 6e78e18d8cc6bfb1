"""The fences of charts, of accounts that postings open, and of numbers, tried by raw SQL as ledger_app."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from clusters import Database
from psycopg import errors
from raw_books import CASH, CREDIT, DEBIT, FUNDED, HASH, SALES, SALT, RawBook, entry

from ledger_server.domain.accounts import AccountType
from ledger_server.domain.charts import Family, ParameterType
from ledger_server.domain.families import expressions_by_type

NEXT = FUNDED + 1
NEW = 4
ANN = "users:123e4567-e89b-12d3-a456-426614174000"
USERS = Family("users:{id}", {"id": ParameterType.UUID}, AccountType.LIABILITY)
# Letters, signs that mean something in a regular expression, and a blank.
ODD = Family("a.b (c)|[d]*:{x}", {"x": ParameterType.INT}, AccountType.ASSET)
CHART = """
    insert into ledger.charts (
        ledger_id, version, chart, name_patterns, sequence, record_time, created_by, hash)
    select ledger_id, %(version)s, '{}', %(patterns)s::text[], %(sequence)s, record_time, '', %(hash)s
    from ledger.heads where ledger_id = %(id)s
"""
OPEN = """
    insert into ledger.accounts (
        ledger_id, account_id, version, sequence, name, type, metadata, record_time, created_by, salt, hash,
        opened_by_posting)
    select ledger_id, %(account)s, %(version)s, %(sequence)s, %(name)s, %(type)s, '{}', record_time, '',
        %(salt)s, %(hash)s, true
    from ledger.heads where ledger_id = %(id)s
"""
NUMBER = """
    insert into ledger.transactions (ledger_id, sequence, kind, effective_time, effective_time_given,
        record_time, created_by, description, metadata, external_ref, salt, hash, series, number)
    select ledger_id, new.sequence, '', record_time, false, record_time, '', '', '{}', '', %(salt)s, %(hash)s,
        new.series, new.number
    from ledger.heads, json_to_recordset(%(rows)s) as new (sequence bigint, series text, number bigint)
    where ledger_id = %(id)s
"""


@pytest.fixture
def book(database: Database) -> Iterator[RawBook]:
    """A fresh ledger, as ledger_app."""
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        yield RawBook(connection)


def chart(book: RawBook, sequence: int = NEXT, version: int = 1, families: tuple[Family, ...] = ()) -> None:
    """Records a chart."""
    patterns = expressions_by_type(families) if families else []
    values = {"id": book.id, "sequence": sequence, "version": version, "patterns": patterns, "hash": HASH}
    book.run(CHART, values)


def opened(
    book: RawBook, sequence: int = NEXT, name: str = ANN, account: int = NEW, kind: int = 2, version: int = 1
) -> None:
    """Records an account that the transaction of the sequence opens."""
    values = {"id": book.id, "sequence": sequence, "name": name, "account": account, "type": kind}
    book.run(OPEN, {**values, "version": version, "salt": SALT, "hash": HASH})


def numbered(book: RawBook, *rows: tuple[int, str | None, int | None]) -> None:
    """Records transactions of (sequence, series, number), without their entries."""
    described = [dict(zip(("sequence", "series", "number"), row, strict=True)) for row in rows]
    book.run(NUMBER, {"id": book.id, "rows": json.dumps(described), "salt": SALT, "hash": HASH})


def sale(book: RawBook, sequence: int = NEXT, account: int = NEW, sales: int = -1) -> None:
    """The entries of a sale of 1 USD, from an account that has none yet."""
    book.entries(entry(sequence, 0, account, DEBIT, 1, 1), entry(sequence, 1, SALES, CREDIT, 1, sales))


# charts -------------------------------------------------------------------------------------------


def test_charts_follow_each_other(book: RawBook) -> None:
    with book.writing(2):
        chart(book)
        chart(book, NEXT + 1, version=2)
    with book.writing():
        assert book.run("select chart_version from ledger.heads").fetchone() == (2,)


@pytest.mark.parametrize(
    ("attempt", "constraint"),
    [
        (lambda book: chart(book, version=2), "chart_versions_continue"),
        (lambda book: chart(book, NEXT + 1), "records_continue"),
        (lambda book: book.run("update ledger.heads set chart_version = 5"), None),
    ],
)
def test_the_database_refuses_a_chart_that_cannot_be(
    book: RawBook, attempt: Callable[[RawBook], Any], constraint: str | None
) -> None:
    with pytest.raises((errors.CheckViolation, errors.InsufficientPrivilege)) as refusal, book.writing(1):
        attempt(book)

    assert refusal.value.diag.constraint_name == constraint


@pytest.mark.criterion("S003-2")
@pytest.mark.parametrize(
    ("name", "kind", "fits"),
    [
        (ANN, 2, True),
        (ANN, 1, False),
        (ANN.upper(), 2, False),
        (ANN + "0", 2, False),
        ("users", 2, False),
        ("users:ann", 2, False),
        ("a.b (c)|[d]*:7", 1, True),
        ("a.b (c)|[d]*:07", 1, False),
        ("axb (c)|[d]*:7", 1, False),
        ("a.b (c)", 1, False),
        ("x" + ANN, 2, False),
        (ANN + "\n", 2, False),
    ],
)
def test_an_account_has_the_name_and_type_of_a_family(
    book: RawBook, name: str, kind: int, fits: bool
) -> None:
    with book.writing(1):
        chart(book, families=(USERS, ODD))

    def attempt() -> None:
        with book.writing(1):
            book.accounts((NEXT + 1, NEW, name, kind, None))

    if fits:
        attempt()
    else:
        with pytest.raises(errors.CheckViolation) as refusal:
            attempt()
        assert refusal.value.diag.constraint_name == "account_names_fit"


def test_a_chart_without_families_fences_no_names(book: RawBook) -> None:
    with book.writing(2):
        chart(book)
        book.accounts((NEXT + 1, NEW, "anything", 1, None))


def test_the_newest_chart_is_the_one_that_fences(book: RawBook) -> None:
    with book.writing(3):
        chart(book, families=(USERS,))
        chart(book, NEXT + 1, version=2, families=(ODD,))
        book.accounts((NEXT + 2, NEW, "a.b (c)|[d]*:7", 1, None))


# accounts that postings open ------------------------------------------------------------------------


@pytest.fixture
def charted(book: RawBook) -> RawBook:
    """A ledger with a chart of users as its newest record."""
    with book.writing(1):
        chart(book, families=(USERS,))
    return book


# The record behind the chart's.
POSTED = NEXT + 1


def posting(book: RawBook, **more: Any) -> None:
    """A transaction that opens an account."""
    book.transactions(POSTED)
    opened(book, **{"sequence": POSTED, **more})
    sale(book, POSTED)


def test_a_transaction_opens_an_account_between_its_row_and_its_entries(charted: RawBook) -> None:
    with charted.writing(1):
        posting(charted)
    with charted.writing():
        assert charted.run("select account_id_max from ledger.heads").fetchone() == (NEW,)


def behind_its_entries(book: RawBook) -> None:
    book.transactions(POSTED)
    sale(book, POSTED)
    opened(book, POSTED)


def when_its_entries_are_there(book: RawBook) -> None:
    book.transactions(POSTED)
    book.entries(entry(POSTED, 0, CASH, DEBIT, 1, 101), entry(POSTED, 1, SALES, CREDIT, 1, -1))
    opened(book, POSTED)


REFUSED: dict[str, tuple[Callable[[RawBook], None], str]] = {
    "without a transaction": (lambda book: opened(book, POSTED), "accounts_opened_by_postings"),
    "of entries before it": (behind_its_entries, "entries_have_accounts"),
    "of entries that are there": (when_its_entries_are_there, "accounts_opened_by_postings"),
    "of the record before": (lambda book: posting(book, sequence=NEXT), "accounts_opened_by_postings"),
    "of the record after": (lambda book: posting(book, sequence=POSTED + 1), "accounts_opened_by_postings"),
    "in a later version": (lambda book: posting(book, version=2), "opened_by_posting_first"),
    "with a number left out": (lambda book: posting(book, account=NEW + 1), "account_ids_continue"),
    "of no family": (lambda book: posting(book, name="users:bob"), "account_names_fit"),
    "of another type": (lambda book: posting(book, kind=1), "account_names_fit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_database_refuses_an_account_that_no_posting_opens(charted: RawBook, name: str) -> None:
    attempt, constraint = REFUSED[name]

    with pytest.raises(errors.CheckViolation) as refusal, charted.writing(1):
        attempt(charted)

    assert refusal.value.diag.constraint_name == constraint


# numbers --------------------------------------------------------------------------------------------

Numbers = list[tuple[str | None, int | None]]


def sell(book: RawBook, given: Numbers, first: int = NEXT) -> None:
    """A database transaction of so many sales from a sequence on, each with a number or none."""
    with book.writing(len(given)):
        numbered(book, *((first + place, *number) for place, number in enumerate(given)))
        sold = first - NEXT
        book.entries(
            *(
                line
                for place in range(len(given))
                for line in (
                    entry(first + place, 0, CASH, DEBIT, 1, 101 + sold + place),
                    entry(first + place, 1, SALES, CREDIT, 1, -1 - sold - place),
                )
            )
        )


def test_numbers_go_on_from_batch_to_batch_in_each_series(book: RawBook) -> None:
    sell(book, [("a", 1), (None, None), ("b", 1), ("a", 2)])
    sell(book, [("b", 2), ("a", 3), ("a", 4)], NEXT + 4)

    with book.writing():
        found = book.run(
            "select series, max(number) from ledger.transactions group by series order by series"
        )
        assert found.fetchall() == [("a", 4), ("b", 2), (None, None)]


@pytest.mark.criterion("S000-30")
@pytest.mark.parametrize(
    ("given", "constraint"),
    [
        ([("a", 4)], "numbers_continue"),
        ([("a", 3), ("a", 5)], "numbers_continue"),
        ([("a", 4), ("a", 3)], "numbers_continue"),
        ([("a", 3), ("b", 2)], "numbers_continue"),
        ([("a", 2)], "transactions_numbers"),
        ([("a", 1)], "transactions_numbers"),
        ([("b", 0)], "numbered_in_series"),
        ([("", 1)], "numbered_in_series"),
        ([("b", None)], "numbered_in_series"),
        ([(None, 1)], "numbered_in_series"),
    ],
)
def test_the_database_refuses_numbers_that_skip_or_come_again(
    book: RawBook, given: Numbers, constraint: str
) -> None:
    sell(book, [("a", 1), ("a", 2)])

    with pytest.raises((errors.CheckViolation, errors.UniqueViolation)) as refusal:
        sell(book, given, NEXT + 2)

    assert refusal.value.diag.constraint_name == constraint


def test_the_series_of_another_ledger_is_its_own(book: RawBook) -> None:
    other = RawBook(book.connection)
    sell(book, [("a", 1)])

    sell(other, [("a", 1)])
