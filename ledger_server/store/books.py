"""Reading the books before BEGIN, under the ledger's lane lock.

Why the lock is taken, and everything is read, before BEGIN: a snapshot taken
while another writer is at work makes SERIALIZABLE abort one of the two. Here the
reads are ordinary READ COMMITTED statements, and what they answer stays true for
as long as the head does not move; the write checks that it has not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

from ledger_server.domain.accounts import Head
from ledger_server.domain.books import Books
from ledger_server.domain.transactions import Entry, PostDraft, Transaction
from ledger_server.store import rows
from ledger_server.store.chart_books import read_chart, read_misfits, read_numbers
from ledger_server.store.connection import ServiceConnection
from ledger_server.store.roundtrip import Answer, Asking, RoundTrip
from ledger_server.store.sql import statements
from ledger_server.store.wanted import Wanted

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


class OpenedBooks(NamedTuple):
    """The books, the database's clock in microseconds, and which wanted places have bounds."""

    books: Books
    clock: int
    bounded: list[tuple[int, int]]


class BooksReader:
    """Reads the books over one connection."""

    def __init__(self, connection: ServiceConnection) -> None:
        self._trip = RoundTrip(connection)

    def open(
        self, ledger: str, ledger_id: int, wanted: Wanted, cached: Books | None, *, is_locked: bool = False
    ) -> OpenedBooks:
        """Takes the ledger's lane lock, unless it is held, and answers its books with all that is wanted.

        The cached books are used where they are at the head, caught up where the
        head has moved on, and dropped otherwise. The lock is held afterwards, also
        after an error, until the session gives it back.
        """
        known = cached or Books(ledger, Head(0, b"", 0))
        if not is_locked:
            # READ COMMITTED: each statement behind the lock takes a snapshot of its own.
            self._trip.ask(_SQL.lock, lane=lane_lock(ledger_id))
        ask = Asking(self._trip, ledger_id)
        head_row = ask(_SQL.head)
        keys, origins = self._ask_for(ask, wanted)
        self._trip.go()
        found = head_row.row()
        if found is None:
            raise LookupError(f"ledger {ledger_id} has no head")
        sequence, head_hash, record_time, epoch, clock, newest_chart = found
        head = Head(sequence, bytes(head_hash), rows.micros(record_time), epoch)
        books = self._at(head, known, ledger_id)
        read_chart(self._trip, ledger_id, books, newest_chart)
        return self._complete(books, rows.micros(clock), wanted, keys, origins, ledger_id)

    def open_ahead(self, ledger_id: int, wanted: Wanted, books: Books) -> OpenedBooks:
        """Completes the books that a batch leaves behind while it is still being written.

        Without the lane lock, which that batch's session holds. What it recorded may not
        be seen yet, and is in the books; what others recorded before it is seen. What is
        decided on these books must be written at their head and nowhere else.
        """
        ask = Asking(self._trip, ledger_id)
        head_row = ask(_SQL.head)
        keys, origins = self._ask_for(ask, wanted)
        self._trip.go()
        found = head_row.row()
        if found is None:
            raise LookupError(f"ledger {ledger_id} has no head")
        return self._complete(books, rows.micros(found[4]), wanted, keys, origins, ledger_id)

    @staticmethod
    def _ask_for(ask: Asking, wanted: Wanted) -> tuple[Answer | None, Answer | None]:
        keys = ask(_SQL.transactions_by_keys, keys=json.dumps(list(wanted.keys))) if wanted.keys else None
        origins = (
            ask(_SQL.transactions_by_sequences, sequences=list(wanted.origins)) if wanted.origins else None
        )
        return keys, origins

    def _complete(
        self,
        books: Books,
        clock: int,
        wanted: Wanted,
        keys: Answer | None,
        origins: Answer | None,
        ledger_id: int,
    ) -> OpenedBooks:
        """The books with all that is wanted."""
        books.start_batch(wanted.keys, wanted.origins)
        self._read_keys_and_origins(books, wanted, keys, origins, ledger_id)
        if wanted.members:
            self._read_members(books, wanted, ledger_id)
        made = [post for draft in wanted.templates if isinstance(post := books.post_of(draft), PostDraft)]
        wanted.add_posts(made)
        bounded = self._read_names(books, wanted, ledger_id)
        if books.rules is not None and books.rules.is_numbering:
            read_numbers(self._trip, ledger_id, books, chain(wanted.posts(), made))
        if wanted.chart is not None:
            read_misfits(self._trip, ledger_id, books, wanted.chart)
        return OpenedBooks(books, clock, bounded)

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
        ask = Asking(self._trip, ledger_id)
        others = ask(_SQL.has_other_records_since, **after)
        entries = ask(_SQL.entries_since, **after)
        ours = ask(_SQL.record_hash_at, sequence=known.head.sequence)
        self._trip.go()
        left_at = ours.row()
        if others.rows() or left_at is None or bytes(left_at[0]) != known.head.hash:
            return Books(known.ledger, head)
        balances = known.balances
        for account_id, asset_id, balance_after in entries.rows():
            if (account_id, asset_id) in balances:
                balances[account_id, asset_id] = int(balance_after)
        known.head = head
        known.series.clear()
        return known

    def _read_keys_and_origins(
        self, books: Books, wanted: Wanted, keys: Answer | None, origins: Answer | None, ledger_id: int
    ) -> None:
        found = {row[0]: row for answer in (keys, origins) if answer is not None for row in answer.rows()}
        for recorded in self.transactions(found.values(), books, ledger_id) if found else ():
            if recorded.idempotency_key in books.keys:
                books.keys[recorded.idempotency_key] = recorded
            books.transactions[recorded.sequence] = recorded
        for known in (*books.keys.values(), *books.transactions.values()):
            # A reversal of it touches the same accounts the other way.
            for entry in known.entries if known is not None else ():
                wanted.accounts.add(entry.account.name)
                wanted.assets.add(entry.asset.code)
                wanted.places.add((entry.account.name, entry.asset.code))

    def transactions(self, found: Iterable[Any], books: Books, ledger_id: int) -> list[Transaction]:
        """Rows of transactions with their entries; learns which of them were reversed."""
        by_sequence = {row[0]: row for row in found}
        sequences = list(by_sequence)
        ask = Asking(self._trip, ledger_id)
        entry_answer = ask(_SQL.entries_by_sequences, sequences=sequences)
        reversals = ask(_SQL.reversals_by_origins, sequences=sequences)
        assets = ask(_SQL.assets)
        self._trip.go()
        entry_rows = entry_answer.rows()
        books.reversals.update(reversals.rows())
        by_id = {row[0]: rows.asset_record(row) for row in assets.rows()}
        ask = Asking(self._trip, ledger_id)
        versions = ask(_SQL.accounts_by_ids, account_ids=list({row[1] for row in entry_rows}))
        self._trip.go()
        codes = {asset_id: record.asset.code for asset_id, record in by_id.items()}
        accounts = {row[0]: rows.account_version(row, codes).account for row in versions.rows()}
        lines: dict[int, list[Entry]] = {sequence: [] for sequence in sequences}
        for sequence, account_id, side, amount, asset_id, balance_after in entry_rows:
            lines[sequence].append(
                Entry(accounts[account_id], side == 1, int(amount), by_id[asset_id].asset, int(balance_after))
            )
        # Without reversed_by: a replay answers the record as it was written.
        return [rows.transaction(row, tuple(lines[sequence])) for sequence, row in by_sequence.items()]

    def _read_members(self, books: Books, wanted: Wanted, ledger_id: int) -> None:
        """Reads the memberships that are named, and every tenant-admin."""
        ask = Asking(self._trip, ledger_id)
        named = ask(_SQL.members_by_principals, principals=json.dumps(list(wanted.members)))
        admins = ask(_SQL.tenant_admins)
        self._trip.go()
        for principal in wanted.members:
            books.members.setdefault(principal, None)
        for member in map(rows.member_version, (*named.rows(), *admins.rows())):
            known = books.members.get(member.principal)
            # The batch before may have recorded a later version that is not to be seen yet.
            if known is None or known.version < member.version:
                books.members[member.principal] = member

    def _read_names(self, books: Books, wanted: Wanted, ledger_id: int) -> list[tuple[int, int]]:
        """Reads what the books do not hold yet; answers the places with bounds."""
        names = list(wanted.accounts.difference(books.accounts))
        missing_assets = any(code not in books.assets for code in wanted.assets)
        needs_ids = bool(wanted.opened) and books.next_account_id == 1
        if names or missing_assets or needs_ids or wanted.creates_assets:
            self._read_accounts_and_assets(books, wanted, names, ledger_id)
        if wanted.opened:
            self._read_openings(books, wanted, ledger_id)
        if wanted.changed:
            books.unbounded = {place for place in books.unbounded if place[0] not in wanted.changed}
            books.bounded = {
                place: of for place, of in books.bounded.items() if place[0] not in wanted.changed
            }
        for name in wanted.closed:
            # At zero in every asset that there is.
            wanted.places.update((name, code) for code, asset in books.assets.items() if asset is not None)
        bounded, absent, unbounded, with_bounds = [], [], [], {}
        for name_and_code in wanted.places - books.unbounded:
            known = books.bounded.get(name_and_code)
            if known is not None:
                bounded.append(known)
                continue
            name, code = name_and_code
            version, asset = books.accounts[name], books.assets[code]
            if version is not None and asset is not None:
                place = (version.account.account_id, asset.asset_id)
                if place not in books.balances:
                    absent.append(place)
                if name in wanted.changed:
                    # It may have bounds before the batch is over.
                    bounded.append(place)
                elif version.limits:
                    # In assets without bounds too: the fence looks an account up that has some and
                    # is not vouched for.
                    with_bounds[name, code] = place
                else:
                    unbounded.append((name, code))
        if absent:
            found = Asking(self._trip, ledger_id)(_SQL.balances, **ids(absent))
            self._trip.go()
            for account_id, asset_id, balance in found.rows():
                books.balances[account_id, asset_id] = int(balance)
        books.unbounded.update(unbounded)
        books.bounded.update(with_bounds)
        return [*bounded, *with_bounds.values()]

    def _read_openings(self, books: Books, wanted: Wanted, ledger_id: int) -> None:
        """Reads how accounts were opened that a draft opens again and that were changed since."""
        standing = {name: books.accounts[name] for name in wanted.opened - books.openings.keys()}
        names = [name for name, one in standing.items() if one is not None and one.version > 1]
        if names:
            found = Asking(self._trip, ledger_id)(_SQL.openings_by_names, names=json.dumps(names))
            self._trip.go()
            codes = {asset.asset_id: code for code, asset in books.assets.items() if asset is not None}
            for opened in (rows.account_version(row, codes) for row in found.rows()):
                books.openings[opened.account.name] = opened

    def _read_accounts_and_assets(
        self, books: Books, wanted: Wanted, names: list[str], ledger_id: int
    ) -> None:
        ask = Asking(self._trip, ledger_id)
        assets = ask(_SQL.assets)
        versions = ask(_SQL.accounts_by_names, names=json.dumps(names))
        newest = ask(_SQL.newest_account_id)
        self._trip.go()
        for row in assets.rows():
            record = rows.asset_record(row)
            books.assets[record.asset.code] = record.asset
            books.asset_records[record.asset.code] = record
            books.next_asset_id = max(books.next_asset_id, record.asset.asset_id + 1)
        codes = {asset.asset_id: code for code, asset in books.assets.items() if asset is not None}
        for code in wanted.assets:
            books.assets.setdefault(code, None)
        for name in names:
            books.accounts[name] = None
        for row in versions.rows():
            version = rows.account_version(row, codes)
            books.accounts[version.account.name] = version
        found = newest.row()
        # The batch before may have opened some that are not to be seen yet.
        books.next_account_id = max(books.next_account_id, (found[0] if found else 0) + 1)


def ids(places: list[tuple[int, int]]) -> dict[str, list[int]]:
    """Places as the parameters of a statement."""
    return {"account_ids": [place[0] for place in places], "asset_ids": [place[1] for place in places]}
