"""Which type an account has, from its name, as plain-text accounting's habits have it."""

import re
from collections.abc import Iterable, Sequence

from ledger_client.contract import (
    ACCOUNT_TYPE_ASSET,
    ACCOUNT_TYPE_EQUITY,
    ACCOUNT_TYPE_EXPENSE,
    ACCOUNT_TYPE_LIABILITY,
    ACCOUNT_TYPE_REVENUE,
    AccountType,
)

_WORDS = {
    re.compile(r"assets?", re.IGNORECASE): ACCOUNT_TYPE_ASSET,
    re.compile(r"liabilit(?:y|ies)|debts?", re.IGNORECASE): ACCOUNT_TYPE_LIABILITY,
    re.compile(r"equity|equities", re.IGNORECASE): ACCOUNT_TYPE_EQUITY,
    re.compile(r"(?:income|revenue)s?", re.IGNORECASE): ACCOUNT_TYPE_REVENUE,
    re.compile(r"expenses?", re.IGNORECASE): ACCOUNT_TYPE_EXPENSE,
}


class AccountTypes:
    """The caller's PREFIX=TYPE, the longest prefix first, then what the first segment says by itself."""

    def __init__(self, rules: Sequence[tuple[str, AccountType.ValueType]]) -> None:
        self._rules = sorted(rules, key=lambda rule: len(rule[0]), reverse=True)

    def of(self, name: str) -> AccountType.ValueType | None:
        """The account's type, or None where neither a rule nor a habit knows it."""
        for prefix, account_type in self._rules:
            if name == prefix or name.startswith(prefix + ":"):
                return account_type
        return type_named(name.partition(":")[0])


def type_named(word: str) -> AccountType.ValueType | None:
    """Assets, Liabilities (Debts), Equity, Income or Revenues, Expenses; one or many, in any case."""
    for pattern, account_type in _WORDS.items():
        if pattern.fullmatch(word):
            return account_type
    return None


def unknown_roots(names: Iterable[str], types: AccountTypes) -> list[str]:
    """The first segments under which at least one account has no type."""
    return sorted({name.partition(":")[0] for name in names if types.of(name) is None})
