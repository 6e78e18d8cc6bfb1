"""A journal CSV is read strictly: what is good becomes transactions, what is bad names its line."""

import gc
import io
from decimal import Decimal
from pathlib import Path

import pytest

from ledger_server.cli.journal_csv import BadJournal, CsvTransaction, read_transactions

HEADER = "txnidx,date,description,account,amount,commodity\n"


def read(text: str) -> list[CsvTransaction]:
    return list(read_transactions(io.BytesIO(text.encode())))


def two(amount: str = "5", other: str = "-5", commodity: str = "EUR", account: str = "Assets:Cash") -> str:
    return (
        HEADER
        + f'1,2024-01-01,coffee,{account},"{amount}",{commodity}\n'
        + f'1,2024-01-01,coffee,Expenses:Café,"{other}",{commodity}\n'
    )


def test_the_household_is_read_whole(household: Path) -> None:
    with household.open("rb") as file:
        transactions = list(read_transactions(file))
    assert len(transactions) == 1125
    assert sum(len(transaction.entries) for transaction in transactions) == 3913
    first = transactions[0]
    assert first.date.isoformat() == "2024-01-01"
    assert first.description == "Opening Balance for checking account"
    assert [(entry.account, entry.amount) for entry in first.entries] == [
        ("Assets:US:BofA:Checking", Decimal("4310.67")),
        ("Equity:Opening-Balances", Decimal("-4310.67")),
    ]


def test_a_file_can_be_read_twice(household: Path) -> None:
    with household.open("rb") as file:
        assert sum(1 for _ in read_transactions(file)) == sum(1 for _ in read_transactions(file))


def test_other_columns_their_order_quotes_and_a_byte_order_mark_do_not_matter() -> None:
    text = (
        "\ufeff"
        '"amount","txnidx","date","date2","status","description","commodity","account","credit"\n'
        '"5","1","2024-01-01","","*","a ""quoted"" word, and\nanother line","$","Assets:Cash in hand",""\n'
        '"-5","1","2024-01-01","","*","a ""quoted"" word, and\nanother line","$","Équity:é",""\n'
    )
    (transaction,) = read(text)
    assert transaction.description == 'a "quoted" word, and\nanother line'
    assert [entry.account for entry in transaction.entries] == ["Assets:Cash in hand", "Équity:é"]
    assert [entry.line for entry in transaction.entries] == [2, 4]
    assert {entry.commodity for entry in transaction.entries} == {"$"}


def test_names_come_in_one_spelling_and_the_change_is_told() -> None:
    (transaction,) = read(two(account="Assets:Cafe\u0301"))
    assert transaction.entries[0].account == "Assets:Caf\u00e9"
    assert transaction.respelled == ("Assets:Caf\u00e9",)


def test_a_zero_line_is_left_out_and_told_even_without_a_commodity() -> None:
    (transaction,) = read(two() + "1,2024-01-01,coffee,Assets:Other,0,\n")
    assert len(transaction.entries) == 2
    assert transaction.zero_lines == (4,)


def test_a_transaction_of_zeros_only_has_no_entries() -> None:
    (transaction,) = read(two("0", "0.00"))
    assert (transaction.entries, transaction.zero_lines) == ((), (2, 3))


def test_digits_keep_their_full_length() -> None:
    (transaction,) = read(two("9" * 38, "-" + "9" * 38))
    assert transaction.entries[0].amount == Decimal("9" * 38)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 1, "there is no column txnidx, date"),
        ("txnidx,date,description,account,commodity\n", 1, "there is no column amount;"),
        (two("1,000.00", "-1,000.00"), 2, "'1,000.00' is not a plain decimal number"),
        (two("5,00", "-5,00"), 2, "'5,00' is not a plain decimal number"),
        (two("1e3", "-1e3"), 2, "not a plain decimal number"),
        (two("٥", "-٥"), 2, "not a plain decimal number"),
        (two("$5", "-$5"), 2, "not a plain decimal number"),
        (two("9" * 39, "-" + "9" * 39), 2, "not a plain decimal number"),
        (two("5", ""), 3, "the amount is empty"),
        (two("5", "-4"), 2, "transaction 1 is not balanced: off by 1 EUR"),
        (two("9" * 38, "-" + "9" * 37 + "8"), 2, "off by 1 EUR"),
        (two() + "2,2024-01-02,x,A,1,EUR\n2,2024-01-02,x,B,-2,USD\n", 4, "--infer-equity"),
        (two("5", "0"), 2, "not balanced"),
        (two(commodity="Choc Frogs"), 2, "the commodity 'Choc Frogs' holds a space; rename it"),
        (two(commodity=""), 2, "the commodity '' must be given"),
        (two(account="(Assets:Cash)"), 2, "virtual posting"),
        (two(account="Assets::Cash"), 2, "the account name 'Assets::Cash' has an empty segment"),
        (two(account="Assets: Cash"), 2, "starts or ends with a space"),
        (two(account=""), 2, "the account name '' must be given"),
        (two().replace("2024-01-01", "2024-02-30"), 2, "the date '2024-02-30' is not a day"),
        (two().replace("2024-01-01", "20240101"), 2, "the date '20240101' is not a day"),
        (two().replace("coffee", "x" * 256), 2, "the description has 256 characters"),
        (two() + "1,2024-01-02,coffee,A,1,EUR\n", 4, "another date or description than line 2"),
        (two() + "2,2024-01-02\n", 4, "2 cells where the header has 6"),
        (two() + '2,2024-01-02,"open', 4, "this is not CSV"),
        (HEADER + "1,2024-01-01,x,A,1,EUR\n" * 501 + "1,2024-01-01,x,B,-1,EUR\n" * 501, 2, "1002 entries"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(text: str, line: int, sentence: str) -> None:
    with pytest.raises(BadJournal) as caught:
        read(text)
    assert caught.value.line == line
    assert sentence in str(caught.value)


def test_a_file_in_another_encoding_is_refused_with_a_sentence() -> None:
    with pytest.raises(BadJournal, match="not UTF-8"):
        list(read_transactions(io.BytesIO(two().encode("latin-1"))))


def test_nothing_is_held_back_until_the_end_of_the_file() -> None:
    """The bad end of a file does not keep its good beginning from being streamed."""
    transactions = read_transactions(io.BytesIO((two() + "2,bad\n").encode()))
    with pytest.raises(BadJournal):
        next(transactions)
    transactions = read_transactions(
        io.BytesIO((two() + two().removeprefix(HEADER).replace("1,2024", "2,2024") + "3,bad\n").encode())
    )
    assert next(transactions).description == "coffee"


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_reader_dropped_after_its_file_leaves_in_silence(household: Path) -> None:
    with household.open("rb") as file:
        transactions = read_transactions(file)
        next(transactions)
    del transactions
    gc.collect()
