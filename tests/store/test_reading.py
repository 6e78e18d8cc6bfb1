"""Reads of one ledger: what they may touch, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from callers import Teller, post_operation
from clusters import Cluster, Database
from serving import Serving

from ledger_server.domain.reads import BalanceAsk, TransactionFilter
from ledger_server.store import reading as store_reading
from ledger_server.store.database import Database as StoreDatabase
from ledger_server.store.outcomes import DatabaseLost
from ledger_server.store.reading import LAST, Reading
from ledger_server.store.summing import Summing


@pytest.fixture(scope="module")
def teller(shared_server: Serving) -> Teller:
    """A ledger of 300 transactions, every tenth of kind 'rare'."""
    teller = Teller.open(shared_server)
    teller.batch(
        [
            post_operation("cash", "sales", 1, f"k{number}", kind="rare" if number % 10 == 0 else "")
            for number in range(300)
        ]
    )
    return teller


@pytest.fixture
def reading(store: StoreDatabase, teller: Teller) -> Iterator[Reading]:
    """A reading of it."""
    ledger_id = store.ledger_id(teller.ledger)
    assert ledger_id is not None
    with store.reading() as connection:
        yield Reading(connection, ledger_id)


def walk(reading: Reading, wanted: TransactionFilter, *, newest_first: bool, count: int) -> list[list[int]]:
    """The pages of sequences."""
    position: int | None = LAST if newest_first else 0
    pages = []
    while position is not None:
        page, position = reading.transaction_sequences(
            wanted, account_id=None, newest_first=newest_first, position=position, at=LAST, count=count
        )
        pages.append(page)
    return pages


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("examined", [1, 7, 50, 299, 300, 301])
@pytest.mark.parametrize("count", [1, 4, 1000])
def test_a_filtered_walk_finds_every_match_once_however_little_a_call_examines(
    reading: Reading, newest_first: bool, examined: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_reading, "EXAMINED_MAX", examined)
    monkeypatch.setattr(store_reading, "_EXAMINED_AT_ONCE", min(examined, 10))

    pages = walk(reading, TransactionFilter(kind="rare"), newest_first=newest_first, count=count)

    found = [sequence for page in pages for sequence in page]
    assert found == sorted(set(found), reverse=newest_first)
    assert len(found) == 30
    assert all(len(page) <= count for page in pages)


@pytest.mark.parametrize("count", [1, 99, 100, 300, 301])
def test_an_unfiltered_walk_ends_without_an_empty_page(reading: Reading, count: int) -> None:
    pages = walk(reading, TransactionFilter(), newest_first=True, count=count)

    assert [len(page) for page in pages] == [min(count, 300 - start) for start in range(0, 300, count)]


def test_a_read_session_cannot_write(store: StoreDatabase) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), store.reading() as connection:
        connection.execute("insert into ledger.directory (name) values ('not allowed')")


def test_a_reading_of_one_ledger_shows_nothing_of_another(
    store: StoreDatabase, reading: Reading, shared_server: Serving
) -> None:
    other = Teller.open(shared_server)
    other.open_account("secret")
    other.post("cash", "secret", 5, "hidden")

    assert reading.account("secret", LAST) is None
    assert reading.sequence_of_key("hidden", LAST) is None
    head, (answer,) = reading.balances([BalanceAsk("secret", "USD", 0)])
    assert answer.type is None
    assert head == reading.head().sequence


def test_a_session_that_names_no_ledger_sees_nothing(store: StoreDatabase, teller: Teller) -> None:
    with store.reading() as connection:
        for table in ("heads", "ledgers", "assets", "accounts", "transactions", "entries"):
            row = connection.execute(f"select count(*) from ledger.{table}").fetchone()
            assert row == (0,), table


def test_a_read_at_a_sequence_does_not_show_what_came_after_it(reading: Reading, teller: Teller) -> None:
    head = reading.head().sequence
    teller.open_account("later")
    teller.create_asset("LATER", 0)
    reversal = teller.reverse("k0").transaction

    assert reading.account("later", head) is None
    assert "LATER" not in [record.asset.code for record in reading.assets(head)]
    assert reading.sequence_of_key("k0", head) == reversal.reverses
    (then,) = reading.transactions([reversal.reverses], head)
    (now,) = reading.transactions([reversal.reverses], reversal.sequence)
    assert (then.reversed_by, now.reversed_by) == (0, reversal.sequence)
    summed = Summing(reading.connection, reading.ledger_id).by_account(head)
    assert [row.debits for row in summed if row.account == "cash"] == [300]


def read_while_it_ends(store: StoreDatabase, database: Database) -> None:
    """Reads in a session that was ended after it was lent."""
    with psycopg.connect(database.owner_url, autocommit=True) as admin, store.reading() as connection:
        admin.execute("select pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
        connection.execute("select 1")


def test_a_database_that_is_gone_is_told_as_lost(cluster: Cluster) -> None:
    with cluster.database() as database:
        store = StoreDatabase(database.app_url, committers=1, readers=1)
        store.open()
        try:
            with pytest.raises(DatabaseLost):
                read_while_it_ends(store, database)
            assert store.is_serving()
        finally:
            store.close()
