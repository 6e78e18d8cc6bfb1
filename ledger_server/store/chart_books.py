"""What the books know by a chart: the chart, the last numbers of its series, who contradicts it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from ledger_server.domain.accounts import AccountType
from ledger_server.domain.books import Books
from ledger_server.domain.charts import NO_CHART, Chart
from ledger_server.domain.governing import Rules, series_of
from ledger_server.domain.misfits import AccountUse, misfits, needs_accounts
from ledger_server.domain.transactions import PostDraft
from ledger_server.store.chart_rows import chart_version
from ledger_server.store.roundtrip import Asking, RoundTrip
from ledger_server.store.sql import statements

_SQL = statements("lane")

# How many accounts are looked at together before a chart is applied: far less than a second's work.
_ACCOUNTS_AT_ONCE = 5_000


def read_chart(trip: RoundTrip, ledger_id: int, books: Books, version: int) -> None:
    """Reads the newest chart, of which the head knows the version, unless the books know it."""
    if version == (books.rules.version.version if books.rules is not None else 0):
        return
    found = Asking(trip, ledger_id)(_SQL.newest_chart)
    trip.go()
    row = found.row()
    books.put_rules(Rules(chart_version(row)) if row is not None else None)


def read_numbers(trip: RoundTrip, ledger_id: int, books: Books, posts: Iterable[PostDraft]) -> None:
    """Reads the last numbers of the series that posts may be numbered in, unless the books know them."""
    rules = books.rules
    assert rules is not None
    asked = {series for post in posts if isinstance(series := series_of(post, rules), str)}
    unknown = [series for series in asked if series and series not in books.series]
    if not unknown:
        return
    found = Asking(trip, ledger_id)(_SQL.last_numbers, series=json.dumps(unknown))
    trip.go()
    books.series.update(dict.fromkeys(unknown, 0))
    books.series.update(found.rows())


def read_misfits(trip: RoundTrip, ledger_id: int, books: Books, chart: Chart) -> None:
    """Looks at every account, page by page, for those that contradict a chart which is to be applied."""
    newest = books.rules.chart if books.rules is not None else NO_CHART
    if needs_accounts(chart, newest):
        books.misfits = misfits(chart, _account_uses(trip, ledger_id))


def _account_uses(trip: RoundTrip, ledger_id: int) -> Iterator[AccountUse]:
    after = 0
    while True:
        found = Asking(trip, ledger_id)(_SQL.account_uses, after=after, count=_ACCOUNTS_AT_ONCE)
        trip.go()
        page = found.rows()
        yield from (AccountUse(name, AccountType(kind), *codes) for _, name, kind, *codes in page)
        if len(page) < _ACCOUNTS_AT_ONCE:
            return
        after = page[-1][0]
