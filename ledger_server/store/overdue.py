"""Charges and overdue balances of one ledger at a sequence and a moment, one statement each."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from ledger_server.domain.overdue import (
    ACCOUNTS_MAX,
    ENTRIES_MAX,
    Accounts,
    Charge,
    Moment,
    OverdueBalance,
)
from ledger_server.store import rows
from ledger_server.store.connection import ServiceConnection
from ledger_server.store.roundtrip import RoundTrip
from ledger_server.store.sql import Statement, statements

_SQL = statements("overdue")
_BEFORE_ALL = ("-infinity", 0, 0)


class Walk(NamedTuple):
    """A walk over accounts: what it found, where it ended, and what it was of.

    `go_on` is the name to go on from, None where no account is left. `has_last`: the last account
    that was looked at is one that was asked for, and was there. `too_many` is the account that alone
    has more entries than a walk reads.
    """

    head: int
    at: int
    as_of: int
    has_asset: bool
    has_last: bool
    too_many: str
    balances: list[OverdueBalance]
    go_on: str | None


class FoundCharges(NamedTuple):
    """An account's charges, and what they are of; `has_too_many` entries were not read to their end."""

    head: int
    at: int
    as_of: int
    has_asset: bool
    has_account: bool
    has_too_many: bool
    charges: list[Charge]


class Overdue:
    """One ledger over one borrowed connection. READ COMMITTED, READ ONLY; use within one `with`."""

    def __init__(self, connection: ServiceConnection, ledger_id: int) -> None:
        self._trip = RoundTrip(connection)
        self._ledger_id = ledger_id

    def walk(self, accounts: Accounts, asset: str, days: int, moment: Moment, count: int) -> Walk:
        """Accounts in order of name, up to so many with something overdue."""
        name = accounts.name
        found = self._ask(
            _SQL.accounts,
            moment,
            asset=asset,
            prefix=name,
            start=accounts.start or name,
            # Behind the name itself, or behind all that lie below it.
            until=name + ("\x01" if accounts.is_one else ";"),
            days=days,
            count=count,
            accounts_max=ACCOUNTS_MAX,
            entries_max=ENTRIES_MAX,
        )
        head, at, as_of, has_asset = found[0][:4]
        place, is_meant, last_name, go_on, examined, found_count = found[-1][4:10]
        is_cut = examined > ENTRIES_MAX
        is_at_end = not is_cut and found_count < count and place < ACCOUNTS_MAX
        balances = [
            _balance(row) for row in found[1:] if row[10] is not None and not (is_cut and row[4] == place)
        ]
        return Walk(
            head,
            at,
            rows.micros(as_of),
            has_asset,
            is_meant,
            last_name if is_cut and place == 1 else "",
            balances,
            # An account that was not read to its end is the next one's first.
            None if is_at_end else last_name if is_cut else go_on,
        )

    def charges(
        self,
        account: str,
        asset: str,
        moment: Moment,
        *,
        unpaid_only: bool,
        after: tuple[int, int, int] | None,
        count: int,
    ) -> FoundCharges:
        """An account's next charges after one's (effective_time, sequence, line)."""
        time, sequence, line = (rows.moment(after[0]), *after[1:]) if after else _BEFORE_ALL
        found = self._ask(
            _SQL.charges,
            moment,
            account=account,
            asset=asset,
            unpaid_only=unpaid_only,
            after_time=time,
            after_sequence=sequence,
            after_index=line,
            count=count,
            entries_max=ENTRIES_MAX,
        )
        head, at, as_of, has_asset, has_account, lines = found[0][:6]
        charges = [_charge(*row[6:]) for row in found if row[6] is not None]
        return FoundCharges(
            head, at, rows.micros(as_of), has_asset, has_account, lines > ENTRIES_MAX, charges
        )

    def _ask(self, statement: Statement, moment: Moment, **parameters: object) -> list[Any]:
        self._trip.ask(_SQL.set_ledger, ledger_id=self._ledger_id)
        answer = self._trip.ask(
            statement,
            ledger_id=self._ledger_id,
            at=moment.at,
            as_of=None if moment.as_of is None else rows.moment(moment.as_of),
            **parameters,
        )
        self._trip.go()
        return answer.rows()


def _balance(row: Any) -> OverdueBalance:
    _, _, name, _, _, _, overdue, balance, effective_time, sequence, index, amount, remaining = row[4:]
    oldest = _charge(sequence, index, effective_time, amount, remaining, None)
    return OverdueBalance(name, int(overdue), int(balance), oldest)


def _charge(
    sequence: int,
    index: int,
    effective_time: datetime,
    amount: Any,
    remaining: Any,
    settled_at: datetime | None,
) -> Charge:
    return Charge(
        sequence,
        index,
        rows.micros(effective_time),
        int(amount),
        int(remaining),
        None if settled_at is None else rows.micros(settled_at),
    )
