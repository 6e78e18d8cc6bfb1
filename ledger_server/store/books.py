"""Reading the books before BEGIN, under the ledger's lane lock.

Why the lock is taken, and everything is read, before BEGIN: a snapshot taken
while another writer is at work makes SERIALIZABLE abort one of the two. Here the
reads are ordinary READ COMMITTED statements, and what they answer stays true for
as long as the head does not move; the write checks that it has not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection

from ledger_server.domain.accounts import Head
from ledger_server.domain.books import Books
from ledger_server.domain.transactions import Entry, Transaction
from ledger_server.store import rows
from ledger_server.store.sql import statements

_SQL = statements("lane")

# How far behind a lane's cache may be and still catch up by reading the entries
# in between; beyond it the books start afresh.
CATCH_UP_RECORDS_MAX = 20_000
# The lane lock of ledger n is this number plus n: a range of advisory lock keys
# that nothing else here uses.
_LANE_LOCKS = 0x1ED6E4 << 32


def lane_lock(ledger_id: int) -> int:
    """The advisory lock key of a ledger's lane."""
    return _LANE_LOCKS + ledger_id


@dataclass(slots=True)
class Wanted:
    """What a batch's drafts name: what must be in the books before they are decided."""

    accounts: set[str] = field(default_factory=set)
    assets: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    origins: set[int] = field(default_factory=set)
    places: set[tuple[str, str]] = field(default_factory=set)
    opens_accounts: bool = False
    creates_assets: bool = False


class OpenedBooks(NamedTuple):
    """The books at the head, the database's clock in microseconds, and what it vouched for the fence."""

    books: Books
    clock: int
    vouched: str | None


class BooksReader:
    """Reads the books over one connection."""

    def __init__(self, connection: Connection[Any]) -> None:
        self.connection = connection

    def open(self, ledger: str, ledger_id: int, wanted: Wanted, cached: Books | None) -> OpenedBooks:
        """Takes the ledger's lane lock and answers its books with all that is wanted.

        The cached books are used where they are at the head, caught up where the
        head has moved on, and dropped otherwise. The lock is held afterwards, also
        after an error, until the session gives it back.
        """
        connection = self.connection
        known = cached or Books(ledger, Head(0, b"", 0))
        with connection.pipeline() as pipeline:
            # READ COMMITTED: each statement behind the lock takes a snapshot of its own.
            connection.execute(_SQL.lock, {"lane": lane_lock(ledger_id)})
            ask = Asking(connection, ledger_id)
            head_row = ask(_SQL.head)
            keys = ask(_SQL.transactions_by_keys, keys=json.dumps(list(wanted.keys))) if wanted.keys else None
            origins = (
                ask(_SQL.transactions_by_sequences, sequences=list(wanted.origins))
                if wanted.origins
                else None
            )
            pipeline.sync()
            found = head_row.fetchone()
        if found is None:
            raise LookupError(f"ledger {ledger_id} has no head")
        sequence, head_hash, record_time, epoch, clock = found
        head = Head(sequence, bytes(head_hash), rows.micros(record_time), epoch)
        books = self._at(head, known, ledger_id)
        books.forget_batch()
        self._read_keys_and_origins(books, wanted, keys, origins, ledger_id)
        vouched = self._read_names(books, wanted, ledger_id)
        return OpenedBooks(books, rows.micros(clock), vouched)

    def _at(self, head: Head, known: Books, ledger_id: int) -> Books:
        """The known books brought to this head, or fresh ones."""
        if known.head.sequence == head.sequence and known.head.hash == head.hash:
            known.head = head
            return known
        behind = head.sequence - known.head.sequence
        if (
            known.head.sequence == 0
            or known.head.epoch != head.epoch
            or not 0 < behind <= CATCH_UP_RECORDS_MAX
        ):
            return Books(known.ledger, head)
        after = {"after": known.head.sequence}
        with self.connection.pipeline() as pipeline:
            ask = Asking(self.connection, ledger_id)
            others = ask(_SQL.has_other_records_since, **after)
            entries = ask(_SQL.entries_since, **after)
            pipeline.sync()
            has_others = others.fetchone()
            if has_others is None or has_others[0]:
                return Books(known.ledger, head)
            balances = known.balances
            for account_id, asset_id, balance_after in entries:
                if (account_id, asset_id) in balances:
                    balances[account_id, asset_id] = int(balance_after)
        known.head = head
        return known

    def _read_keys_and_origins(
        self, books: Books, wanted: Wanted, keys: Any, origins: Any, ledger_id: int
    ) -> None:
        books.keys.update(dict.fromkeys(wanted.keys))
        books.transactions.update(dict.fromkeys(wanted.origins))
        found = {row[0]: row for cursor in (keys, origins) if cursor is not None for row in cursor}
        if not found:
            return
        for recorded in self.transactions(found.values(), books, ledger_id):
            if recorded.idempotency_key in books.keys:
                books.keys[recorded.idempotency_key] = recorded
            books.transactions[recorded.sequence] = recorded
            # A reversal of it touches the same accounts the other way.
            for entry in recorded.entries:
                wanted.accounts.add(entry.account.name)
                wanted.assets.add(entry.asset.code)
                wanted.places.add((entry.account.name, entry.asset.code))

    def transactions(self, found: Iterable[Any], books: Books, ledger_id: int) -> list[Transaction]:
        """Rows of transactions with their entries; learns which of them were reversed."""
        by_sequence = {row[0]: row for row in found}
        sequences = list(by_sequence)
        with self.connection.pipeline() as pipeline:
            ask = Asking(self.connection, ledger_id)
            entry_rows = ask(_SQL.entries_by_sequences, sequences=sequences)
            reversals = ask(_SQL.reversals_by_origins, sequences=sequences)
            assets = ask(_SQL.assets)
            pipeline.sync()
            entry_list = entry_rows.fetchall()
            books.reversals.update(reversals.fetchall())
            by_id = {row[0]: rows.asset_record(row) for row in assets}
            ids = list({row[1] for row in entry_list})
            ask = Asking(self.connection, ledger_id)
            versions = ask(_SQL.accounts_by_ids, account_ids=ids)
            pipeline.sync()
            codes = {asset_id: record.asset.code for asset_id, record in by_id.items()}
            accounts = {row[0]: rows.account_version(row, codes).account for row in versions}
        lines: dict[int, list[Entry]] = {sequence: [] for sequence in sequences}
        for sequence, account_id, side, amount, asset_id, balance_after in entry_list:
            lines[sequence].append(
                Entry(accounts[account_id], side == 1, int(amount), by_id[asset_id].asset, int(balance_after))
            )
        # Without reversed_by: a replay answers the record as it was written.
        return [rows.transaction(row, tuple(lines[sequence])) for sequence, row in by_sequence.items()]

    def _read_names(self, books: Books, wanted: Wanted, ledger_id: int) -> str | None:
        """Reads the accounts, assets and balances that the books do not hold yet.

        Answers what the database vouches for the bounded accounts among them.
        """
        names = [name for name in wanted.accounts if name not in books.accounts]
        missing_assets = any(code not in books.assets for code in wanted.assets)
        needs_ids = wanted.opens_accounts and books.next_account_id == 1
        if names or missing_assets or needs_ids or wanted.creates_assets:
            self._read_accounts_and_assets(books, wanted, names, ledger_id)
        absent, bounded = [], []
        for name, code in wanted.places:
            version, asset = books.accounts[name], books.assets[code]
            if version is not None and asset is not None:
                place = (version.account.account_id, asset.asset_id)
                if place not in books.balances:
                    absent.append(place)
                if code in version.limits:
                    bounded.append(place)
        if not absent and not bounded:
            return None
        with self.connection.pipeline() as pipeline:
            ask = Asking(self.connection, ledger_id)
            found = ask(_SQL.balances, **_ids(absent)) if absent else None
            vouched = ask(_SQL.vouch, **_ids(bounded)) if bounded else None
            pipeline.sync()
            for account_id, asset_id, balance in found or ():
                books.balances[account_id, asset_id] = int(balance)
            row = vouched.fetchone() if vouched else None
            return row[0] if row else None

    def _read_accounts_and_assets(
        self, books: Books, wanted: Wanted, names: list[str], ledger_id: int
    ) -> None:
        with self.connection.pipeline() as pipeline:
            ask = Asking(self.connection, ledger_id)
            assets = ask(_SQL.assets)
            versions = ask(_SQL.accounts_by_names, names=names)
            newest = ask(_SQL.newest_account_id)
            pipeline.sync()
            for row in assets:
                record = rows.asset_record(row)
                books.assets[record.asset.code] = record.asset
                books.asset_records[record.asset.code] = record
                books.next_asset_id = max(books.next_asset_id, record.asset.asset_id + 1)
            codes = {asset.asset_id: code for code, asset in books.assets.items() if asset is not None}
            for code in wanted.assets:
                books.assets.setdefault(code, None)
            for name in names:
                books.accounts[name] = None
            for row in versions:
                version = rows.account_version(row, codes)
                books.accounts[version.account.name] = version
            found = newest.fetchone()
            books.next_account_id = (found[0] if found else 0) + 1


def _ids(places: list[tuple[int, int]]) -> dict[str, list[int]]:
    return {"account_ids": [place[0] for place in places], "asset_ids": [place[1] for place in places]}


class Asking:
    """Queues reads of one ledger in a pipeline; the first names the session's ledger."""

    def __init__(self, connection: Connection[Any], ledger_id: int) -> None:
        self.connection = connection
        self.ledger_id = ledger_id
        connection.execute(_SQL.set_ledger, {"ledger_id": ledger_id})

    def __call__(self, statement: bytes, **parameters: object) -> psycopg.Cursor[Any]:
        return self.connection.execute(statement, {"ledger_id": self.ledger_id, **parameters})
