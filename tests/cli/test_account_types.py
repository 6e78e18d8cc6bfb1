"""An account's type follows from its first segment, unless the caller says otherwise."""

import pytest

from ledger_client.contract import (
    ACCOUNT_TYPE_ASSET,
    ACCOUNT_TYPE_EQUITY,
    ACCOUNT_TYPE_EXPENSE,
    ACCOUNT_TYPE_LIABILITY,
    ACCOUNT_TYPE_REVENUE,
    AccountType,
)
from ledger_server.cli.account_types import AccountTypes, unknown_roots


@pytest.mark.parametrize(
    ("name", "account_type"),
    [
        ("Assets:Cash", ACCOUNT_TYPE_ASSET),
        ("asset", ACCOUNT_TYPE_ASSET),
        ("LIABILITIES:Visa", ACCOUNT_TYPE_LIABILITY),
        ("liability:Visa", ACCOUNT_TYPE_LIABILITY),
        ("debts:Bob", ACCOUNT_TYPE_LIABILITY),
        ("Equity:Opening", ACCOUNT_TYPE_EQUITY),
        ("Income:Salary", ACCOUNT_TYPE_REVENUE),
        ("revenues", ACCOUNT_TYPE_REVENUE),
        ("Expense:Food", ACCOUNT_TYPE_EXPENSE),
        ("Assetsy:Cash", None),
        ("Cash:Assets", None),
    ],
)
def test_the_first_segment_says_the_type(name: str, account_type: AccountType.ValueType | None) -> None:
    assert AccountTypes([]).of(name) == account_type


def test_the_longest_prefix_of_whole_segments_wins_over_the_habit() -> None:
    types = AccountTypes(
        [
            ("Assets", ACCOUNT_TYPE_EQUITY),
            ("Assets:Loans", ACCOUNT_TYPE_LIABILITY),
            ("Kasse", ACCOUNT_TYPE_ASSET),
        ]
    )
    assert types.of("Assets:Cash") == ACCOUNT_TYPE_EQUITY
    assert types.of("Assets:Loans:Car") == ACCOUNT_TYPE_LIABILITY
    assert types.of("Assets:Loansome") == ACCOUNT_TYPE_EQUITY
    assert types.of("Kasse") == ACCOUNT_TYPE_ASSET
    assert types.of("Kassel") is None


def test_all_unknown_first_segments_are_listed_once() -> None:
    names = ["Zoo:b", "Assets:Cash", "Alpha", "Zoo:a"]
    assert unknown_roots(names, AccountTypes([])) == ["Alpha", "Zoo"]
