"""Sums of balances, as the client asks for them and shows them."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from ledger.v1 import ledger_service_pb2 as pb

from ledger_client import reading
from ledger_client.asks import Ask


@dataclass(frozen=True, slots=True)
class Below:
    """The accounts whose names are this path or lie below it."""

    path: str


@dataclass(frozen=True, slots=True)
class InSet:
    """The accounts of a set of the ledger's chart."""

    name: str


Of: TypeAlias = Below | InSet


@dataclass(frozen=True, slots=True)
class AggregateBalance:
    """A debit-positive sum of balances in one asset, of `account_count` accounts with entries in it.

    `last_sequence` is of the transaction that changed one of them last, 0 for none.
    """

    asset: str
    posted: int
    last_sequence: int
    last_record_time: datetime | None
    account_count: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Sums of balances at `sequence`, in order of asset code, and how many accounts there were.

    `chart_version` is of the chart that had the set, 0 where none was asked for.
    """

    balances: tuple[AggregateBalance, ...]
    account_count: int
    chart_version: int
    sequence: int


def get_aggregate_balance(ledger: str, of: Of, asset: str, at_sequence: int) -> Ask[Aggregate]:
    """LedgerService.GetAggregateBalance."""
    request = pb.GetAggregateBalanceRequest(ledger=ledger, asset=asset, at_sequence=at_sequence)
    if isinstance(of, Below):
        request.account_prefix = of.path
    else:
        request.account_set = of.name
    return Ask("ledger", "GetAggregateBalance", request, _aggregate, ledger)


def _aggregate(message: pb.GetAggregateBalanceResponse) -> Aggregate:
    return Aggregate(
        balances=tuple(
            AggregateBalance(
                asset=one.asset,
                posted=int(one.posted),
                last_sequence=one.last_sequence,
                last_record_time=(
                    reading.moment(one.last_record_time) if one.HasField("last_record_time") else None
                ),
                account_count=one.account_count,
            )
            for one in message.balances
        ),
        account_count=message.account_count,
        chart_version=message.chart_version,
        sequence=message.sequence,
    )
