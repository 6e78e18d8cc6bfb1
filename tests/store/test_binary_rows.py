"""Rows in PostgreSQL's binary format: the database reads in them exactly what was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest
from builders import NOON
from clusters import Database

from ledger_server.domain.accounts import Account, AccountType, Asset
from ledger_server.domain.amounts import AMOUNT_MAX
from ledger_server.domain.parameters import Item, Parameters
from ledger_server.domain.transactions import Entry, TemplateUse, Transaction
from ledger_server.store import binary_rows

CASH, USD = Account.of(2**62 + 1, "cash", AccountType.ASSET), Asset.of(2**31 - 1, "USD", 2)
# Where a number gets one more digit, in base 10 as in base 10,000.
EDGES = sorted(
    {AMOUNT_MAX, 12_345_678_901, *(10**power + step for power in range(38) for step in (-1, 0, 1))}
)


def transaction(sequence: int, entries: tuple[Entry, ...] = (), **changes: object) -> Transaction:
    """A transaction of which nothing was given but what is said here."""
    plain = Transaction(
        sequence, "", "", entries, NOON, False, NOON, "", "", {}, "", 0, bytes(16), bytes(range(32))
    )
    return plain._replace(**changes)  # type: ignore[arg-type]


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The owner's."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("set time zone 'UTC'")
        yield connection


def type_of(connection: psycopg.Connection[tuple[object, ...]], name: str) -> int:
    """The number of a type."""
    found = connection.execute("select %s::regtype::oid::bigint", [name]).fetchone()
    assert found is not None
    return int(str(found[0]))


def read(
    connection: psycopg.Connection[tuple[object, ...]], columns: str, name: str, rows: bytes
) -> list[list[str | None]]:
    """The rows as the database sees them, each column as text."""
    statement = f"select {columns} from unnest($1::{name}[])".encode()
    result = connection.pgconn.exec_params(statement, [rows], param_formats=[1])
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
    return [
        [
            None if value is None else value.decode()
            for value in (result.get_value(row, column) for column in range(result.nfields))
        ]
        for row in range(result.ntuples)
    ]


def test_every_amount_and_balance_arrives_as_it_is(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    numbers = [sign * number for number in EDGES for sign in (1, -1)]
    entries = tuple(
        Entry(CASH, number >= 0, abs(number), USD, balance)
        for number, balance in zip(numbers, reversed(numbers), strict=True)
    )

    rows = binary_rows.entries([transaction(2**62, entries)], type_of(connection, "ledger.entry_row"))

    seen = read(connection, "*", "ledger.entry_row", rows)
    assert seen == [
        [
            str(CASH.account_id),
            str(USD.asset_id),
            str(2**62),
            str(index),
            "1" if entry.is_debit else "2",
            str(entry.amount),
            str(entry.balance_after),
        ]
        for index, entry in enumerate(entries)
    ]


def test_numbers_are_equal_to_the_database_s_own(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    """A number with digits that are too large, or with zeros in front, may be shown well and compare ill."""
    entries = tuple(Entry(CASH, True, number, USD, -number) for number in EDGES)

    rows = binary_rows.entries([transaction(7, entries)], type_of(connection, "ledger.entry_row"))

    columns = (
        "amount = amount::text::numeric, balance_after = balance_after::text::numeric, amount + balance_after"
    )
    assert read(connection, columns, "ledger.entry_row", rows) == [["t", "t", "0"]] * len(entries)


def test_every_field_of_a_transaction_arrives_as_it_is(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    metadata = {"quote": 'a "b" \\ c', "Größe": "☃ \U0001f9fe", "": "line\nbreak\ttab"}
    full = transaction(
        2**62,
        kind="fee",
        idempotency_key="k ☃",
        # A second before 1970, where PostgreSQL counts backwards from 2000.
        effective_time=-1_000_001,
        effective_time_given=True,
        created_by="tester",
        description="Übertrag",
        metadata=metadata,
        external_ref="ref",
        reverses=2**61,
        salt=bytes(range(16)),
    )

    rows = binary_rows.transactions([transaction(1), full], type_of(connection, "ledger.transaction_row"))

    plain, given = read(connection, "*", "ledger.transaction_row", rows)
    digest = f"\\x{bytes(range(32)).hex()}"
    noon = "2026-09-21 14:13:20+00"
    assert plain == ["1", None, "", noon, "f", "", None, "", "{}", "", f"\\x{bytes(16).hex()}", digest]
    assert given[8] is not None
    assert json.loads(given.pop(8) or "") == metadata
    assert given == [
        str(2**62),
        "k ☃",
        "fee",
        "1969-12-31 23:59:58.999999+00",
        "t",
        "tester",
        str(2**61),
        "Übertrag",
        "ref",
        f"\\x{bytes(range(16)).hex()}",
        digest,
    ]


def test_what_most_transactions_leave_empty_arrives_as_it_is(
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    given = Parameters({"amount": "5", "quote": 'a "b" ☃'}, (Item("items", {"sku": "x"}),))
    records = [
        transaction(2),
        transaction(3, reverses=2, forced=True),
        transaction(4, series="receipts:☃", number=2**62),
        transaction(5, template=TemplateUse("top-up", 7, given)),
        transaction(6, template=TemplateUse("top-up", 2**31 - 1, None)),
    ]

    rows = binary_rows.transactions(
        records, type_of(connection, "ledger.full_transaction_row"), are_full=True
    )

    columns = "sequence, reverses, hash, forced, series, number, template, template_version, parameters"
    arrived = read(connection, columns, "ledger.full_transaction_row", rows)
    digest = f"\\x{bytes(range(32)).hex()}"
    made = arrived[3].pop()
    assert json.loads(made or "") == {
        "values": {"amount": "5", "quote": 'a "b" ☃'},
        "items": [["items", {"sku": "x"}]],
    }
    assert arrived == [
        ["2", None, digest, None, None, None, None, None, None],
        ["3", "2", digest, "t", None, None, None, None, None],
        ["4", None, digest, None, "receipts:☃", str(2**62), None, None, None],
        ["5", None, digest, None, None, None, "top-up", "7"],
        ["6", None, digest, None, None, None, "top-up", str(2**31 - 1), None],
    ]
