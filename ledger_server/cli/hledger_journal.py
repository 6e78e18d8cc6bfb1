"""Writing a transaction as hledger reads it, so that `hledger check -s` passes and every balance is the same.

hledger's grammar is looser than our names. What would be read as something else is
written so that it is not: a commodity is quoted unless it is letters or one sign, a
description that begins like a status or a code follows an empty code, and a
character that would end a name becomes '_'. Two names that would become one are
refused: their balances would run together.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from ledger_client.contract import (
    ACCOUNT_TYPE_ASSET,
    ACCOUNT_TYPE_EQUITY,
    ACCOUNT_TYPE_EXPENSE,
    ACCOUNT_TYPE_LIABILITY,
    ACCOUNT_TYPE_REVENUE,
    SIDE_DEBIT,
    Account,
    Asset,
    Transaction,
)
from ledger_client.decimals import from_minor_units

_TYPE_LETTERS = {
    ACCOUNT_TYPE_ASSET: "A",
    ACCOUNT_TYPE_LIABILITY: "L",
    ACCOUNT_TYPE_EQUITY: "E",
    ACCOUNT_TYPE_REVENUE: "R",
    ACCOUNT_TYPE_EXPENSE: "X",
}
# A comment, a second space in a row (which ends an account's name), and at the start of a
# posting a status mark or the bracket of a virtual posting.
_ACCOUNT_TROUBLE = re.compile(r";|(?<=\s)\s|^[*!(\[]")
# A comment, or what would end the line.
_DESCRIPTION_TROUBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_PLAIN_COMMODITY = re.compile(r"[A-Za-z]+|[$€£¥₹₽₿¢]")


class NotRepresentable(Exception):
    """A name that an hledger journal cannot hold, or not apart from another one."""


class HledgerJournal:
    """Writes one ledger's transactions; made from all of its accounts and assets."""

    def __init__(self, accounts: Iterable[Account], assets: Iterable[Asset]) -> None:
        self._types = {account.name: account.type for account in accounts}
        self._scales = {asset.code: asset.scale for asset in assets}
        self._accounts = _distinct_names(self._types)
        self._commodities = {code: _commodity(code) for code in self._scales}

    def head(self) -> Iterator[str]:
        """The directives: the decimal mark, every commodity with its scale, every account with its type."""
        yield "decimal-mark .\n\n"
        for code, commodity in self._commodities.items():
            # A directive's amount needs its decimal mark, also without decimals.
            yield f"commodity 1000.{'0' * self._scales[code]} {commodity}\n"
        yield "\n"
        for name, account_type in self._types.items():
            yield f"account {self._accounts[name]}  ; type:{_TYPE_LETTERS[account_type]}\n"
        yield "\n"

    def transaction(self, transaction: Transaction) -> str:
        """One transaction, followed by an empty line."""
        day = transaction.effective_time.ToDatetime().date().isoformat()
        lines = [f"{day} {_description(transaction.description)}".rstrip()]
        for entry in transaction.entries:
            amount = signed(entry.side, entry.amount, self._scales[entry.asset])
            lines.append(f"    {self._accounts[entry.account]}  {amount:f} {self._commodities[entry.asset]}")
        return "\n".join(lines) + "\n\n"


def signed(side: int, amount: str, scale: int) -> Decimal:
    """The amount in the asset's own unit, debit positive, with all its decimals."""
    value = from_minor_units(amount, scale)
    # Not `-value`: arithmetic would round a long amount to the context's precision.
    return value if side == SIDE_DEBIT else value.copy_negate()


def _distinct_names(names: Iterable[str]) -> Mapping[str, str]:
    written = {name: _ACCOUNT_TROUBLE.sub("_", name) for name in names}
    taken: dict[str, str] = {}
    for name, text in written.items():
        if text in taken:
            raise NotRepresentable(f"accounts {taken[text]!r} and {name!r} would both be written as {text!r}")
        taken[text] = name
    return written


def _commodity(code: str) -> str:
    if _PLAIN_COMMODITY.fullmatch(code):
        return code
    if '"' in code or ";" in code:
        raise NotRepresentable(f'no hledger journal can hold the asset {code!r}: it has a " or a ;')
    return f'"{code}"'


def _description(text: str) -> str:
    text = _DESCRIPTION_TROUBLE.sub(" ", text).replace(";", ",").strip()
    return f"() {text}" if text[:1] in ("*", "!", "(", "=") else text
