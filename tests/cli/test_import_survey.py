"""One pass over a file finds the scale of every commodity and every account, and keeps no transaction."""

import io
from pathlib import Path

from ledger_server.cli.import_plan import Survey, survey
from ledger_server.cli.journal_csv import read_transactions

HEADER = "txnidx,date,description,account,amount,commodity\n"


def survey_of(*amounts: str) -> Survey:
    rows = [
        f"{number},2024-01-01,x,Assets:A,{amount},EUR\n{number},2024-01-01,x,Assets:B,-{amount},EUR\n"
        for number, amount in enumerate(amounts)
    ]
    return survey(read_transactions(io.BytesIO((HEADER + "".join(rows)).encode())))


def test_the_household_has_nine_commodities_and_its_accounts(household: Path) -> None:
    with household.open("rb") as file:
        found = survey(read_transactions(file))
    assert found.transactions == 1125
    assert len(found.accounts) == 62
    assert found.scales == {
        "USD": 2,
        "IRAUSD": 2,
        "VACHR": 0,
        "VBMPX": 3,
        "RGAGX": 3,
        "VHT": 0,
        "VEA": 0,
        "ITOT": 0,
        "GLD": 0,
    }


def test_a_new_asset_gets_the_most_decimals_written() -> None:
    assert survey_of("5", "5.00", "5.1").scales == {"EUR": 2}


def test_an_asset_that_exists_must_hold_the_most_decimals_needed() -> None:
    """5.000 needs none: the entry to look at is the first with 4.25's two."""
    found = survey_of("5.000", "4.250", "1.75", "3.5")
    assert found.finest["EUR"].line == 4


def test_transactions_without_entries_are_counted_apart() -> None:
    found = survey_of("5", "0")
    assert (found.transactions, found.empty_lines, found.zero_lines) == (1, [4], [4, 5])
