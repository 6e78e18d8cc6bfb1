"""An import's keys name what a transaction says, so that a file can come again or longer."""

import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ledger_server.cli.content_keys import ContentKeys
from ledger_server.cli.journal_csv import CsvEntry, CsvTransaction, read_transactions


def transaction(
    *, day: int = 1, description: str = "coffee", amount: str = "2.80", account: str = "Assets:Cash"
) -> CsvTransaction:
    entries = (
        CsvEntry(2, account, Decimal(amount), "EUR"),
        CsvEntry(3, "Expenses:Food", Decimal(amount).copy_negate(), "EUR"),
    )
    return CsvTransaction(2, datetime.date(2024, 1, day), description, entries)


def keys(*transactions: CsvTransaction) -> list[str]:
    maker = ContentKeys()
    return [maker.key(each) for each in transactions]


def test_the_same_file_gives_the_same_keys_and_all_are_different(household: Path) -> None:
    with household.open("rb") as file:
        first = keys(*read_transactions(file))
        again = keys(*read_transactions(file))
    assert first == again
    assert len(set(first)) == len(first)


def test_a_longer_file_begins_with_the_same_keys() -> None:
    shorter = keys(transaction(), transaction())
    longer = keys(transaction(), transaction(day=2), transaction(), transaction())
    assert set(shorter) < set(longer)
    assert len(set(longer)) == 4


def test_equal_transactions_are_told_apart_by_their_ordinal() -> None:
    first, second = keys(transaction(), transaction())
    assert first.removesuffix(":1") == second.removesuffix(":2")


@pytest.mark.parametrize(
    "other",
    [
        transaction(day=2),
        transaction(description="tea"),
        transaction(amount="2.81"),
        transaction(amount="-2.80"),
        transaction(account="Assets:Bank"),
        CsvTransaction(2, transaction().date, "coffee", tuple(reversed(transaction().entries))),
    ],
)
def test_every_part_of_the_content_counts(other: CsvTransaction) -> None:
    assert keys(transaction()) != keys(other)


def test_an_amount_counts_by_its_value_and_the_place_in_the_file_not_at_all() -> None:
    moved = CsvTransaction(90, transaction().date, "coffee", transaction(amount="2.8").entries, (91,), ("x",))
    assert keys(transaction()) == keys(moved)


def test_parts_cannot_run_into_each_other() -> None:
    assert keys(transaction(description="a", account="bc")) != keys(
        transaction(description="ab", account="c")
    )


def test_a_key_is_short_enough_and_never_changes() -> None:
    """Keys are kept for ever by the ledgers that were filled with them: a new form would post all again."""
    (key,) = keys(transaction())
    assert key == "import:8f1abfc525fcc710f4908212352e2d4e79c59ee9f65685a0a47405f0f19f50dd:1"
    assert len(key) <= 128
