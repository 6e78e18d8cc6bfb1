"""Sums of balances of many accounts of one ledger at a sequence, and the account sets that name them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ledger_server.domain.reads import AggregateBalance
from ledger_server.domain.sets import AccountSet, Reach
from ledger_server.store import rows
from ledger_server.store.chart_rows import account_set
from ledger_server.store.connection import ServiceConnection
from ledger_server.store.roundtrip import RoundTrip
from ledger_server.store.sql import Statement, statements

_SQL = statements("aggregating")


class Aggregate(NamedTuple):
    """How many accounts and assets were asked for, and what they add up to; `balances` by asset code.

    Where they are more than may be added up, there are no sums, and of the accounts no more
    than that were counted.
    """

    accounts: int
    assets: int
    balances: list[AggregateBalance]


class Aggregating:
    """One ledger over one borrowed connection. READ COMMITTED, READ ONLY; use within one `with`."""

    def __init__(self, connection: ServiceConnection, ledger_id: int) -> None:
        self._trip = RoundTrip(connection)
        self._ledger_id = ledger_id

    def sets(self, at: int) -> tuple[int, list[AccountSet]]:
        """The version of the chart that stood at a sequence, 0 for none, and its account sets."""
        found = self._ask(_SQL.chart_sets, at=at)
        if not found:
            return 0, []
        version, sets = found[0]
        return version, [account_set(one) for one in sets]

    def aggregate(self, reach: Reach, asset: str, at: int, most: int) -> Aggregate:
        """The sums of an asset, or of all, unless more than `most` balances would have to be added up."""
        found = self._ask(
            _SQL.aggregate,
            # An account of a prefix's very name belongs to it.
            names=[*reach.names, *reach.prefixes],
            prefixes=list(reach.prefixes),
            code=asset,
            at=at,
            most=most,
        )
        accounts, assets = found[0][:2]
        balances = [
            AggregateBalance(code, 0, 0, 0, 0)
            if sequence is None
            else AggregateBalance(code, int(posted), sequence, rows.micros(record_time), count)
            for _, _, code, posted, sequence, record_time, count in found
            if sequence is not None or (code is not None and asset)
        ]
        # A ledger's assets are few, and read by whichever index.
        return Aggregate(accounts, assets, sorted(balances, key=lambda balance: balance.asset.encode()))

    def _ask(self, statement: Statement, **parameters: object) -> list[Any]:
        self._trip.ask(_SQL.set_ledger, ledger_id=self._ledger_id)
        found = self._trip.ask(statement, ledger_id=self._ledger_id, **parameters)
        self._trip.go()
        return found.rows()
