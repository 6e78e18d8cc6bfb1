"""Lists: order, pages, tokens that belong to their request, and filters."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from callers import Teller, post_operation
from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import report_service_pb2 as report_pb
from reports import Reports
from serving import Serving
from statuses import told

from ledger_server.domain.reads import AssetTotal
from ledger_server.domain.trial_balance_runs import TrialBalanceRun
from ledger_server.rpc import trial_balances
from ledger_server.rpc.page_tokens import position

OF_A_LEDGER = [
    "ListTransactions",
    "ListEntries",
    "TrialBalance",
    "ListTrialBalanceRuns",
    "ListAccounts",
    "ListAssets",
    "ListOverdueBalances",
    "ListOverdueBalances, oldest first",
    "ListCharges",
]
DOWN, UP = nouns.ORDER_NEWEST_FIRST, nouns.ORDER_OLDEST_FIRST


@pytest.fixture(scope="module")
def journal(shared_server: Serving) -> Teller:
    """A ledger with 1,001 posts of cash to sales, then 24 others of every kind of property."""
    teller = Teller.open(shared_server)
    teller.open_account("customers:1", nouns.ACCOUNT_TYPE_LIABILITY)
    teller.open_account("customers:12", nouns.ACCOUNT_TYPE_LIABILITY)
    teller.open_account("customers2", nouns.ACCOUNT_TYPE_LIABILITY)
    teller.batch([post_operation("cash", "sales", 1)] * 1001)
    for number in range(8):
        posted = teller.post(
            "cash",
            ("customers:1", "customers:12", "customers2")[number % 3],
            10,
            kind="top-up" if number % 2 else "gift",
            external_ref=f"order-{number % 4}",
            metadata={"till": str(number % 2), "shift": "late"},
            effective_time=Timestamp(seconds=1_000 + number),
        )
        if number % 4 == 0:
            teller.reverse(posted.transaction.sequence)
    for number in range(14):
        teller.post("other", "sales", number + 1)
    return teller


def _sequences(transactions: Any) -> list[int]:
    return [one.sequence for one in transactions]


@pytest.mark.criterion("S003-25", "S004-13")
@pytest.mark.parametrize(
    ("page_size", "count"), [(0, 20), (1, 1), (21, 21), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
)
def test_a_page_has_20_rows_by_default_and_at_most_1000(journal: Teller, page_size: int, count: int) -> None:
    page = journal.page(page_size=page_size)

    sequences = _sequences(page.transactions)
    assert len(sequences) == count
    assert sequences == sorted(sequences, reverse=True)
    assert sequences[0] == page.sequence == journal.head()


def test_a_negative_page_size_is_refused_by_every_list(journal: Teller) -> None:
    ledger, server = journal.ledger, journal.server
    calls: list[Callable[[], Any]] = [
        lambda: journal.page(page_size=-1),
        lambda: server.ledgers.ListEntries(
            pb.ListEntriesRequest(ledger=ledger, account="cash", page_size=-1)
        ),
        lambda: journal.trial_balance(page_size=-1),
        lambda: journal.runs(page_size=-1),
        lambda: server.accounts.ListAccounts(accounts_pb.ListAccountsRequest(ledger=ledger, page_size=-1)),
        lambda: server.admin.ListAssets(admin_pb.ListAssetsRequest(ledger=ledger, page_size=-1)),
        lambda: server.admin.ListLedgers(admin_pb.ListLedgersRequest(page_size=-1)),
        lambda: Reports(journal).overdue("customers", page_size=-1),
        lambda: Reports(journal).charges("cash", page_size=-1),
    ]

    assert [told(call).fields for call in calls] == [["page_size"]] * len(calls)


@pytest.mark.criterion("S003-25")
@pytest.mark.parametrize("order", [DOWN, UP])
def test_a_walk_finds_every_transaction_once_while_others_post(teller: Teller, order: int) -> None:
    teller.batch([post_operation("cash", "sales", 1)] * 50)
    everything = _sequences(teller.walk(page_size=1000, order=order))

    page = teller.page(page_size=7, order=order)
    found = _sequences(page.transactions)
    while page.next_page_token:
        teller.post("cash", "sales", 1)
        page = teller.page(page_size=7, order=order, page_token=page.next_page_token)
        found += _sequences(page.transactions)
        assert page.sequence == everything[0 if order == DOWN else -1]

    assert found == everything
    assert len(found) == 50


@pytest.mark.parametrize("order", [DOWN, UP])
@pytest.mark.parametrize("account", ["cash", "customers:1", "other"])
def test_an_account_s_transactions_and_entries_are_walked_in_both_orders(
    journal: Teller, account: str, order: int
) -> None:
    of_account = [
        one.sequence
        for one in journal.walk(page_size=1000, order=order)
        if any(entry.account == account for entry in one.entries)
    ]

    walked = _sequences(
        journal.walk(page_size=300, order=order, filter=pb.TransactionFilter(account=account))
    )
    entries, token = [], ""
    while True:
        request = pb.ListEntriesRequest(
            ledger=journal.ledger, account=account, order=order, page_size=300, page_token=token
        )
        page = journal.server.ledgers.ListEntries(request)
        entries += page.entries
        token = page.next_page_token
        if not token:
            break

    assert walked == of_account
    assert [one.sequence for one in entries] == of_account
    last = entries[0 if order == DOWN else -1]
    assert int(last.entry.balance_after) == journal.balance(account)


FILTERS: list[tuple[dict[str, Any], Callable[[nouns.Transaction], bool]]] = [
    ({"kind": "gift"}, lambda one: one.kind == "gift"),
    ({"external_ref": "order-3"}, lambda one: one.external_ref == "order-3"),
    ({"metadata": {"till": "1"}}, lambda one: one.metadata.get("till") == "1"),
    ({"metadata": {"till": "1", "shift": "early"}}, lambda one: False),
    ({"reversals": True}, lambda one: bool(one.reverses)),
    ({"reversals": False}, lambda one: not one.reverses),
    (
        {"account_prefix": "customers"},
        lambda one: any(entry.account.startswith("customers:") for entry in one.entries),
    ),
    (
        {"account_prefix": "customers:1"},
        lambda one: any(entry.account == "customers:1" for entry in one.entries),
    ),
    (
        {"effective_time_from": Timestamp(seconds=1_002), "effective_time_until": Timestamp(seconds=1_005)},
        lambda one: 1_002 <= one.effective_time.seconds < 1_005,
    ),
    (
        {"account": "cash", "kind": "top-up", "reversals": False},
        lambda one: one.kind == "top-up" and not one.reverses,
    ),
    (
        {"account": "customers:1", "reversals": True},
        lambda one: one.reverses and any(entry.account == "customers:1" for entry in one.entries),
    ),
    ({"record_time_until": Timestamp(seconds=1)}, lambda one: False),
]


@pytest.mark.criterion("S004-13")
@pytest.mark.parametrize("order", [DOWN, UP])
@pytest.mark.parametrize(("wanted", "passes"), FILTERS, ids=[",".join(row[0]) for row in FILTERS])
def test_a_filter_shows_exactly_what_passes_it(
    journal: Teller, wanted: dict[str, Any], passes: Callable[[nouns.Transaction], bool], order: int
) -> None:
    expected = [one.sequence for one in journal.walk(page_size=1000, order=order) if passes(one)]

    page_size = max(2, len(expected) // 3)
    found = journal.walk(page_size=page_size, order=order, filter=pb.TransactionFilter(**wanted))

    assert _sequences(found) == expected


def test_a_filter_takes_an_account_or_a_prefix(journal: Teller) -> None:
    both = pb.TransactionFilter(account="cash", account_prefix="customers")

    assert told(lambda: journal.page(filter=both)).fields == ["filter.account_prefix"]


def test_a_prefix_finds_accounts_at_and_below_the_path(journal: Teller) -> None:
    def names(**wanted: Any) -> list[str]:
        request = accounts_pb.ListAccountsRequest(ledger=journal.ledger, **wanted)
        return [one.name for one in journal.server.accounts.ListAccounts(request).accounts]

    assert names(prefix="customers") == ["customers:1", "customers:12"]
    assert names(prefix="customers:1") == ["customers:1"]
    assert names(type=nouns.ACCOUNT_TYPE_REVENUE) == ["sales"]
    assert names() == sorted(names())


def _lists(teller: Teller) -> dict[str, Callable[[str], Any]]:
    """Every list with small pages, by a token."""
    ledger, server = teller.ledger, teller.server
    rows, reports = pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT, Reports(teller)
    late = {"days": 0, "page_size": 1, "as_of": Timestamp(seconds=253_402_300_799)}
    oldest = report_pb.OVERDUE_ORDER_OLDEST_FIRST
    return {
        "ListOverdueBalances": lambda token: reports.overdue("owed", page_token=token, **late),
        "ListOverdueBalances, oldest first": lambda token: reports.overdue(
            "owed", order=oldest, page_token=token, **late
        ),
        "ListCharges": lambda token: reports.charges("cash", page_size=1, page_token=token),
        "ListTransactions": lambda token: teller.page(page_size=1, page_token=token),
        "ListEntries": lambda token: server.ledgers.ListEntries(
            pb.ListEntriesRequest(ledger=ledger, account="cash", page_size=1, page_token=token)
        ),
        "TrialBalance": lambda token: teller.trial_balance(rows=rows, page_size=1, page_token=token),
        "ListTrialBalanceRuns": lambda token: teller.runs(page_size=1, page_token=token),
        "ListAccounts": lambda token: server.accounts.ListAccounts(
            accounts_pb.ListAccountsRequest(ledger=ledger, page_size=1, page_token=token)
        ),
        "ListAssets": lambda token: server.admin.ListAssets(
            admin_pb.ListAssetsRequest(ledger=ledger, page_size=1, page_token=token)
        ),
        "ListLedgers": lambda token: server.admin.ListLedgers(
            admin_pb.ListLedgersRequest(page_size=1, page_token=token)
        ),
    }


@pytest.fixture(scope="module")
def two(shared_server: Serving) -> list[Teller]:
    """Two ledgers with two of everything."""
    tellers = [Teller.open(shared_server) for _ in range(2)]
    for teller in tellers:
        teller.create_asset("EUR", 2)
        teller.post("cash", "sales", 1)
        teller.post("cash", "sales", 2)
        for name in ("owed:a", "owed:b"):
            teller.open_account(name, nouns.ACCOUNT_TYPE_ASSET)
            teller.post(name, "sales", 1)
        teller.run_trial_balance()
        teller.run_trial_balance()
    return tellers


@pytest.mark.parametrize("name", [*OF_A_LEDGER, "ListLedgers"])
def test_a_damaged_token_is_refused(two: list[Teller], name: str) -> None:
    call = _lists(two[0])[name]
    token = call("").next_page_token
    assert token
    assert call(token)
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    digest, position = data[:12], json.loads(data[12:])
    texts = [part if isinstance(part, int) else "\x00" for part in position]
    surrogates = [part if isinstance(part, int) else "\ud800" for part in position]
    damaged = [
        "garbage",
        "é",
        "=",
        token[:-1],
        token[:10],
        token + "AAAA",
        ("A" if token[0] != "A" else "B") + token[1:],
        _token(digest, [-1] * len(position)),
        _token(digest, [True] * len(position)),
        _token(digest, [2**63] * len(position)),
        _token(digest, [1.5] * len(position)),
        _token(digest, [None] * len(position)),
        _token(digest, [*position, 1]),
        _token(digest, {"a": 1}),
        _token(digest, "9" * 5000),
    ]
    if any(isinstance(part, str) for part in position):
        damaged += [_token(digest, texts), _token(digest, surrogates)]

    reasons = {one[:30]: told(lambda one=one: call(one)).reason for one in damaged}  # type: ignore[misc]

    assert set(reasons.values()) == {"PAGE_TOKEN_INVALID"}, reasons


def _token(digest: bytes, position: Any) -> str:
    body = position if isinstance(position, str) else json.dumps(position)
    return base64.urlsafe_b64encode(digest + body.encode()).decode().rstrip("=")


@pytest.mark.parametrize("name", OF_A_LEDGER)
def test_a_token_belongs_to_its_ledger(two: list[Teller], name: str) -> None:
    token = _lists(two[0])[name]("").next_page_token

    assert told(lambda: _lists(two[1])[name](token)).reason == "PAGE_TOKEN_INVALID"


def test_a_token_belongs_to_its_filter_order_and_method(two: list[Teller]) -> None:
    teller = two[0]
    token = teller.page(page_size=1).next_page_token
    others: list[Callable[[], Any]] = [
        lambda: teller.page(page_size=1, page_token=token, order=UP),
        lambda: teller.page(page_size=1, page_token=token, filter=pb.TransactionFilter(kind="x")),
        lambda: teller.trial_balance(page_token=token),
        lambda: _lists(teller)["ListAccounts"](token),
    ]

    assert [told(call).reason for call in others] == ["PAGE_TOKEN_INVALID"] * 4
    # Another page size is the same list.
    assert teller.page(page_size=5, page_token=token).transactions


def test_a_page_ends_early_before_it_is_too_large_for_a_plain_client(teller: Teller) -> None:
    large = {f"{number}": "v" * 1000 for number in range(8)}
    operations = [post_operation("cash", "sales", 1, metadata=large)] * 600

    teller.batch(operations)
    page = teller.page(page_size=1000)

    assert page.ByteSize() <= 3 * 1024 * 1024
    assert 300 < len(page.transactions) < 600
    assert len(teller.walk(page_size=1000)) == 600


def test_a_page_of_runs_ends_early_before_it_is_too_large_for_a_plain_client() -> None:
    totals = tuple(AssetTotal(f"ASSET-{number:026}", 2, 10**39, 10**39) for number in range(500))
    runs = [
        TrialBalanceRun(number, date(2026, 11, 21), 0, "service", True, 7, bytes(32), totals, 0, ())
        for number in range(100, 0, -1)
    ]
    request = pb.ListTrialBalanceRunsRequest(ledger="many:assets")

    page = trial_balances.runs_response(request, runs, has_more=False)

    assert 2 * 1024 * 1024 < page.ByteSize() <= 3 * 1024 * 1024 + 256
    assert 1 < len(page.runs) < 100
    request.page_token = page.next_page_token
    assert position(request, int) == [page.runs[-1].number]
    # One run is always shown, and the last page says so.
    (alone,) = trial_balances.runs_response(request, runs[:1], has_more=False).runs
    assert len(alone.totals) == 500


@pytest.mark.criterion("S003-24")
def test_a_transaction_is_read_as_it_was_written(teller: Teller) -> None:
    posted = teller.post(
        "cash",
        "sales",
        5,
        "k",
        kind="sale",
        description="tea",
        metadata={"till": "3"},
        external_ref="order-9",
        effective_time=Timestamp(seconds=5, nanos=1_000),
    )
    sequence = posted.transaction.sequence

    assert teller.transaction(sequence) == teller.transaction("k") == posted.transaction
    assert teller.page(page_size=1).transactions[0] == posted.transaction
    reversal = teller.reverse("k").transaction
    assert teller.transaction("k").reversed_by == reversal.sequence
    assert (reversal.reverses, reversal.kind) == (sequence, "sale")
