"""Many buyers at once: nothing is sold twice, nobody owes more than he may, and nothing deadlocks."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import psycopg
import pytest
from callers import Refused, answer_of, spread, together, unsound
from clusters import Database
from faults import until
from serving import Serving
from shop import Shop, line

from ledger_server.store.outcomes import NotCommitted

BUYERS = 50


@pytest.fixture
def shops(servers: list[Serving]) -> list[Shop]:
    """One business, seen from each server."""
    first = Shop.opened(servers[0])
    return [first, *(first.at(server) for server in servers[1:])]


@pytest.fixture
def refused_states(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The SQLSTATE of every batch that the database refuses from here on, retried or not."""
    states: list[str | None] = []
    remember = NotCommitted.__init__

    def remember_too(refused: NotCommitted, error: psycopg.Error) -> None:
        remember(refused, error)
        states.append(error.sqlstate)

    monkeypatch.setattr(NotCommitted, "__init__", remember_too)
    return states


@pytest.mark.criterion("S001-10", "S001-4")
def test_of_fifty_buyers_of_ten_pieces_ten_get_one(shops: list[Shop], shared_database: Database) -> None:
    shop = shops[0]
    shop.add_product("pen", price=250, stock=10)
    for number in range(BUYERS):
        shop.add_customer(f"c{number}", 1_000)

    answers = together(
        [
            partial(one.buy, f"c{number}", line("pen", 1, 250))
            for number, one in enumerate(spread(shops, BUYERS))
        ]
    )

    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(refused) == BUYERS - 10
    for refusal in refused:
        assert refusal.reason == "INSUFFICIENT_FUNDS"
        assert (refusal.facts["account"], refusal.facts["asset"]) == ("stock:pen", "PIECE")
        assert (refusal.facts["balance"], refusal.facts["shortfall"]) == ("0", "1")
    assert shop.stock("pen") == 0
    assert shop.balance("sold:pen", "PIECE") == 10
    assert shop.balance("sales") == 2_500
    owing = {number for number in range(BUYERS) if shop.owed(f"c{number}") == 250}
    assert owing == {number for number, answer in enumerate(answers) if not isinstance(answer, Refused)}
    assert sum(shop.owed(f"c{number}") for number in range(BUYERS)) == 2_500
    numbers = [answer.transaction.number for answer in answers if not isinstance(answer, Refused)]
    assert sorted(numbers) == [*range(1, 11)]
    assert unsound(shared_database.owner_url, shop.ledger) == []


@pytest.mark.criterion("S001-10", "S001-5")
def test_of_fifty_orders_of_ten_under_a_limit_of_a_hundred_ten_are_taken(
    shops: list[Shop], shared_database: Database
) -> None:
    shop = shops[0]
    shop.add_product("pen", price=10, stock=1_000)
    shop.add_customer("ann", 100)

    answers = together([partial(one.buy, "ann", line("pen", 1, 10)) for one in spread(shops, BUYERS)])

    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(refused) == BUYERS - 10
    for refusal in refused:
        assert refusal.reason == "BALANCE_LIMIT_EXCEEDED"
        assert refusal.facts["account"] == "customers:ann"
        assert [refusal.facts[name] for name in ("balance_max", "balance", "balance_after", "shortfall")] == [
            "100",
            "100",
            "110",
            "10",
        ]
    assert (shop.owed("ann"), shop.stock("pen"), shop.balance("sales")) == (100, 990, 100)
    assert unsound(shared_database.owner_url, shop.ledger) == []


@pytest.mark.criterion("S001-9")
@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=[pytest.mark.slow, pytest.mark.timeout(180)])])
def test_orders_that_name_products_in_opposite_orders_never_deadlock(
    shops: list[Shop], shared_database: Database, refused_states: list[str | None], seconds: int
) -> None:
    shop, callers = shops[0], 16
    for product in ("p1", "p2"):
        shop.add_product(product, price=3, stock=10**9)
    for customer in ("ann", "bob"):
        shop.add_customer(customer, 10**12)
    before = _deadlocks(shared_database)
    ends = time.monotonic() + seconds
    stopping = threading.Event()

    def buy_on(number: int, mine: Shop) -> int:
        products = ("p1", "p2") if number % 2 else ("p2", "p1")
        customer = ("ann", "bob")[number // 2 % 2]
        count = 0
        while time.monotonic() < ends and not stopping.is_set():
            answer = answer_of(partial(mine.buy, customer, *(line(one, 2, 3) for one in products)))
            if isinstance(answer, Refused):
                stopping.set()
                raise AssertionError(f"refused: {answer}")
            count += 1
        return count

    counts = together([partial(buy_on, *place) for place in enumerate(spread(shops, callers))])

    orders = sum(count for count in counts if isinstance(count, int))
    assert min(counts) > 0  # type: ignore[type-var]
    # None that a caller saw, none that a server tried again, none that PostgreSQL counted.
    assert refused_states == []
    assert _deadlocks(shared_database) == before
    assert [shop.stock(product) for product in ("p1", "p2")] == [10**9 - 2 * orders] * 2
    assert shop.owed("ann") + shop.owed("bob") == shop.balance("sales") == 12 * orders
    assert unsound(shared_database.owner_url, shop.ledger) == []


def test_a_deadlock_would_have_been_counted(shared_database: Database) -> None:
    before = _deadlocks(shared_database)
    url = shared_database.owner_url
    with psycopg.connect(url) as one, psycopg.connect(url) as two:
        one.execute("select pg_advisory_xact_lock(-1)")
        two.execute("select pg_advisory_xact_lock(-2)")

        def cross(connection: psycopg.Connection[Any], key: int) -> str | None:
            try:
                connection.execute("select pg_advisory_xact_lock(%s)", [key])
            except psycopg.errors.DeadlockDetected as error:
                return error.sqlstate
            finally:
                connection.rollback()
            return None

        states = together([partial(cross, one, -2), partial(cross, two, -1)])

    assert sorted(map(str, states)) == ["40P01", "None"]
    until(lambda: _deadlocks(shared_database) == before + 1, "counted")


def _deadlocks(database: Database) -> int:
    """How many deadlocks PostgreSQL has broken in the database."""
    with psycopg.connect(database.owner_url) as connection:
        row = connection.execute(
            "select deadlocks from pg_stat_database where datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])
