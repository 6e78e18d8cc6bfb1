"""Reports through the client: their stub, page by page, and their one refusal."""

from __future__ import annotations

import pytest
from callers import Teller
from ledger.v1 import ledger_pb2 as nouns

from ledger_client import connect
from ledger_client.contract import ListChargesRequest, ListOverdueBalancesRequest
from ledger_client.refusals import TooManyEntries
from ledger_server.store import overdue


def test_what_is_overdue_is_read_page_by_page(books: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("customers:ann", "customers:bob"):
        books.open_account(name, nouns.ACCOUNT_TYPE_ASSET)
        books.post(name, "sales", 5, effective_time={"seconds": 1_700_000_000})
    request = ListOverdueBalancesRequest(
        ledger=books.ledger, account_prefix="customers", asset="USD", page_size=1
    )

    with connect(books.server.target) as client:
        pages = client.pages(client.reports.ListOverdueBalances, request)
        assert [one.account for page in pages for one in page.balances] == ["customers:ann", "customers:bob"]

        monkeypatch.setattr(overdue, "ENTRIES_MAX", 0)
        with pytest.raises(TooManyEntries) as refused:
            client.call(
                client.reports.ListCharges,
                ListChargesRequest(ledger=books.ledger, account="customers:ann", asset="USD"),
            )
        assert refused.value.facts["account"] == "customers:ann"
        assert not refused.value.is_transient
