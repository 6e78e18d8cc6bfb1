"""A journal replayed from its rows, in plain Python: what stood past a bound, or in an account that was shut.

Nothing here knows the service: rows are read as the database's owner, and a balance
is what the entries add up to. A transaction is judged by its net effect on each
account and asset, against the limits that stood when it was recorded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg

# Accounts whose balance is what was debited less what was credited: ASSET and EXPENSE.
_DEBIT_NORMAL = (1, 5)
_OPEN = 1
_DEBIT = 1

# Bounds by asset: balance_min and balance_max, as text.
Limits = Mapping[str, Mapping[str, str]]


class Version(NamedTuple):
    """An account as one record left it."""

    sequence: int
    account: int
    type: int
    status: int
    limits: Limits
    opened_by_posting: bool


class Line(NamedTuple):
    """One entry."""

    account: int
    asset: int
    side: int
    amount: int


class Posted(NamedTuple):
    """One transaction."""

    sequence: int
    forced: bool
    lines: Sequence[Line]


@dataclass
class Replayed:
    """What a replay came to."""

    faults: list[str] = field(default_factory=list)
    # By account and asset, on the account's normal side.
    balances: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    # How many moves went toward a bound that stood; how many of them past it, with force.
    toward: int = 0
    forced_past: int = 0


def replayed(versions: Sequence[Version], posted: Sequence[Posted]) -> Replayed:
    """Every transaction by sequence, each against the versions of its accounts that stood then."""
    found = Replayed()
    standing: dict[int, Version] = {}
    # An account that a posting opened is there for that posting.
    waiting = sorted(versions, key=lambda one: (one.sequence, one.account))
    for one in sorted(posted, key=lambda one: one.sequence):
        while waiting and waiting[0].sequence <= one.sequence:
            version = waiting.pop(0)
            if version.sequence == one.sequence and not version.opened_by_posting:
                found.faults.append(f"{one.sequence}: two records of one sequence")
            standing[version.account] = version
        _judge(found, standing, one)
    return found


def _judge(found: Replayed, standing: Mapping[int, Version], one: Posted) -> None:
    moved: dict[tuple[int, int], int] = defaultdict(int)
    for line in one.lines:
        is_plus = (line.side == _DEBIT) == (standing[line.account].type in _DEBIT_NORMAL)
        moved[line.account, line.asset] += line.amount if is_plus else -line.amount
    for (account, asset), change in moved.items():
        version = standing[account]
        before = found.balances[account, asset]
        after = found.balances[account, asset] = before + change
        if version.status != _OPEN:
            found.faults.append(f"{one.sequence}: account {account} had status {version.status}")
        bounds = version.limits.get(str(asset), {})
        low, high = bounds.get("balance_min"), bounds.get("balance_max")
        is_toward = (change < 0 and low is not None) or (change > 0 and high is not None)
        is_past = (change < 0 and low is not None and after < int(low)) or (
            change > 0 and high is not None and after > int(high)
        )
        found.toward += is_toward
        found.forced_past += is_past and one.forced
        if is_past and not one.forced:
            found.faults.append(
                f"{one.sequence}: account {account} went from {before} to {after}, and not within {bounds}"
            )


def journal_of(owner_url: str, ledger: str) -> tuple[list[Version], list[Posted], dict[tuple[int, int], int]]:
    """A ledger's versions of accounts, its transactions, and by account and asset the newest running balance.

    The running balance is the database's own, turned to the account's normal side.
    """
    with psycopg.connect(owner_url) as connection:

        def rows(query: str) -> list[Any]:
            named = "with named as (select ledger_id from ledger.directory where name = %s) "
            return connection.execute(named + query, [ledger]).fetchall()

        versions = [
            Version(sequence, account, kind, status, limits or {}, bool(opened))
            for sequence, account, kind, status, limits, opened in rows(
                "select sequence, account_id, type, status, limits, opened_by_posting"
                " from ledger.accounts join named using (ledger_id)"
            )
        ]
        lines: dict[int, list[Line]] = defaultdict(list)
        for sequence, account, asset, side, amount in rows(
            "select sequence, account_id, asset_id, side, amount"
            " from ledger.entries join named using (ledger_id) order by sequence, index"
        ):
            lines[sequence].append(Line(account, asset, side, int(amount)))
        posted = [
            Posted(sequence, bool(forced), lines[sequence])
            for sequence, forced in rows(
                "select sequence, forced from ledger.transactions join named using (ledger_id)"
            )
        ]
        kinds = {version.account: version.type for version in versions}
        newest = {
            (account, asset): int(balance) if kinds[account] in _DEBIT_NORMAL else -int(balance)
            for account, asset, balance in rows(
                "select distinct on (account_id, asset_id) account_id, asset_id, balance_after"
                " from ledger.entries join named using (ledger_id)"
                " order by account_id, asset_id, sequence desc, index desc"
            )
        }
    return versions, posted, newest
