"""A lane's remembered books: right at the head, caught up behind it, begun afresh beyond that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from callers import Teller, lines, post_operation, refusal_of, refused_operation, unsound
from clusters import Database
from ledger.v1 import ledger_pb2 as nouns
from serving import Serving, serving

from ledger_server.domain.accounts import Head
from ledger_server.domain.books import Books
from ledger_server.service.books_cache import BooksCache
from ledger_server.store import books as store_books
from ledger_server.store.books import OpenedBooks
from ledger_server.store.database import Database as StoreDatabase
from ledger_server.store.wanted import Wanted


@pytest.fixture(scope="module")
def shared_servers(shared_database: Database) -> Iterator[list[Serving]]:
    """Two servers on it."""
    with serving(shared_database.app_url) as one, serving(shared_database.app_url) as two:
        yield [one, two]


@pytest.fixture
def two(shared_servers: list[Serving]) -> list[Teller]:
    """A fresh ledger, seen from both servers."""
    first = Teller.open(shared_servers[0])
    return [first, first.at(shared_servers[1])]


def read_books(store: StoreDatabase, teller: Teller, cached: Books | None) -> OpenedBooks:
    """The books of cash and wallet, as a lane would read them."""
    ledger_id = store.ledger_id(teller.ledger)
    assert ledger_id is not None
    session = store.lane_session()
    names = {"cash", "wallet", "gone"}
    wanted = Wanted(names, {"USD"}, set(), set(), {(name, "USD") for name in names})
    opened = session.open_books(teller.ledger, ledger_id, wanted, cached)
    session.abandon(ledger_id)
    store.give_back(session, broken=False)
    return opened


def content(books: Books) -> tuple[object, ...]:
    """What a decision would see."""
    return books.head, books.accounts, books.balances, books.assets


def test_books_at_the_head_are_used_as_they_are(store: StoreDatabase, two: list[Teller]) -> None:
    two[0].post("cash", "wallet", 5)
    first = read_books(store, two[0], None).books
    first.balances[999, 1] = 12

    again = read_books(store, two[0], first).books

    assert again is first
    assert again.balances[999, 1] == 12


def test_books_behind_the_head_are_caught_up_with_what_others_posted(
    store: StoreDatabase, two: list[Teller]
) -> None:
    cached = read_books(store, two[0], None).books
    two[1].batch([post_operation("cash", "wallet", amount) for amount in range(1, 6)])
    two[1].post("cash", "other", 100)

    caught_up = read_books(store, two[0], cached).books

    assert caught_up is cached
    assert content(caught_up) == content(read_books(store, two[0], None).books)
    assert sorted(caught_up.balances.values()) == [-15, 115]


def test_books_start_afresh_where_an_account_was_opened_since(
    store: StoreDatabase, two: list[Teller]
) -> None:
    """The books remember that 'gone' is not there."""
    cached = read_books(store, two[0], None).books
    assert cached.accounts["gone"] is None
    two[1].open_account("gone")

    fresh = read_books(store, two[0], cached).books

    assert fresh is not cached
    assert fresh.accounts["gone"] is not None
    assert content(fresh) == content(read_books(store, two[0], None).books)


def test_books_too_far_behind_start_afresh(
    store: StoreDatabase, two: list[Teller], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_books, "CATCH_UP_RECORDS_MAX", 3)
    cached = read_books(store, two[0], None).books
    two[1].batch([post_operation("cash", "wallet", 1)] * 3)
    near = read_books(store, two[0], cached).books
    two[1].batch([post_operation("cash", "wallet", 1)] * 4)

    far = read_books(store, two[0], near).books

    assert near is cached
    assert far is not cached
    assert content(far) == content(read_books(store, two[0], None).books)


def test_books_of_another_epoch_or_of_a_future_that_is_gone_start_afresh(
    store: StoreDatabase, two: list[Teller]
) -> None:
    """A restored database has an earlier head, or the same sequence with another record behind it."""
    two[0].post("cash", "wallet", 5)
    real = read_books(store, two[0], None).books
    head = real.head
    for other in (
        Head(head.sequence + 3, bytes(32), head.record_time, head.epoch),
        Head(head.sequence, bytes(32), head.record_time, head.epoch),
        Head(head.sequence - 1, bytes(32), head.record_time, head.epoch + 1),
    ):
        cached = Books(two[0].ledger, other)
        cached.balances[1, 1] = 1_000_000

        fresh = read_books(store, two[0], cached).books

        assert fresh is not cached
        assert content(fresh) == content(real)


def test_two_servers_that_take_turns_on_one_ledger_agree(
    shared_database: Database, two: list[Teller]
) -> None:
    """Each remembers the books and must notice what the other did, also to the wallet's bound."""
    for turn in range(30):
        mine, theirs = two[turn % 2], two[1 - turn % 2]
        mine.post("cash", "wallet", 10)
        theirs.post("wallet", "sales", 10)
        refusal = refusal_of(lambda mine=mine: mine.post("wallet", "sales", 1))
        assert (refusal.reason, refusal.facts["balance"]) == ("INSUFFICIENT_FUNDS", "0")
        theirs.batch([post_operation("cash", "other", 1)] * 40)
        mine.batch([post_operation("other", "cash", 1)] * 40)

    assert [teller.balance("sales") for teller in two] == [300, 300]
    assert unsound(shared_database.owner_url, two[0].ledger) == []


def test_an_account_and_an_asset_made_on_one_server_are_there_on_the_other(
    shared_database: Database, two: list[Teller]
) -> None:
    one, other = two
    for number in range(5):
        name, code = f"customers:{number}", f"A{number}"
        assert refusal_of(lambda name=name: other.post("cash", name, 1)).reason == "ACCOUNT_NOT_FOUND"
        assert (
            refusal_of(lambda code=code: other.post("cash", "sales", 1, asset=code)).reason
            == "ASSET_NOT_FOUND"
        )
        one.open_account(name, balance_max="5")
        one.create_asset(code, 0)

        other.post("cash", name, 5)
        other.post_entries([*lines("cash", "sales", 1, code), *lines("other", "sales", 1)])
        (refused,) = one.batch([post_operation("cash", name, 1)])

        assert refused_operation(refused).reason == "BALANCE_LIMIT_EXCEEDED"
        assert other.open_account(f"{name}:more", nouns.ACCOUNT_TYPE_ASSET).account.version == 1
    assert unsound(shared_database.owner_url, one.ledger) == []


def test_a_reversal_on_one_server_is_known_on_the_other(two: list[Teller]) -> None:
    posted = two[0].post("cash", "sales", 5, "k")
    reversal = two[1].reverse("k")

    refusal = refusal_of(lambda: two[0].reverse(posted.transaction.sequence))

    assert refusal.facts["reversed_by"] == str(reversal.transaction.sequence)


def test_the_cache_gives_books_away_while_they_are_worked_on() -> None:
    cache = BooksCache()
    books = Books("one", Head(1, bytes(32), 0))
    cache.put("one", books)

    assert cache.take("one") is books
    assert cache.take("one") is None
    assert cache.take("two") is None


def test_the_cache_forgets_the_ledger_that_was_least_recently_used_first() -> None:
    def sized(name: str, places: int) -> Books:
        books = Books(name, Head(1, bytes(32), 0))
        books.balances.update({(number, 1): 0 for number in range(places)})
        return books

    cache = BooksCache(places_max=100)
    for name in ("a", "b", "c"):
        cache.put(name, sized(name, 30))
    kept = cache.take("a")
    assert kept is not None
    cache.put("a", kept)

    cache.put("d", sized("d", 35))

    assert [cache.take(name) is not None for name in "abcd"] == [True, False, True, True]


def test_books_larger_than_the_whole_budget_are_not_kept() -> None:
    cache = BooksCache(places_max=10)
    books = Books("one", Head(1, bytes(32), 0))
    books.balances.update({(number, 1): 0 for number in range(11)})

    cache.put("one", books)

    assert cache.take("one") is None
