"""hledger reads what we write as it was meant, also where its grammar could take it for something else."""

import csv
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tools_needed import needed

from ledger_client.contract import (
    ACCOUNT_TYPE_ASSET,
    ACCOUNT_TYPE_REVENUE,
    SIDE_CREDIT,
    SIDE_DEBIT,
    Account,
    Asset,
    Entry,
    Transaction,
)
from ledger_server.cli.hledger_journal import HledgerJournal, NotRepresentable

NAMES = [
    "Assets:Cash in hand",
    "Assets:Café",
    "Assets:two  spaces",
    "Assets:a ; b",
    "* starred",
    "!x",
    "(virtual)",
    "[balanced]",
    "1000 Cash",
    '"quoted"',
    "#hash",
    "@at =3",
    "Assets:a|b",
]
COMMODITIES = [("EUR", 2), ("$", 2), ("€", 0), ("US1", 3), ("A-B", 18), ("{x}", 0), ("'", 1), ("株", 0)]
DESCRIPTIONS = [
    "plain",
    "",
    "* star",
    "! mark",
    "(code) like",
    "=2024-01-01 date like",
    "payee | note",
    "two\nlines",
]


def transaction(account: str, asset: str, amount: str, description: str) -> Transaction:
    when = Timestamp()
    when.FromDatetime(datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC))
    return Transaction(
        effective_time=when,
        description=description,
        entries=[
            Entry(account=account, side=SIDE_DEBIT, amount=amount, asset=asset),
            Entry(account="other", side=SIDE_CREDIT, amount=amount, asset=asset),
        ],
    )


def journal_of(*names: str) -> HledgerJournal:
    accounts = [Account(name=name, type=ACCOUNT_TYPE_ASSET) for name in names]
    accounts.append(Account(name="other", type=ACCOUNT_TYPE_REVENUE))
    return HledgerJournal(accounts, [Asset(code=code, scale=scale) for code, scale in COMMODITIES])


def hledger(path: Path, *arguments: str) -> str:
    needed("hledger", "install hledger")
    done = subprocess.run(["hledger", "-f", path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hledger_reads_every_awkward_name_as_the_same_entries(tmp_path: Path) -> None:
    journal = journal_of(*NAMES)
    transactions = [
        transaction(name, code, "1234567", DESCRIPTIONS[(place + shift) % len(DESCRIPTIONS)])
        for place, name in enumerate(NAMES)
        for shift, (code, _) in enumerate(COMMODITIES)
    ]
    path = tmp_path / "out.journal"
    path.write_text(
        "".join(journal.head()) + "".join(map(journal.transaction, transactions)), encoding="utf-8"
    )
    hledger(path, "check", "-s")
    rows = list(csv.DictReader(hledger(path, "print", "-x", "-O", "csv").splitlines()))
    assert len(rows) == 2 * len(transactions)
    scales = dict(COMMODITIES)
    for number, (asked, row) in enumerate(zip(transactions, rows[::2], strict=True), start=1):
        entry = asked.entries[0]
        scale = scales[entry.asset]
        assert int(row["txnidx"]) == number
        assert (row["date"], row["commodity"]) == ("2024-02-29", entry.asset)
        assert row["description"] == asked.description.replace("\n", " ")
        assert row["account"] in (entry.account, EXPECTED_NAMES.get(entry.account))
        assert row["amount"].replace(".", "").lstrip("0") == "1234567"
        assert len(row["amount"].partition(".")[2]) == scale


EXPECTED_NAMES = {
    "Assets:two  spaces": "Assets:two _spaces",
    "Assets:a ; b": "Assets:a _ b",
    "* starred": "_ starred",
    "!x": "_x",
    "(virtual)": "_virtual)",
    "[balanced]": "_balanced]",
}


def test_the_longest_amount_keeps_every_digit() -> None:
    journal = journal_of("long")
    units = "12345678901234567890123456789012345678"
    text = journal.transaction(transaction("long", "A-B", units, "x"))
    assert f'    long  {units[:20]}.{units[20:]} "A-B"\n' in text
    assert f'    other  -{units[:20]}.{units[20:]} "A-B"\n' in text


def test_a_semicolon_cannot_turn_the_rest_of_a_description_into_a_comment() -> None:
    text = journal_of("a").transaction(transaction("a", "EUR", "1", "one; two"))
    assert text.startswith("2024-02-29 one, two\n")


def test_two_names_that_would_become_one_are_refused() -> None:
    with pytest.raises(NotRepresentable, match=r"'a;b' and 'a_b' would both be written as 'a_b'"):
        journal_of("a;b", "a_b")


@pytest.mark.parametrize("code", ['a"b', "a;b"])
def test_an_asset_that_cannot_be_quoted_is_refused(code: str) -> None:
    with pytest.raises(NotRepresentable, match="no hledger journal can hold"):
        HledgerJournal([], [Asset(code=code, scale=0)])
