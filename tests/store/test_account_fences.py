"""The fences of accounts that change, tried by raw SQL as ledger_app."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from clusters import Database
from psycopg import errors
from raw_books import CASH, CREDIT, DEBIT, EUR, FUNDED, HASH, SALES, SALT, USD, WALLET, RawBook, entry

NEXT = FUNDED + 1
OPEN, FROZEN, CLOSED = 1, 2, 3
NAMES = {CASH: ("cash", 1), SALES: ("sales", 4), WALLET: ("wallet", 2)}
INSERT = """
    insert into ledger.accounts (
        ledger_id, account_id, version, sequence, name, type, status, limits, metadata, record_time,
        created_by, salt, hash)
    select ledger_id, %(account)s, %(version)s, %(sequence)s, %(name)s, %(type)s, %(status)s,
        %(limits)s::jsonb, '{}', record_time, '', %(salt)s, %(hash)s
    from ledger.heads where ledger_id = %(id)s
"""


@pytest.fixture
def book(database: Database) -> Iterator[RawBook]:
    """A fresh ledger, as ledger_app."""
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        yield RawBook(connection)


def change(
    book: RawBook, sequence: int, account: int, status: int, version: int = 2, limits: str | None = None
) -> None:
    """Records an account's version."""
    name, kind = NAMES.get(account, ("fresh", 1))
    values = {"account": account, "version": version, "sequence": sequence, "name": name, "type": kind}
    book.run(
        INSERT, {**values, "status": status, "limits": limits, "id": book.id, "salt": SALT, "hash": HASH}
    )


def sale(book: RawBook, sequence: int, amount: int = 5, before: int = 0) -> None:
    """From cash, which stands at 100 + before, to sales."""
    book.transactions(sequence)
    book.entries(
        entry(sequence, 0, CASH, DEBIT, amount, 100 + before + amount),
        entry(sequence, 1, SALES, CREDIT, amount, -before - amount),
    )


def spend(book: RawBook, sequence: int, amount: int, before: int) -> None:
    """Takes an amount out of sales, which stands at `before` in its own sense, into cash at 100 + before."""
    book.transactions(sequence)
    book.entries(
        entry(sequence, 0, SALES, DEBIT, amount, amount - before),
        entry(sequence, 1, CASH, CREDIT, amount, 100 + before - amount),
    )


def limited(book: RawBook, sequence: int) -> None:
    """Sales may not fall below 3 from here on."""
    change(book, sequence, SALES, OPEN, limits='{"1": {"balance_min": "3"}}')


def shut(book: RawBook, account: int, status: int) -> None:
    """Freezes or closes an account by itself."""
    with book.writing(1):
        change(book, NEXT, account, status)


def has_shut(book: RawBook) -> bool:
    """What the head knows."""
    with book.writing():
        row = book.run("select has_shut from ledger.heads where ledger_id = %s", [book.id]).fetchone()
    assert row is not None
    return bool(row[0])


def test_an_account_is_frozen_unfrozen_and_closed(book: RawBook) -> None:
    assert not has_shut(book)
    with book.writing(3):
        change(book, NEXT, SALES, FROZEN)
        change(book, NEXT + 1, SALES, OPEN, version=3)
        change(book, NEXT + 2, SALES, CLOSED, version=4)

    assert has_shut(book)


def test_a_change_that_shuts_nothing_is_nothing_to_the_head(book: RawBook) -> None:
    with book.writing(1):
        change(book, NEXT, SALES, OPEN, limits='{"1": {"balance_max": "7"}}')

    assert not has_shut(book)


def test_what_was_unfrozen_and_what_never_was_frozen_is_posted_to(book: RawBook) -> None:
    shut(book, WALLET, FROZEN)
    with book.writing(3):
        change(book, NEXT + 1, SALES, FROZEN)
        change(book, NEXT + 2, SALES, OPEN, version=3)
        sale(book, NEXT + 3)


Attempt = Callable[[RawBook], None]


def a_post_to_a_frozen_account(book: RawBook) -> None:
    shut(book, SALES, FROZEN)
    with book.writing(1):
        sale(book, NEXT + 1)


def a_post_to_a_closed_account(book: RawBook) -> None:
    shut(book, SALES, CLOSED)
    with book.writing(1):
        sale(book, NEXT + 1)


def a_post_to_what_this_batch_froze(book: RawBook) -> None:
    with book.writing(2):
        change(book, NEXT, SALES, FROZEN)
        sale(book, NEXT + 1)


def a_reversal_with_force_on_a_frozen_account(book: RawBook) -> None:
    shut(book, WALLET, FROZEN)
    with book.writing(1, book.vouch((WALLET, USD))):
        book.transactions(NEXT + 1, reverses=FUNDED, forced=True)
        book.entries(entry(NEXT + 1, 0, CASH, CREDIT, 100, 0), entry(NEXT + 1, 1, WALLET, DEBIT, 100, 0))


def closed_with_something_in_it(book: RawBook) -> None:
    shut(book, CASH, CLOSED)


def closed_with_what_this_batch_posted(book: RawBook) -> None:
    with book.writing(2):
        sale(book, NEXT)
        change(book, NEXT + 1, SALES, CLOSED)


def closed_with_another_asset_in_it(book: RawBook) -> None:
    with book.writing(2):
        book.transactions(NEXT)
        book.entries(
            entry(NEXT, 0, CASH, DEBIT, 7, 7, asset=EUR), entry(NEXT, 1, SALES, CREDIT, 7, -7, asset=EUR)
        )
        change(book, NEXT + 1, SALES, CLOSED)


def opened_after_closing(book: RawBook) -> None:
    with book.writing(2):
        change(book, NEXT, SALES, CLOSED)
        change(book, NEXT + 1, SALES, OPEN, version=3)


def limited_after_closing(book: RawBook) -> None:
    with book.writing(2):
        change(book, NEXT, SALES, CLOSED)
        change(book, NEXT + 1, SALES, CLOSED, version=3, limits='{"1": {"balance_min": "0"}}')


def a_version_left_out(book: RawBook) -> None:
    with book.writing(1):
        change(book, NEXT, SALES, FROZEN, version=3)


def opened_frozen(book: RawBook) -> None:
    with book.writing(1):
        change(book, NEXT, 4, FROZEN, version=1)


def of_no_status(book: RawBook) -> None:
    shut(book, SALES, 4)


def below_a_limit_that_came_later(book: RawBook) -> None:
    with book.writing(2):
        sale(book, NEXT)
        limited(book, NEXT + 1)
    with book.writing(1, book.vouch((SALES, USD))):
        spend(book, NEXT + 2, 3, before=5)


def below_a_limit_that_came_in_this_batch(book: RawBook) -> None:
    with book.writing(1):
        sale(book, NEXT)
    with book.writing(2, book.vouch((SALES, USD))):
        limited(book, NEXT + 1)
        spend(book, NEXT + 2, 3, before=5)


def an_unvouched_balance_of_what_was_limited_in_this_batch(book: RawBook) -> None:
    with book.writing(2):
        limited(book, NEXT)
        spend(book, NEXT + 1, 2, before=5)


REFUSED: list[tuple[Attempt, str]] = [
    (a_post_to_a_frozen_account, "entries_in_open_accounts"),
    (a_post_to_a_closed_account, "entries_in_open_accounts"),
    (a_post_to_what_this_batch_froze, "entries_in_open_accounts"),
    (a_reversal_with_force_on_a_frozen_account, "entries_in_open_accounts"),
    (closed_with_something_in_it, "accounts_closed_empty"),
    (closed_with_what_this_batch_posted, "accounts_closed_empty"),
    (closed_with_another_asset_in_it, "accounts_closed_empty"),
    (opened_after_closing, "accounts_closed_for_good"),
    (limited_after_closing, "accounts_closed_for_good"),
    (a_version_left_out, "account_versions_continue"),
    (opened_frozen, "accounts_opened_open"),
    (of_no_status, "accounts_status_check"),
    (below_a_limit_that_came_later, "entries_within_bounds"),
    (below_a_limit_that_came_in_this_batch, "entries_within_bounds"),
    (an_unvouched_balance_of_what_was_limited_in_this_batch, "entries_continue"),
]


@pytest.mark.parametrize(("attempt", "constraint"), REFUSED, ids=[one[0].__name__ for one in REFUSED])
def test_the_database_refuses(book: RawBook, attempt: Attempt, constraint: str) -> None:
    with pytest.raises(errors.CheckViolation) as refusal:
        attempt(book)

    assert refusal.value.diag.constraint_name == constraint


def test_the_service_may_not_say_that_nothing_is_shut(book: RawBook) -> None:
    shut(book, SALES, FROZEN)

    with pytest.raises(errors.InsufficientPrivilege), book.writing():
        book.run("update ledger.heads set has_shut = false")


def test_a_limit_that_comes_later_bounds_from_then_on(book: RawBook) -> None:
    with book.writing(1):
        sale(book, NEXT)
    with book.writing(3, book.vouch((SALES, USD))):
        limited(book, NEXT + 1)
        spend(book, NEXT + 2, 1, before=5)
        spend(book, NEXT + 3, 1, before=4)


def test_an_account_that_was_opened_and_limited_in_one_batch_starts_at_zero(book: RawBook) -> None:
    with book.writing(3):
        change(book, NEXT, 4, OPEN, version=1)
        change(book, NEXT + 1, 4, OPEN, limits='{"1": {"balance_max": "9"}}')
        book.transactions(NEXT + 2)
        book.entries(entry(NEXT + 2, 0, 4, DEBIT, 9, 9), entry(NEXT + 2, 1, SALES, CREDIT, 9, -9))
