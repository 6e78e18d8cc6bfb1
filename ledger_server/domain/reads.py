"""What reads ask and answer, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ledger_server.domain.accounts import AccountType
from ledger_server.domain.chain import framed

# How many balances, of one account in one asset each, one aggregate adds up at most.
AGGREGATED_MAX = 500_000
# How many transactions one call examines at most under a filter without an index.
EXAMINED_MAX = 10_000


class BalanceAsk(NamedTuple):
    """One balance to read: asset "" asks for all, `at` 0 for now."""

    account: str
    asset: str
    at: int


class Balance(NamedTuple):
    """A posted balance in the account's normal sense, with the record that changed it last (0: none)."""

    asset: str
    posted: int
    last_sequence: int
    last_record_time: int


class BalanceAnswer(NamedTuple):
    """What was found for one ask: no type means no such account; `has_asset` is about a named asset."""

    type: AccountType | None
    has_asset: bool
    balances: tuple[Balance, ...]


class AggregateAsk(NamedTuple):
    """A sum of balances to read, of a prefix or of a set: the other is "".

    Asset "" asks for all, `at` 0 for now.
    """

    prefix: str
    set_name: str
    asset: str
    at: int


class AggregateBalance(NamedTuple):
    """A debit-positive sum of posted balances in one asset.

    With the record that changed one of them last (0: none), and how many accounts have
    entries in the asset.
    """

    asset: str
    posted: int
    last_sequence: int
    last_record_time: int
    accounts: int


class AggregateAnswer(NamedTuple):
    """The sums at a sequence, how many accounts there were, and the chart that said which (0: none)."""

    balances: tuple[AggregateBalance, ...]
    accounts: int
    chart_version: int
    sequence: int


@dataclass(frozen=True, slots=True)
class TransactionFilter:
    """Which transactions a list shows; None matches all. Times are microseconds."""

    account: str | None = None
    account_prefix: str | None = None
    kind: str | None = None
    effective_time_from: int | None = None
    effective_time_until: int | None = None
    record_time_from: int | None = None
    record_time_until: int | None = None
    external_ref: str | None = None
    metadata: Mapping[str, str] | None = None
    reversals: bool | None = None


class AccountEntry(NamedTuple):
    """One entry seen from its account; `balance_after` is debit-positive."""

    sequence: int
    line: int
    is_debit: bool
    amount: int
    asset: str
    balance_after: int
    kind: str
    effective_time: int
    record_time: int
    description: str | None


class SummedRow(NamedTuple):
    """Gross sums of an account's posted entries in one asset."""

    account: str
    type: AccountType
    asset: str
    scale: int
    debits: int
    credits: int


class AssetTotal(NamedTuple):
    """Gross sums of all posted entries in one asset."""

    asset: str
    scale: int
    debits: int
    credits: int


def sums_by_type(rows: Iterable[SummedRow]) -> list[SummedRow]:
    """The sums of rows per account type and asset, in that order."""
    sums: dict[tuple[int, bytes], SummedRow] = {}
    for row in rows:
        place = (int(row.type), row.asset.encode())
        known = sums.get(place) or SummedRow("", row.type, row.asset, row.scale, 0, 0)
        sums[place] = known._replace(debits=known.debits + row.debits, credits=known.credits + row.credits)
    return [sums[place] for place in sorted(sums)]


def sums_by_asset(rows: Iterable[SummedRow | AssetTotal]) -> list[AssetTotal]:
    """The sums of rows per asset, in bytewise order of asset code."""
    sums: dict[str, list[int]] = {}
    for row in rows:
        total = sums.setdefault(row.asset, [row.scale, 0, 0])
        total[1] += row.debits
        total[2] += row.credits
    return [AssetTotal(code, *sums[code]) for code in sorted(sums, key=str.encode)]


def trial_balance_bytes(rows: list[SummedRow]) -> bytes:
    """What the trial balance's digest covers: a version byte, then each row's fields, length-prefixed.

    Rows in bytewise order of account and asset; see docs/chain.md.
    """
    ordered = sorted(rows, key=lambda row: (row.account.encode(), row.asset.encode()))
    parts = [b"\x01"]
    for row in ordered:
        parts += [framed(row.account), framed(row.asset), framed(str(row.debits)), framed(str(row.credits))]
    return b"".join(parts)
