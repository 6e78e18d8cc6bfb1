"""The fences of members and of reversals with force, tried by raw SQL as ledger_app."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from clusters import Database
from psycopg import errors
from raw_books import CREDIT, DEBIT, FUNDED, HASH, SALES, USD, WALLET, RawBook, entry

NEXT = FUNDED + 1
INSERT = """
    insert into ledger.members (
        ledger_id, principal, version, status, roles, account_prefixes, sequence, record_time, created_by,
        hash)
    select ledger_id, %(principal)s, %(version)s, %(status)s, %(roles)s::smallint[], %(prefixes)s::text[],
        %(sequence)s, record_time, '', %(hash)s
    from ledger.heads where ledger_id = %(id)s
"""


@pytest.fixture
def book(database: Database) -> Iterator[RawBook]:
    """A fresh ledger, as ledger_app."""
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        yield RawBook(connection)


def member(
    book: RawBook, sequence: int = NEXT, principal: str = "bob", version: int = 1, **more: Any
) -> None:
    """Records one member."""
    values = {"roles": [1], "status": 1, "prefixes": [], **more}
    book.run(
        INSERT,
        {
            "id": book.id,
            "sequence": sequence,
            "principal": principal,
            "version": version,
            "hash": HASH,
            **values,
        },
    )


def test_a_member_is_recorded_changed_and_removed(book: RawBook) -> None:
    with book.writing(3):
        member(book)
        member(book, NEXT + 1, version=2, roles=[7])
        member(book, NEXT + 2, version=3, roles=[], status=2)
    with book.writing():
        assert book.run("select count(*) from ledger.members").fetchone() == (3,)


REFUSED: dict[str, tuple[Callable[[RawBook], None], type[errors.Error], str]] = {
    "not the next": (lambda book: member(book, NEXT + 1), errors.CheckViolation, "records_continue"),
    "a version left out": (
        lambda book: member(book, version=2),
        errors.CheckViolation,
        "member_versions_continue",
    ),
    "an unknown role": (lambda book: member(book, roles=[8]), errors.CheckViolation, "members_roles_check"),
    "who grants and posts": (
        lambda book: member(book, roles=[2, 7]),
        errors.CheckViolation,
        "duties_separated",
    ),
    "an auditor of some accounts": (
        lambda book: member(book, roles=[6], prefixes=["shop"]),
        errors.CheckViolation,
        "not_narrowed",
    ),
    "present without roles": (lambda book: member(book, roles=[]), errors.CheckViolation, "members_check"),
    "ended with roles": (lambda book: member(book, status=2), errors.CheckViolation, "members_check"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_database_refuses_a_member_that_cannot_be(book: RawBook, name: str) -> None:
    attempt, kind, constraint = REFUSED[name]
    with pytest.raises(kind) as refusal, book.writing(1):
        attempt(book)

    assert refusal.value.diag.constraint_name == constraint


def test_a_member_stands_in_the_span_or_nowhere(book: RawBook) -> None:
    for by, sequence in ((0, NEXT), (2, NEXT)):
        with pytest.raises(errors.CheckViolation) as refusal, book.writing(by):
            member(book, sequence)
        assert refusal.value.diag.constraint_name in ("records_continue", "head_span_full")


# force --------------------------------------------------------------------------------------------


def drain(book: RawBook, sequence: int, amount: int, after: int, sales: int, **columns: Any) -> None:
    """Takes an amount out of the wallet, which stands at `after` then (debit-positive)."""
    book.transactions(sequence, **columns)
    book.entries(
        entry(sequence, 0, WALLET, DEBIT, amount, after), entry(sequence, 1, SALES, CREDIT, amount, sales)
    )


def reversal(book: RawBook, *, forced: bool, reverses: int | None = FUNDED) -> None:
    """Takes the wallet's 100 back after all of them are spent; it may not fall below 0."""
    with book.writing(1, book.vouch((WALLET, USD))):
        drain(book, NEXT, 100, 0, -100)
    with book.writing(1, book.vouch((WALLET, USD))):
        drain(book, NEXT + 1, 100, 100, -200, reverses=reverses, forced=forced)


def test_a_reversal_with_force_passes_a_bound(book: RawBook) -> None:
    reversal(book, forced=True)

    with book.writing():
        newest = book.run(
            "select balance_after from ledger.entries where account_id = %s order by sequence desc limit 1",
            [WALLET],
        )
        assert newest.fetchone() == (100,)


def test_a_reversal_without_force_does_not(book: RawBook) -> None:
    with pytest.raises(errors.CheckViolation) as refusal:
        reversal(book, forced=False)

    assert refusal.value.diag.constraint_name == "entries_within_bounds"


def test_nothing_but_a_reversal_is_forced(book: RawBook) -> None:
    with pytest.raises(errors.CheckViolation) as refusal:
        reversal(book, forced=True, reverses=None)

    assert refusal.value.diag.constraint_name == "forced_reversals_only"


def forced_beside_another(book: RawBook) -> None:
    with book.writing(3, book.vouch((WALLET, USD))):
        drain(book, NEXT, 100, 0, -100)
        drain(book, NEXT + 1, 100, 100, -200, reverses=FUNDED, forced=True)
        drain(book, NEXT + 2, 1, 101, -201)


def forced_out_of_nothing(book: RawBook) -> None:
    with book.writing(1, book.vouch((WALLET, USD))):
        drain(book, NEXT, 100, 50, -100, reverses=FUNDED, forced=True)


@pytest.mark.parametrize(
    ("attempt", "constraint"),
    [(forced_beside_another, "entries_within_bounds"), (forced_out_of_nothing, "entries_continue")],
)
def test_force_excuses_its_own_transaction_and_a_bound_only(
    book: RawBook, attempt: Callable[[RawBook], None], constraint: str
) -> None:
    with pytest.raises(errors.CheckViolation) as refusal:
        attempt(book)

    assert refusal.value.diag.constraint_name == constraint
