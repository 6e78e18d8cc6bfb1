"""Lists are walked page by page: everything once, in order, whatever is posted meanwhile."""

from __future__ import annotations

import pytest
from callers import Teller, lines, post_operation, refusal_of
from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving

OLDEST = nouns.ORDER_OLDEST_FIRST
NEWEST = nouns.ORDER_NEWEST_FIRST


def sequences(transactions: list[nouns.Transaction]) -> list[int]:
    """Their sequences."""
    return [one.sequence for one in transactions]


@pytest.mark.criterion("S003-25")
@pytest.mark.parametrize("order", [OLDEST, NEWEST])
@pytest.mark.parametrize("page_size", [1, 7, 0, 1000])
def test_a_full_walk_shows_every_transaction_once(teller: Teller, order: int, page_size: int) -> None:
    posted = [one.sequence for one in teller.batch([post_operation("cash", "sales", 1)] * 45)]

    found = sequences(teller.walk(order=order, page_size=page_size))

    assert found == (posted if order == OLDEST else posted[::-1])
    assert len(teller.page(page_size=page_size).transactions) == min(page_size or 20, 45)


@pytest.mark.criterion("S003-25")
@pytest.mark.parametrize("order", [OLDEST, NEWEST])
def test_a_walk_does_not_change_while_posts_come_in(teller: Teller, order: int) -> None:
    posted = [one.sequence for one in teller.batch([post_operation("cash", "sales", 1)] * 30)]
    page = teller.page(order=order, page_size=4)
    found, at = sequences(list(page.transactions)), {page.sequence}
    while page.next_page_token:
        teller.batch([post_operation("cash", "sales", 1)] * 3)
        page = teller.page(order=order, page_size=4, page_token=page.next_page_token)
        found += sequences(list(page.transactions))
        at.add(page.sequence)

    assert found == (posted if order == OLDEST else posted[::-1])
    assert at == {posted[-1]}


def test_a_list_is_newest_first_unless_said_otherwise(teller: Teller) -> None:
    teller.batch([post_operation("cash", "sales", 1)] * 5)

    found = sequences(list(teller.page().transactions))

    assert found == sorted(found, reverse=True)


@pytest.fixture(scope="module")
def mixed(shared_server: Serving) -> Teller:
    """A ledger with transactions that differ in everything a filter can ask for."""
    teller = Teller.open(shared_server)
    for name in ("shop", "shop:1", "shop:1:till", "shop2"):
        teller.open_account(name, nouns.ACCOUNT_TYPE_ASSET)
    for number in range(40):
        teller.post(
            ["cash", "shop", "shop:1", "shop:1:till", "shop2"][number % 5],
            "sales",
            number + 1,
            f"k{number}",
            kind=["sale", "gift", ""][number % 3],
            effective_time=Timestamp(seconds=1_000_000 + number),
            external_ref=f"order {number % 4}",
            metadata={"till": str(number % 2), "day": str(number % 7)},
        )
    for number in range(0, 40, 8):
        teller.reverse(f"k{number}", f"r{number}", metadata={"till": "0"})
    return teller


def touches(one: nouns.Transaction, prefix: str) -> bool:
    """Whether an entry's account is this path or lies below it."""
    return any(entry.account == prefix or entry.account.startswith(prefix + ":") for entry in one.entries)


FILTERS = {
    "account": (pb.TransactionFilter(account="shop:1"), lambda one: one.entries[0].account == "shop:1"),
    "account and reversals": (
        pb.TransactionFilter(account="cash", reversals=True),
        lambda one: touches(one, "cash") and one.reverses > 0,
    ),
    "prefix": (pb.TransactionFilter(account_prefix="shop"), lambda one: touches(one, "shop")),
    "deeper prefix": (pb.TransactionFilter(account_prefix="shop:1"), lambda one: touches(one, "shop:1")),
    "kind": (pb.TransactionFilter(kind="gift"), lambda one: one.kind == "gift"),
    "external_ref": (pb.TransactionFilter(external_ref="order 3"), lambda one: one.external_ref == "order 3"),
    "metadata": (
        pb.TransactionFilter(metadata={"till": "0", "day": "1"}),
        lambda one: (one.metadata["till"], one.metadata.get("day")) == ("0", "1"),
    ),
    "effective_time": (
        pb.TransactionFilter(
            effective_time_from=Timestamp(seconds=1_000_010),
            effective_time_until=Timestamp(seconds=1_000_020),
        ),
        lambda one: 1_000_010 <= one.effective_time.seconds < 1_000_020,
    ),
    "reversals": (pb.TransactionFilter(reversals=True), lambda one: one.reverses > 0),
    "no reversals": (pb.TransactionFilter(reversals=False), lambda one: one.reverses == 0),
    "everything": (
        pb.TransactionFilter(account_prefix="shop", kind="sale", metadata={"till": "1"}, reversals=False),
        lambda one: touches(one, "shop") and one.kind == "sale" and one.metadata["till"] == "1",
    ),
}


@pytest.mark.criterion("S004-13")
@pytest.mark.parametrize("order", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_shows_what_matches_and_nothing_else(mixed: Teller, name: str, order: int) -> None:
    asked, matches = FILTERS[name]
    expected = [one for one in mixed.walk(page_size=1000, order=order) if matches(one)]

    found = mixed.walk(filter=asked, order=order, page_size=3)

    assert expected
    assert found == expected


def test_a_filter_by_record_time_takes_its_start_and_leaves_its_end(mixed: Teller) -> None:
    everything = mixed.walk(page_size=1000, order=OLDEST)
    low, high = everything[10].record_time, everything[20].record_time

    found = mixed.walk(
        filter=pb.TransactionFilter(record_time_from=low, record_time_until=high), order=OLDEST
    )

    expected = [
        one
        for one in everything
        if low.ToNanoseconds() <= one.record_time.ToNanoseconds() < high.ToNanoseconds()
    ]
    assert expected
    assert found == expected


def test_a_filter_by_an_unknown_account_is_refused(mixed: Teller) -> None:
    refusal = refusal_of(lambda: mixed.page(filter=pb.TransactionFilter(account="gone")))

    assert refusal.reason == "ACCOUNT_NOT_FOUND"


def test_a_page_token_of_another_filter_order_or_ledger_is_refused(mixed: Teller, teller: Teller) -> None:
    token = mixed.page(page_size=1).next_page_token

    refusals = [
        refusal_of(lambda: mixed.page(page_token=token, order=OLDEST)),
        refusal_of(lambda: mixed.page(page_token=token, filter=pb.TransactionFilter(kind="sale"))),
        refusal_of(lambda: teller.page(page_token=token)),
    ]

    assert {one.reason for one in refusals} == {"PAGE_TOKEN_INVALID"}


def test_a_filter_without_an_index_examines_10_000_and_gives_a_token(teller: Teller) -> None:
    """Of 12,502 transactions the first and the last match, so the second page finds the other one."""
    teller.post("cash", "sales", 1, kind="rare")
    for _ in range(5):
        teller.batch([post_operation("cash", "sales", 1)] * 2_500)
    teller.post("cash", "sales", 1, kind="rare")
    asked = pb.TransactionFilter(kind="rare")

    newest = teller.page(filter=asked)
    rest = teller.page(filter=asked, page_token=newest.next_page_token)
    empty = teller.page(filter=pb.TransactionFilter(kind="never"))

    assert len(newest.transactions) == 1
    assert newest.next_page_token
    assert len(rest.transactions) == 1
    assert not rest.next_page_token
    assert rest.sequence == newest.sequence
    assert (len(empty.transactions), bool(empty.next_page_token)) == (0, True)
    assert len(teller.walk(filter=asked)) == 2


@pytest.mark.parametrize("page_size", [1, 3, 1000])
@pytest.mark.parametrize("order", [OLDEST, NEWEST])
def test_entries_run_with_their_balances_in_every_asset(teller: Teller, order: int, page_size: int) -> None:
    teller.create_asset("EUR", 2)
    for amount in range(1, 6):
        teller.post("cash", "wallet", amount)
        teller.post("cash", "wallet", amount * 10, asset="EUR")
        teller.post_entries([*lines("cash", "wallet", 2), *lines("wallet", "cash", 1)])

    found: list[pb.AccountEntry] = []
    page = teller.entries("wallet", order=order, page_size=page_size)
    found += page.entries
    while page.next_page_token:
        teller.post("cash", "wallet", 1_000)
        page = teller.entries("wallet", order=order, page_size=page_size, page_token=page.next_page_token)
        found += page.entries

    places = [(one.sequence, one.index) for one in found]
    assert len(places) == len(set(places)) == 20
    assert places == sorted(places, reverse=order == NEWEST)
    running = {"USD": 0, "EUR": 0}
    for one in sorted(found, key=lambda one: (one.sequence, one.index)):
        sign = 1 if one.entry.side == nouns.SIDE_CREDIT else -1
        running[one.entry.asset] += sign * int(one.entry.amount)
        assert int(one.entry.balance_after) == running[one.entry.asset]
    assert running == {"USD": 20, "EUR": 150}


def test_entries_of_one_asset_show_only_it(teller: Teller) -> None:
    teller.create_asset("EUR", 2)
    teller.post("cash", "wallet", 1, kind="sale", description="first")
    teller.post("cash", "wallet", 2, asset="EUR")

    (one,) = teller.entries("wallet", asset="USD").entries

    assert (one.entry.asset, one.entry.amount, one.kind, one.description) == ("USD", "1", "sale", "first")
    assert refusal_of(lambda: teller.entries("wallet", asset="GBP")).reason == "ASSET_NOT_FOUND"
    assert refusal_of(lambda: teller.entries("gone")).reason == "ACCOUNT_NOT_FOUND"
