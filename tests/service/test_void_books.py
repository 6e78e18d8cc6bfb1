"""Books that speak of a write that did not come true are decided on by nobody."""

from __future__ import annotations

import pytest
from callers import Teller, refusal_of, unsound
from clusters import Database
from faults import faulty_server
from serving import serving

from ledger_server.domain.accounts import Head
from ledger_server.domain.books import Books
from ledger_server.service.books_cache import BooksCache


def test_money_of_a_lost_batch_is_not_spent_though_others_moved_the_head_past_it(database: Database) -> None:
    """The head is beyond the books then, and books that are behind are caught up, not read anew."""
    with faulty_server(database) as faulty, serving(database.app_url) as other:
        teller = Teller.open(faulty.server)
        teller.post("cash", "wallet", 100)
        rival = Teller(other, teller.ledger)

        def lose_it_to_rivals() -> None:
            faulty.end(faulty.lane_holder())
            for _ in range(3):
                rival.post("cash", "other", 1)

        faulty.failpoints.once("before_commit", lose_it_to_rivals)
        teller.post("wallet", "cash", 80, "spent")

        assert faulty.failpoints.passed.count("before_begin") >= 2
        assert refusal_of(lambda: teller.post("wallet", "cash", 21)).facts["balance"] == "20"
        assert teller.balance("wallet") == 20
        assert unsound(database.owner_url, teller.ledger) == []


@pytest.fixture
def books() -> Books:
    """Books of a batch."""
    return Books("one", Head(1, bytes(32), 0))


def test_void_books_are_not_given_to_anybody(books: Books) -> None:
    cache = BooksCache()
    cache.put("one", books)
    books.is_void = True

    assert cache.take("one") is None


def test_books_at_rest_forget_their_batch_but_not_while_the_next_one_works_on_them(books: Books) -> None:
    cache = BooksCache()
    cache.put("one", books)
    cache.take("one")
    books.keys["k"] = None

    cache.rest("one", books)
    assert books.keys == {"k": None}

    cache.put("one", books)
    cache.rest("one", books)
    assert books.keys == {}
