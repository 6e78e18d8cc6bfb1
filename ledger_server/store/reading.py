"""Reads of one ledger at a sequence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ledger_server.domain.accounts import (
    NORMAL_SIGN,
    Account,
    AccountType,
    AccountVersion,
    Asset,
    AssetRecord,
    Head,
    LedgerRecord,
)
from ledger_server.domain.charts import ChartVersion
from ledger_server.domain.members import MemberVersion
from ledger_server.domain.reads import (
    EXAMINED_MAX,
    AccountEntry,
    Balance,
    BalanceAnswer,
    BalanceAsk,
    TransactionFilter,
)
from ledger_server.domain.transactions import Entry, Transaction
from ledger_server.store import rows
from ledger_server.store.chart_rows import chart_version
from ledger_server.store.connection import ServiceConnection
from ledger_server.store.roundtrip import RoundTrip
from ledger_server.store.sql import Statement, statements

_SQL = statements("reading")

# Beyond every sequence.
LAST = 2**63 - 1
_EXAMINED_AT_ONCE = 1_000
# After every name: the highest code point sorts last in the C collation.
_AFTER_ALL = "\U0010ffff"


class Reading:
    """One ledger over one borrowed connection. READ COMMITTED, READ ONLY; use within one `with`."""

    def __init__(self, connection: ServiceConnection, ledger_id: int) -> None:
        self.connection = connection
        self.ledger_id = ledger_id
        self._trip = RoundTrip(connection)

    def _ask(self, statement: Statement, **parameters: object) -> list[Any]:
        self._trip.ask(_SQL.set_ledger, ledger_id=self.ledger_id)
        answer = self._trip.ask(statement, ledger_id=self.ledger_id, **parameters)
        self._trip.go()
        return answer.rows()

    def head(self) -> Head:
        """Where the journal stands."""
        sequence, record_hash, record_time, epoch = self._ask(_SQL.head)[0]
        return Head(sequence, bytes(record_hash), rows.micros(record_time), epoch)

    def ledger(self, name: str) -> LedgerRecord:
        """The ledger's first record."""
        record_time, created_by, description, salt, record_hash, digest = self._ask(_SQL.ledger)[0]
        return LedgerRecord(
            name,
            description,
            rows.micros(record_time),
            created_by,
            bytes(salt),
            bytes(record_hash),
            None if digest is None else bytes(digest),
        )

    def balances(self, asks: Sequence[BalanceAsk]) -> tuple[int, list[BalanceAnswer]]:
        """Every asked balance at one head, in one query; answers the head's sequence too."""
        found = self._ask(
            _SQL.balances,
            names=[ask.account for ask in asks],
            codes=[ask.asset for ask in asks],
            ats=[ask.at for ask in asks],
        )
        types: list[AccountType | None] = [None] * len(asks)
        has_asset = [False] * len(asks)
        balances: list[list[Balance]] = [[] for _ in asks]
        head = int(found[0][1])
        for place, _, account_type, code, balance_after, sequence, record_time in found:
            index = place - 1
            if account_type is None:
                continue
            kind = types[index] = AccountType(account_type)
            if code is None:
                continue
            has_asset[index] = True
            if sequence is not None:
                posted = int(balance_after) * NORMAL_SIGN[kind]
                balances[index].append(Balance(code, posted, sequence, rows.micros(record_time)))
            elif asks[index].asset:
                balances[index].append(Balance(code, 0, 0, 0))
        return head, [
            BalanceAnswer(types[index], has_asset[index], tuple(balances[index]))
            for index in range(len(asks))
        ]

    def recomputed(self, account: str, at: int) -> dict[str, int]:
        """An account's debit-positive balances by asset code, from all its entries."""
        return {code: int(total) for code, total in self._ask(_SQL.recomputed_balances, name=account, at=at)}

    def member(self, principal: str) -> MemberVersion | None:
        """A membership in its newest version, present or ended."""
        found = self._ask(_SQL.member, principal=principal)
        return rows.member_version(found[0]) if found else None

    def newest_chart_hash(self) -> bytes | None:
        """The hash of the newest chart's record; None where there is no chart."""
        found = self._ask(_SQL.newest_chart_hash)
        return bytes(found[0][0]) if found else None

    def chart(self, version: int, at: int) -> ChartVersion | None:
        """A version of the chart, 0 for the newest at a sequence."""
        found = self._ask(_SQL.chart, version=version, at=at)
        return chart_version(found[0]) if found else None

    def first_tenant_admin(self) -> str:
        """The member that the ledger was created with; empty for none."""
        found = self._ask(_SQL.first_member)
        return str(found[0][0]) if found else ""

    def member_page(self, after: str, at: int, count: int) -> list[MemberVersion]:
        """Those who are members, in order of principal, after one of them."""
        return [
            rows.member_version(row) for row in self._ask(_SQL.member_page, after=after, at=at, count=count)
        ]

    def assets(self, at: int) -> list[AssetRecord]:
        """Every asset, in order of code."""
        return [rows.asset_record(row) for row in self._ask(_SQL.assets, at=at)]

    def account(self, name: str, at: int) -> AccountVersion | None:
        """An account in its newest version."""
        found = self._ask(_SQL.account, name=name, at=at)
        return rows.account_version(found[0], self._codes(at)) if found else None

    def account_page(
        self, *, prefix: str, account_type: int, after: str, at: int, count: int
    ) -> list[AccountVersion]:
        """Accounts in order of name, after a name."""
        found = self._ask(
            _SQL.account_page,
            prefix=prefix,
            after=after,
            # Names at or below the prefix lie before the character after ':'.
            until=prefix + ";" if prefix else _AFTER_ALL,
            type=account_type,
            at=at,
            count=count,
        )
        codes = self._codes(at)
        return [rows.account_version(row, codes) for row in found]

    def _codes(self, at: int) -> dict[int, str]:
        return {record.asset.asset_id: record.asset.code for record in self.assets(at)}

    def sequence_of_key(self, key: str, at: int) -> int | None:
        """The transaction recorded under an idempotency key."""
        found = self._ask(_SQL.sequence_of_key, key=key, at=at)
        return found[0][0] if found else None

    def transactions(self, sequences: Sequence[int], at: int) -> list[Transaction]:
        """Transactions in the asked order, those that exist, with their reversals as of `at`."""
        if not sequences:
            return []
        asked = {"ledger_id": self.ledger_id, "sequences": list(sequences)}
        self._trip.ask(_SQL.set_ledger, ledger_id=self.ledger_id)
        found = self._trip.ask(_SQL.transactions, at=at, **asked)
        entry_rows = self._trip.ask(_SQL.entries_of, **asked)
        self._trip.go()
        lines = _entries_by_sequence(entry_rows.rows())
        by_sequence = {
            row[0]: rows.transaction(row[:-1], tuple(lines.get(row[0], ())), row[-1]) for row in found.rows()
        }
        return [by_sequence[sequence] for sequence in sequences if sequence in by_sequence]

    def transaction_sequences(
        self,
        wanted: TransactionFilter,
        *,
        account_id: int | None,
        newest_first: bool,
        position: int,
        at: int,
        count: int,
    ) -> tuple[list[int], int | None]:
        """The next sequences that pass the filter, and the position to go on from, None at the end.

        Examines at most EXAMINED_MAX transactions where the filter has no index.
        """
        if account_id is not None:
            statement = _SQL.account_sequences_down if newest_first else _SQL.account_sequences_up
        elif wanted.reversals:
            statement = _SQL.reversal_sequences_down if newest_first else _SQL.reversal_sequences_up
        else:
            statement = _SQL.sequences_down if newest_first else _SQL.sequences_up
        rest = _filter_parameters(wanted)
        if all(value is None for value in rest.values()):
            step = [
                row[0]
                for row in self._ask(
                    statement, account_id=account_id, position=position, at=at, count=count + 1
                )
            ]
            return step[:count], step[count - 1] if len(step) > count else None
        passed: list[int] = []
        examined = 0
        while examined < EXAMINED_MAX:
            step = [
                row[0]
                for row in self._ask(
                    statement, account_id=account_id, position=position, at=at, count=_EXAMINED_AT_ONCE
                )
            ]
            if not step:
                return passed, None
            examined += len(step)
            allowed = {row[0] for row in self._ask(_SQL.filtered, sequences=step, **rest)}
            for sequence in step:
                position = sequence
                if sequence in allowed:
                    passed.append(sequence)
                    if len(passed) == count:
                        return passed, position
            if len(step) < _EXAMINED_AT_ONCE:
                return passed, None
        return passed, position

    def account_entries(
        self,
        account_id: int,
        *,
        asset: str,
        newest_first: bool,
        position: tuple[int, int],
        at: int,
        count: int,
    ) -> list[AccountEntry]:
        """An account's next entries from a position of (sequence, index)."""
        found = self._ask(
            _SQL.account_entries_down if newest_first else _SQL.account_entries_up,
            account_id=account_id,
            code=asset,
            position=position[0],
            index=position[1],
            at=at,
            count=count,
        )
        return [rows.account_entry(row) for row in found]


def ledger_page(connection: ServiceConnection, after: str, count: int) -> list[tuple[Any, ...]]:
    """Ledgers' names and ids, in order of name."""
    trip = RoundTrip(connection)
    found = trip.ask(_SQL.directory_page, after=after, count=count)
    trip.go()
    return found.rows()


def _entries_by_sequence(found: Iterable[Any]) -> dict[int, list[Entry]]:
    accounts: dict[int, Account] = {}
    assets: dict[int, Asset] = {}
    lines: dict[int, list[Entry]] = {}
    for sequence, account_id, name, kind, side, amount, asset_id, code, scale, balance_after in found:
        account = accounts.get(account_id)
        if account is None:
            account = accounts[account_id] = Account.of(account_id, name, kind)
        asset = assets.get(asset_id)
        if asset is None:
            asset = assets[asset_id] = Asset.of(asset_id, code, scale)
        lines.setdefault(sequence, []).append(
            Entry(account, side == 1, int(amount), asset, int(balance_after))
        )
    return lines


def _filter_parameters(wanted: TransactionFilter) -> dict[str, Any]:
    """What the filter asks beyond its indexed part."""
    indexed_reversals = wanted.reversals is True and wanted.account is None
    return {
        "prefix": wanted.account_prefix,
        "kind": wanted.kind,
        "external_ref": wanted.external_ref,
        "effective_from": _moment(wanted.effective_time_from),
        "effective_until": _moment(wanted.effective_time_until),
        "record_from": _moment(wanted.record_time_from),
        "record_until": _moment(wanted.record_time_until),
        "metadata": json.dumps(dict(wanted.metadata)) if wanted.metadata else None,
        "reversals": None if indexed_reversals else wanted.reversals,
    }


def _moment(microseconds: int | None) -> Any:
    return None if microseconds is None else rows.moment(microseconds)
