"""Reading a whole journal in record order, for the one who proves it.

Nothing at or below a committed sequence ever changes, so the head is read first
and then everything up to it, in pages of bounded size, without holding a snapshot:
a proof of a large journal holds nothing back from vacuum. The next page is on its
way while one is proven. Rows come as they lie in the tables, because what is read
here is not yet known to be sound: nothing is interpreted but times, which are
microseconds since 1970, and amounts, which are left as digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg import Connection, errors

from ledger_server.store.checkpoints import Checkpoints
from ledger_server.store.outcomes import DatabaseLost
from ledger_server.store.sql import statements
from ledger_server.store.stored import (
    StoredAccount,
    StoredAsset,
    StoredChart,
    StoredEntry,
    StoredHead,
    StoredLedger,
    StoredMember,
    StoredRecord,
    StoredTransaction,
)

_SQL = statements("replaying")

# A page spans at most this many records and holds about this many entries: some
# ten megabytes, whatever the transactions look like.
RECORDS_PER_PAGE_MAX = 4_000
# More than the thousand entries that one sequence can have, so a page holds at
# least one whole transaction.
ENTRIES_PER_PAGE_MAX = 16_000
# Before every sequence, also of rows that were moved to where none may be.
_BEFORE_ALL = -(2**63)

SETTINGS = (
    "set time zone 'UTC'",
    "set default_transaction_read_only = on",
    # A page is a range of an index, whatever the statistics say right after a load.
    "set enable_seqscan = off",
    # Gathered as a bitmap, a page of many entries would be sorted whole before its first row.
    "set enable_bitmapscan = off",
    "set jit = off",
    "set statement_timeout = 0",
)


_RowT = TypeVar("_RowT", StoredEntry, StoredAccount)


class Page(NamedTuple):
    """What stands after one sequence and up to another, and what its reversals refer to."""

    after: int
    until: int
    records: list[StoredRecord]
    entries: Mapping[int, list[StoredEntry]]
    origins: Mapping[int, StoredTransaction]
    origin_entries: Mapping[int, list[StoredEntry]]
    # The reversals of those origins, in record order.
    reversals: Mapping[int, list[int]]
    # Accounts that transactions opened, by sequence, in order of their numbers.
    opened: Mapping[int, list[StoredAccount]]


class Sum(NamedTuple):
    """A balance as the sum of its entries, beside the running balance of the newest one."""

    account_id: int
    asset_id: int
    total: str
    balance_after: str


class Journal:
    """One ledger's journal over a READ ONLY connection of its own."""

    def __init__(self, connection: Connection[Any], name: str, ledger_id: int) -> None:
        self.name = name
        self._connection = connection
        self._ledger_id = ledger_id
        self.checkpoints = Checkpoints(connection, ledger_id)

    def head(self) -> StoredHead | None:
        """The head as it stands now; None where the ledger has lost it."""
        self._connection.execute(_SQL.set_ledger, {"ledger_id": self._ledger_id})
        found = self._ask(_SQL.head)
        return StoredHead._make(found[0]) if found else None

    def pages(self, until: int) -> Iterator[Page]:
        """Everything up to a sequence, in order, including rows at sequences below 1."""
        with ThreadPoolExecutor(1, "journal-reader") as reader:
            coming = reader.submit(self._page, 0, until)
            while True:
                page = coming.result()
                if page.until >= until:
                    yield page
                    return
                coming = reader.submit(self._page, page.until, until)
                yield page

    def beyond(self) -> int | None:
        """The first sequence after the head at which anything stands; there must be none."""
        found: int | None = self._ask(_SQL.beyond)[0][0]
        return found

    def misstated_bounds(self) -> str | None:
        """The name of the first account whose limits are not those in ledger.bounds; None where all are."""
        found = self._ask(_SQL.misstated_bounds)
        return found[0][0] if found else None

    def sums(self, at: int) -> Iterator[Sum]:
        """Every balance at a sequence, added up by the database."""
        return map(Sum._make, self._ask(_SQL.sums, at=at))

    def _page(self, after: int, last: int) -> Page:
        low = after or _BEFORE_ALL
        until = min(after + RECORDS_PER_PAGE_MAX, last)
        entries = list(
            map(
                StoredEntry._make,
                self._ask(_SQL.entries, after=low, until=until, count=ENTRIES_PER_PAGE_MAX),
            )
        )
        if len(entries) == ENTRIES_PER_PAGE_MAX:
            # The last one's transaction may be cut in two: it belongs to the next page.
            cut = entries[-1].sequence
            if cut > after + 1:
                entries = [entry for entry in entries if entry.sequence != cut]
            until = max(cut - 1, after + 1)
        span = {"after": low, "until": until}
        transactions = list(map(StoredTransaction._make, self._ask(_SQL.transactions, **span)))
        records: list[StoredRecord] = [*transactions]
        records += map(StoredLedger._make, self._ask(_SQL.ledger_records, **span))
        records += map(StoredAsset._make, self._ask(_SQL.assets, **span))
        records += map(StoredAccount._make, self._ask(_SQL.accounts, **span))
        records += map(StoredMember._make, self._ask(_SQL.members, **span))
        records += map(StoredChart._make, self._ask(_SQL.charts, **span))
        reversed_sequences = [row.reverses for row in transactions if row.reverses]
        origins: list[StoredTransaction] = []
        origin_entries: list[StoredEntry] = []
        reversals: dict[int, list[int]] = {}
        if reversed_sequences:
            of = {"sequences": reversed_sequences}
            origins += map(StoredTransaction._make, self._ask(_SQL.origins, **of))
            origin_entries += map(StoredEntry._make, self._ask(_SQL.origin_entries, **of))
            for origin, sequence in self._ask(_SQL.reversals, **of):
                reversals.setdefault(origin, []).append(sequence)
        return Page(
            after,
            until,
            records,
            _by_sequence(entries),
            {origin.sequence: origin for origin in origins},
            _by_sequence(origin_entries),
            reversals,
            _by_sequence(map(StoredAccount._make, self._ask(_SQL.opened_accounts, **span))),
        )

    def _ask(self, statement: bytes, **parameters: object) -> list[Any]:
        return self._connection.execute(
            statement, {"ledger_id": self._ledger_id, **parameters}, binary=True
        ).fetchall()


def _by_sequence(rows: Iterable[_RowT]) -> dict[int, list[_RowT]]:
    grouped: dict[int, list[_RowT]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    return grouped


@contextmanager
def reading_journals(url: str, name: str | None) -> Iterator[Iterator[Journal]]:
    """The journal of the named ledger, or of every ledger by name, over one READ ONLY connection.

    Raises DatabaseLost where the database does not answer or holds no ledgers.
    """
    try:
        with psycopg.connect(url, autocommit=True, application_name="ledger-verify") as connection:
            for setting in SETTINGS:
                connection.execute(setting)
            found = connection.execute(_SQL.ledgers, {"name": name}).fetchall()
            yield (Journal(connection, ledger, ledger_id) for ledger, ledger_id in found)
    except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
        raise DatabaseLost("the database holds no ledgers: run `./ledger migrate` first") from error
    except psycopg.Error as error:
        raise DatabaseLost(str(error).strip().partition("\n")[0]) from error
