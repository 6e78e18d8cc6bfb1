"""What is owed and since when: read at one sequence and one moment, nothing kept."""

from __future__ import annotations

from ledger_server.domain.overdue import (
    ENTRIES_MAX,
    Accounts,
    ChargePage,
    Moment,
    OverdueBalance,
    OverduePage,
)
from ledger_server.domain.refusals import AccountNotFound, AssetNotFound, TooManyEntries
from ledger_server.service.reads import Reads, check_reached
from ledger_server.store.overdue import Overdue, Walk


class OverdueReads:
    """Answers what accounts owe."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    def by_account(
        self,
        ledger: str,
        accounts: Accounts,
        asset: str,
        days: int,
        moment: Moment,
        count: int,
        min_sequence: int,
    ) -> OverduePage:
        """A page in order of name. Raises refusals."""
        walk = self._walk(ledger, accounts, asset, days, moment, count, min_sequence)
        if walk.too_many:
            raise _too_many(walk.too_many, asset)
        return OverduePage(walk.balances, None if accounts.is_one else walk.go_on, walk.at, walk.as_of)

    def oldest_first(
        self, ledger: str, accounts: Accounts, asset: str, days: int, moment: Moment, min_sequence: int
    ) -> OverduePage:
        """All of them, the one with the oldest unpaid charge first. Raises refusals."""
        walk = self._walk(ledger, accounts, asset, days, moment, 2**31, min_sequence)
        if walk.too_many or walk.go_on is not None:
            raise _too_many(walk.too_many or accounts.name, asset)
        return OverduePage(sorted(walk.balances, key=_age), None, walk.at, walk.as_of)

    def charges(
        self,
        ledger: str,
        account: str,
        asset: str,
        moment: Moment,
        *,
        unpaid_only: bool,
        after: tuple[int, int, int] | None,
        count: int,
        min_sequence: int,
    ) -> ChargePage:
        """A page of an account's charges, the oldest first. Raises refusals."""
        with self._reads.reading(ledger, min_sequence) as reading:
            found = Overdue(reading.connection, reading.ledger_id).charges(
                account, asset, moment, unpaid_only=unpaid_only, after=after, count=count + 1
            )
        check_reached(ledger, found.head, found.at)
        if not found.has_account:
            raise _no_account(ledger, account)
        if not found.has_asset:
            raise _no_asset(ledger, asset)
        if found.has_too_many:
            raise _too_many(account, asset)
        return ChargePage(found.charges[:count], len(found.charges) > count, found.at, found.as_of)

    def _walk(
        self,
        ledger: str,
        accounts: Accounts,
        asset: str,
        days: int,
        moment: Moment,
        count: int,
        min_sequence: int,
    ) -> Walk:
        with self._reads.reading(ledger, min_sequence) as reading:
            walk = Overdue(reading.connection, reading.ledger_id).walk(accounts, asset, days, moment, count)
        check_reached(ledger, walk.head, walk.at)
        if accounts.is_one and not walk.has_last:
            raise _no_account(ledger, accounts.name)
        if not walk.has_asset:
            raise _no_asset(ledger, asset)
        return walk


def _age(one: OverdueBalance) -> tuple[int, bytes]:
    return one.oldest_unpaid.effective_time, one.account.encode()


def _no_account(ledger: str, account: str) -> AccountNotFound:
    return AccountNotFound(f"no account {account!r} in ledger {ledger!r}", account=account)


def _no_asset(ledger: str, asset: str) -> AssetNotFound:
    return AssetNotFound(f"no asset {asset!r} in ledger {ledger!r}", asset=asset)


def _too_many(account: str, asset: str) -> TooManyEntries:
    return TooManyEntries(
        f"{account!r} has more entries in {asset!r} than the {ENTRIES_MAX} that one call examines; ask for"
        " accounts with fewer, or list them by name",
        account=account,
        asset=asset,
        entries_max=ENTRIES_MAX,
    )
