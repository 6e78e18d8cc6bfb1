"""Bounds that were vouched for, tried by raw SQL as ledger_app on every version of PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import psycopg
import pytest
from clusters import Database
from psycopg import errors
from raw_books import CASH, CREDIT, DEBIT, EUR, FUNDED, HASH, SALES, SALT, USD, WALLET, RawBook, entry

NEXT = FUNDED + 1
NEW = 4
ASSET, LIABILITY = 1, 2
# Bounds that stand 10 from nothing, and the amount in the account's own sense that reaches each.
BOUNDS = [
    pytest.param(kind, {bound: str(reached)}, reached, id=f"{bound} of {name}")
    for kind, name in ((ASSET, "an asset"), (LIABILITY, "a liability"))
    for bound, reached in (("balance_min", -10), ("balance_max", 10))
]
OPEN = """
    insert into ledger.accounts (
        ledger_id, account_id, version, sequence, name, type, limits, metadata, record_time, created_by, salt,
        hash, opened_by_posting)
    select ledger_id, %(account)s, 1, %(sequence)s, 'purse', 2, '{"1": {"balance_min": "0"}}', '{}',
        record_time, '', %(salt)s, %(hash)s, true
    from ledger.heads where ledger_id = %(id)s
"""


@pytest.fixture
def book(each_database: Database) -> Iterator[RawBook]:
    """A fresh ledger, as ledger_app. The wallet has 100 USD and never less than nothing."""
    with psycopg.connect(each_database.app_url, autocommit=True) as connection:
        yield RawBook(connection)


def opened(book: RawBook, kind: int, limits: dict[str, str], asset: int = USD) -> None:
    """A new account, in a batch of its own."""
    with book.writing(1):
        book.accounts((NEXT, NEW, "new", kind, {str(asset): limits}))


def moved(book: RawBook, sequence: int, amount: int, before: int = 0, asset: int = USD) -> None:
    """Moves the new account by an amount, debit-positive, against sales."""
    sides = (DEBIT, CREDIT) if amount > 0 else (CREDIT, DEBIT)
    book.transactions(sequence)
    book.entries(
        entry(sequence, 0, NEW, sides[0], abs(amount), before + amount, asset),
        entry(sequence, 1, SALES, sides[1], abs(amount), -before - amount, asset),
    )


@pytest.mark.parametrize(("kind", "limits", "reached"), BOUNDS)
def test_a_bound_is_reached_and_not_passed(
    book: RawBook, kind: int, limits: dict[str, str], reached: int
) -> None:
    opened(book, kind, limits)
    sign = 1 if kind == ASSET else -1
    with book.writing(1, book.vouch((NEW, USD))):
        moved(book, NEXT + 1, sign * reached)

    with pytest.raises(errors.CheckViolation) as refusal, book.writing(1, book.vouch((NEW, USD))):
        moved(book, NEXT + 2, sign * (1 if reached > 0 else -1), before=sign * reached)

    assert refusal.value.diag.constraint_name == "entries_within_bounds"


def one_beside_what_is_vouched_for(book: RawBook) -> None:
    opened(book, ASSET, {"balance_max": "1000"})
    with book.writing(1, book.vouch((WALLET, USD))):
        book.transactions(NEXT + 1)
        book.entries(entry(NEXT + 1, 0, WALLET, DEBIT, 5, -95), entry(NEXT + 1, 1, NEW, CREDIT, 5, 95))


def one_in_another_asset_than_is_vouched_for(book: RawBook) -> None:
    opened(book, ASSET, {"balance_max": "10"}, asset=EUR)
    with book.writing(1, book.vouch((NEW, USD))):
        moved(book, NEXT + 1, 5, before=5, asset=EUR)


def one_that_the_batch_opens_after_it_was_vouched_for(book: RawBook) -> None:
    with book.writing(2, book.vouch((NEW, USD), (SALES, USD))):
        book.accounts((NEXT, NEW, "purse", LIABILITY, {str(USD): {"balance_min": "0"}}))
        moved(book, NEXT + 1, 5)


def one_that_a_posting_opens_after_it_was_vouched_for(book: RawBook) -> None:
    with book.writing(1, book.vouch((NEW, USD), (SALES, USD))):
        book.transactions(NEXT)
        book.run(OPEN, {"account": NEW, "sequence": NEXT, "salt": SALT, "hash": HASH, "id": book.id})
        book.entries(entry(NEXT, 0, NEW, DEBIT, 5, 5), entry(NEXT, 1, SALES, CREDIT, 5, -5))


def one_whose_bounds_were_forged(book: RawBook) -> None:
    vouched = json.loads(book.vouch((WALLET, USD)))
    balance, lowest, _ = vouched["balances"].split(" ")
    with book.writing(1, json.dumps({**vouched, "balances": f"{balance} {lowest} {{1000}}"})):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, WALLET, DEBIT, 200, 100), entry(NEXT, 1, SALES, CREDIT, 200, -200))


ATTEMPTS: list[tuple[Callable[[RawBook], None], str]] = [
    (one_beside_what_is_vouched_for, "entries_continue"),
    (one_in_another_asset_than_is_vouched_for, "entries_continue"),
    (one_that_the_batch_opens_after_it_was_vouched_for, "entries_within_bounds"),
    (one_that_a_posting_opens_after_it_was_vouched_for, "entries_within_bounds"),
    (one_whose_bounds_were_forged, "entries_continue"),
]


@pytest.mark.parametrize(("attempt", "constraint"), ATTEMPTS, ids=[one[0].__name__ for one in ATTEMPTS])
def test_a_bound_is_not_passed_by(book: RawBook, attempt: Callable[[RawBook], None], constraint: str) -> None:
    with pytest.raises(errors.CheckViolation) as refusal:
        attempt(book)

    assert refusal.value.diag.constraint_name == constraint


def test_what_improves_a_balance_beyond_its_bound_passes(book: RawBook) -> None:
    opened(book, ASSET, {})
    with book.writing(2, book.vouch((NEW, USD))):
        moved(book, NEXT + 1, 50)
        book.accounts((NEXT + 2, NEW, "new", ASSET, {str(USD): {"balance_max": "10"}}), version=2)

    with book.writing(1, book.vouch((NEW, USD))):
        moved(book, NEXT + 3, -1, before=50)


def test_a_transaction_may_pass_a_bound_on_its_way(book: RawBook) -> None:
    with book.writing(1, book.vouch((WALLET, USD))):
        book.transactions(NEXT)
        book.entries(
            entry(NEXT, 0, WALLET, DEBIT, 101, 1),
            entry(NEXT, 1, WALLET, CREDIT, 1, 0),
            entry(NEXT, 2, SALES, CREDIT, 100, -100),
        )


def test_a_place_that_is_vouched_for_twice_or_not_touched_changes_nothing(book: RawBook) -> None:
    with book.writing(1, book.vouch((WALLET, USD), (CASH, USD), (WALLET, USD), (WALLET, EUR))):
        book.transactions(NEXT)
        book.entries(entry(NEXT, 0, WALLET, DEBIT, 5, -95), entry(NEXT, 1, SALES, CREDIT, 5, -5))
