"""ledger.bounds: what accounts' limits come to, on every version of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from clusters import Database
from fresh_databases import fresh
from psycopg import IsolationLevel, errors
from raw_books import CASH, EUR, FUNDED, SALES, SALT, USD, WALLET, RawBook

from ledger_server.store.database import LANE_SETTINGS
from ledger_server.store.embedded import EmbeddedPostgres
from ledger_server.store.migrate import migrate, read_migrations

NEXT = FUNDED + 1
NEW = 4
ASSET, LIABILITY = 1, 2
BEFORE_BOUNDS = 15


@pytest.fixture
def book(each_database: Database) -> Iterator[RawBook]:
    """A fresh ledger, as ledger_app. The wallet, a liability, is never below nothing."""
    with psycopg.connect(each_database.app_url, autocommit=True) as connection:
        yield RawBook(connection)


def bounds(book: RawBook) -> dict[tuple[int, int], tuple[int | None, int | None]]:
    """What the fence of entries goes by, debit-positive, by account and asset."""
    with book.connection.transaction():
        book.name_session(book.id)
        rows = book.run("select account_id, asset_id, lowest, highest from ledger.bounds").fetchall()
    return {
        (account_id, asset_id): (
            None if lowest is None else int(lowest),
            None if highest is None else int(highest),
        )
        for account_id, asset_id, lowest, highest in rows
    }


@contextmanager
def older(server: EmbeddedPostgres, directory: Path) -> Iterator[str]:
    """The owner's URL of a database from before there were bounds."""
    for migration in read_migrations()[:BEFORE_BOUNDS]:
        (directory / f"{migration.number:04}_{migration.name}.sql").write_bytes(migration.text)
    with fresh(server) as url:
        migrate(url, directory=directory)
        yield url


def changed(book: RawBook, *limits: dict[str, dict[str, str]] | None) -> None:
    """The wallet in further versions, one batch each."""
    for version, one in enumerate(limits, start=2):
        with book.writing(1):
            book.accounts((FUNDED + version - 1, WALLET, "wallet", LIABILITY, one), version=version)


def test_bounds_are_debit_positive(book: RawBook) -> None:
    both = {"balance_min": "-3", "balance_max": "5"}
    with book.writing(2):
        book.accounts(
            (NEXT, NEW, "asset", ASSET, {str(USD): both, str(EUR): {"balance_max": "7"}}),
            (NEXT + 1, NEW + 1, "liability", LIABILITY, {str(USD): both, str(EUR): {"balance_max": "7"}}),
        )

    assert bounds(book) == {
        (WALLET, USD): (None, 0),
        (NEW, USD): (-3, 5),
        (NEW, EUR): (None, 7),
        (NEW + 1, USD): (-5, 3),
        (NEW + 1, EUR): (-7, None),
    }


def test_bounds_are_those_of_the_newest_version(book: RawBook) -> None:
    both = {str(USD): {"balance_min": "-10"}, str(EUR): {"balance_min": "0"}}
    seen = []
    for version, limits in enumerate((both, {str(EUR): {"balance_max": "9"}}, None), start=2):
        with book.writing(1):
            book.accounts((FUNDED + version - 1, WALLET, "wallet", LIABILITY, limits), version=version)
        seen.append(bounds(book))

    assert seen == [{(WALLET, USD): (None, 10), (WALLET, EUR): (None, 0)}, {(WALLET, EUR): (-9, None)}, {}]


def test_of_several_versions_in_one_statement_the_newest_counts(book: RawBook) -> None:
    """As a lane writes a batch that opens an account and changes it at once."""
    with book.writing(2):
        book.run(
            "insert into ledger.accounts (ledger_id, account_id, version, sequence, name, type, limits,"
            " metadata, record_time, created_by, salt, hash)"
            " select ledger_id, %s, version, %s + version, 'new', 1,"
            """ jsonb_build_object(version::text, '{"balance_min": "1"}'::jsonb), '{}',"""
            " record_time, '', %s, hash from ledger.heads, generate_series(1, 2) as version"
            " where ledger_id = %s",
            [NEW, FUNDED, SALT, book.id],
        )

    assert bounds(book) == {(WALLET, USD): (None, 0), (NEW, EUR): (1, None)}


def test_a_ledgers_bounds_are_its_own(book: RawBook) -> None:
    other = RawBook(book.connection)
    changed(other, None)

    assert bounds(book) == {(WALLET, USD): (None, 0)}
    assert bounds(other) == {}


def test_books_that_are_there_get_their_bounds(each_server: EmbeddedPostgres, tmp_path: Path) -> None:
    with older(each_server, tmp_path) as url, psycopg.connect(url, autocommit=True) as app:
        app.execute("set role ledger_app")
        books = [RawBook(app), RawBook(app), RawBook(app), RawBook(app, is_empty=True)]
        changed(books[1], {str(USD): {"balance_max": "9"}, str(EUR): {"balance_min": "2"}})
        changed(books[2], {str(USD): {"balance_max": "9"}}, None)
        migrate(url)

        found = [bounds(book) for book in books]

    assert found == [
        {(WALLET, USD): (None, 0)},
        {(WALLET, USD): (-9, None), (WALLET, EUR): (None, -2)},
        {},
        {},
    ]


def test_a_batch_that_began_before_its_books_got_bounds_is_tried_again(
    each_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """It would not see them, and leave them beside what it says itself."""
    with older(each_server, tmp_path) as url, psycopg.connect(url, autocommit=True) as app:
        app.execute("set role ledger_app")
        book = RawBook(app)
        app.isolation_level = IsolationLevel.SERIALIZABLE
        with book.writing():
            migrate(url)
            with pytest.raises(errors.SerializationFailure):
                book.move(1)
        changed(book, None)

        assert bounds(book) == {}


def test_what_has_no_bounds_is_vouched_for_where_it_is_asked_for(book: RawBook) -> None:
    """It may get some in the very batch that is vouched for; what is not there yet is not."""
    asked = ((CASH, USD), (WALLET, EUR), (SALES, EUR), (NEW, USD))

    vouched = book.vouch(*asked)

    assert '"account_ids":"{1,2,3}","asset_ids":"{1,2,2}"' in vouched.replace(" ", "")
    assert '"balances":"{100,0,0}{NULL,NULL,NULL}{NULL,NULL,NULL}"' in vouched.replace(" ", "")


def test_vouching_looks_each_place_up_by_its_own_index(each_server: EmbeddedPostgres) -> None:
    """Planned while there was hardly anything, it went by an index that holds every account of the ledger."""
    accounts, asked = 2_000, 10
    limits = {str(USD): {"balance_min": "0"}}
    with (
        fresh(each_server) as url,
        psycopg.connect(url, autocommit=True) as owner,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        migrate(url)
        connection.execute("set role ledger_app")
        for setting in LANE_SETTINGS:
            connection.execute(setting.encode())
        book = RawBook(connection)
        book.vouch((WALLET, USD), (CASH, EUR))
        with book.writing(accounts):
            numbers = range(accounts)
            book.accounts(*((NEXT + n, NEW + n, f"{n}", ASSET, limits if n % 2 else None) for n in numbers))

        def scans() -> dict[str, int]:
            connection.execute("select pg_stat_force_next_flush()")
            query = "select indexrelname, idx_scan from pg_stat_user_indexes where schemaname = 'ledger'"
            return dict(owner.execute(query).fetchall())

        before = scans()
        for n in range(asked):
            book.vouch((NEW + n, USD), (NEW + n, EUR))

        # Of each place its bounds, or else its account, and its entries of late and before.
        used = {index: count - before[index] for index, count in scans().items() if count > before[index]}
        assert used.pop("heads_pkey", asked) == asked
        assert used == {
            "bounds_pkey": 2 * asked,
            "accounts_pkey": 2 * asked - asked // 2,
            "entries_pkey": 4 * asked,
        }
