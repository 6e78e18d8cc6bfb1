"""A probe asks for the nearest row in an index's order: what is not there is not taken for its neighbour."""

from __future__ import annotations

import pytest
from callers import Teller, post_operation, unsound
from clusters import Database
from serving import Serving

from ledger_server.domain.books import Books
from ledger_server.store.database import Database as StoreDatabase
from ledger_server.store.reading import LAST, Reading
from ledger_server.store.wanted import Wanted


@pytest.fixture
def teller(shared_server: Serving) -> Teller:
    """Posts under "b" and "d" from cash to sales, of which "d" is reversed; nothing in EUR."""
    teller = Teller.open(shared_server)
    teller.create_asset("EUR", 2)
    teller.batch([post_operation("cash", "sales", 5, "b"), post_operation("cash", "sales", 7, "d")])
    teller.reverse("d")
    return teller


def books_of(store: StoreDatabase, teller: Teller, wanted: Wanted) -> Books:
    """The books as a lane would read them."""
    ledger_id = store.ledger_id(teller.ledger)
    assert ledger_id is not None
    session = store.lane_session()
    books = session.open_books(teller.ledger, ledger_id, wanted, None).books
    session.abandon(ledger_id)
    store.give_back(session, broken=False)
    return books


@pytest.mark.parametrize("key", ["a", "c", "e"], ids=["before", "between", "behind"])
def test_a_lane_finds_no_transaction_of_a_key_that_was_never_used(
    store: StoreDatabase, teller: Teller, key: str
) -> None:
    books = books_of(store, teller, Wanted(keys={key}))

    assert books.keys == {key: None}
    assert books.transactions == {}
    # What another transaction touched is not read either.
    assert books.accounts == {}


def test_a_lane_finds_no_reversal_of_a_transaction_that_was_not_reversed(
    store: StoreDatabase, teller: Teller
) -> None:
    books = books_of(store, teller, Wanted(keys={"b"}))

    assert books.keys["b"] is not None
    assert books.reversals == {}


def test_a_lane_finds_no_balance_where_nothing_was_posted(store: StoreDatabase, teller: Teller) -> None:
    names = {"cash", "other", "sales", "wallet"}
    codes = {"USD", "EUR"}
    books = books_of(
        store, teller, Wanted(names, codes, places={(name, code) for name in names for code in codes})
    )

    balances = {
        (name, code): books.balances[version.account.account_id, asset.asset_id]
        for name, version in books.accounts.items()
        for code, asset in books.assets.items()
        if version is not None and asset is not None
    }
    assert {place: balance for place, balance in balances.items() if balance} == {
        ("cash", "USD"): 5,
        ("sales", "USD"): -5,
    }
    assert len(balances) == 8


@pytest.mark.parametrize("key", ["a", "c", "e"], ids=["before", "between", "behind"])
def test_a_reader_finds_no_transaction_of_a_key_that_was_never_used(
    store: StoreDatabase, teller: Teller, key: str
) -> None:
    ledger_id = store.ledger_id(teller.ledger)
    assert ledger_id is not None
    with store.reading() as connection:
        assert Reading(connection, ledger_id).sequence_of_key(key, LAST) is None


def test_a_reader_shows_no_balance_where_nothing_was_posted(teller: Teller) -> None:
    names = ("cash", "other", "sales", "wallet")

    assert [teller.balance(name) for name in names] == [5, 0, 5, 0]
    assert [teller.balance(name, "EUR") for name in names] == [0, 0, 0, 0]


def test_a_reader_finds_a_key_from_its_own_record_on(store: StoreDatabase, teller: Teller) -> None:
    ledger_id = store.ledger_id(teller.ledger)
    assert ledger_id is not None
    sequence = teller.transaction("d").sequence
    with store.reading() as connection:
        reading = Reading(connection, ledger_id)

        assert reading.sequence_of_key("d", sequence) == sequence
        assert reading.sequence_of_key("d", sequence - 1) is None


def test_a_reader_shows_a_reversal_beside_its_own_origin_only(teller: Teller) -> None:
    assert teller.transaction("b").reversed_by == 0
    assert teller.transaction("d").reversed_by == teller.head()


def test_a_bounded_account_is_vouched_for_by_its_own_balance(
    shared_database: Database, teller: Teller
) -> None:
    """The wallet's first entry, where the account and the asset before it have some."""
    teller.post("cash", "wallet", 3)
    teller.post("cash", "wallet", 4, asset="EUR")

    assert (teller.balance("wallet"), teller.balance("wallet", "EUR")) == (3, 4)
    assert unsound(shared_database.owner_url, teller.ledger) == []


def test_a_bounded_account_is_vouched_for_however_long_it_rested(
    shared_database: Database, teller: Teller
) -> None:
    """The database looks among the records of late first: twice as many as there are accounts."""
    teller.post("cash", "wallet", 3)
    for _ in range(20):
        teller.post("cash", "sales", 1)

    teller.post("wallet", "cash", 2)

    assert teller.balance("wallet") == 1
    assert unsound(shared_database.owner_url, teller.ledger) == []
