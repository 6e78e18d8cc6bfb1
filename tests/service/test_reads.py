"""Reads say which sequence they reflect, and what they say of a sequence never changes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import grpc
import pytest
from callers import DEADLINE_S, Refused, Teller, answer_of, lines, post_operation, refusal_of, together
from clusters import Cluster
from google.protobuf.timestamp_pb2 import Timestamp
from serving import Serving, serving

from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb

OLDEST = nouns.ORDER_OLDEST_FIRST
NEWEST = nouns.ORDER_NEWEST_FIRST


def sequences(transactions: list[nouns.Transaction]) -> list[int]:
    """Their sequences."""
    return [one.sequence for one in transactions]


def balance_of(teller: Teller, account: str, asset: str = "USD", **more: int) -> pb.GetBalanceResponse:
    """The whole answer of a GetBalance."""
    request = pb.GetBalanceRequest(ledger=teller.ledger, account=account, asset=asset, **more)
    return teller.server.ledgers.GetBalance(request, timeout=DEADLINE_S)


def entries_of(teller: Teller, account: str, **more: object) -> pb.ListEntriesResponse:
    """A page of an account's entries."""
    request = pb.ListEntriesRequest(ledger=teller.ledger, account=account, **more)
    return teller.server.ledgers.ListEntries(request, timeout=DEADLINE_S)


# balances ------------------------------------------------------------------------------


def test_a_balance_at_a_past_sequence_is_what_it_was_then(teller: Teller) -> None:
    stood = [(teller.head(), 0)]
    for amount in (5, 7, 11):
        posted = teller.post("cash", "wallet", amount).transaction
        stood.append((posted.sequence, int(posted.entries[1].balance_after)))

    for sequence, balance in stood:
        for recompute in (False, True):
            answer = balance_of(teller, "wallet", at_sequence=sequence, recompute=recompute)
            assert answer.sequence == sequence
            assert int(answer.balances[0].posted) == balance
    assert balance_of(teller, "wallet").sequence == stood[-1][0]


def test_a_balance_names_the_transaction_that_changed_it_last(teller: Teller) -> None:
    posted = teller.post("cash", "wallet", 5).transaction
    teller.post("other", "sales", 9)

    (balance,) = balance_of(teller, "wallet").balances

    assert balance.last_sequence == posted.sequence
    assert balance.last_record_time == posted.record_time


def test_an_untouched_account_has_0_and_an_unknown_one_is_not_found(teller: Teller) -> None:
    answer = balance_of(teller, "wallet")
    unknown = refusal_of(lambda: teller.balance("wallets"))
    foreign = refusal_of(lambda: teller.balance("wallet", "EUR"))

    assert [(one.posted, one.last_sequence) for one in answer.balances] == [("0", 0)]
    assert not answer.balances[0].HasField("last_record_time")
    assert (unknown.code, unknown.reason, unknown.facts["account"]) == (
        grpc.StatusCode.NOT_FOUND,
        "ACCOUNT_NOT_FOUND",
        "wallets",
    )
    assert foreign.reason == "ASSET_NOT_FOUND"


def test_a_balance_of_no_named_asset_lists_those_with_entries(teller: Teller) -> None:
    teller.create_asset("EUR", 2)
    teller.create_asset("BTC", 8)
    teller.post("cash", "wallet", 5)
    teller.post("cash", "wallet", 7, asset="BTC")

    answer = balance_of(teller, "wallet", "")

    assert [(one.asset, one.posted) for one in answer.balances] == [("BTC", "7"), ("USD", "5")]
    assert list(balance_of(teller, "other", "").balances) == []


def test_a_balance_beyond_the_head_is_not_reached(teller: Teller) -> None:
    head = teller.head()

    refusal = refusal_of(lambda: teller.balance("cash", at_sequence=head + 1))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SEQUENCE_NOT_REACHED")
    assert refusal.facts["head"] == str(head)


def test_a_batch_of_balances_is_of_one_sequence_while_posts_come_in(teller: Teller) -> None:
    """Every post moves both accounts alike, so any answer of one sequence shows equal balances."""
    stop = threading.Event()

    def post_until_stopped() -> None:
        while not stop.is_set():
            teller.batch([post_operation("cash", "wallet", 1)] * 5)

    names = [pb.BalanceName(account=name, asset="USD") for name in ("cash", "wallet", "cash")]
    request = pb.BatchGetBalancesRequest(ledger=teller.ledger, names=names)
    with ThreadPoolExecutor(2) as pool:
        posting = [pool.submit(post_until_stopped) for _ in range(2)]
        try:
            answers = [
                teller.server.ledgers.BatchGetBalances(request, timeout=DEADLINE_S) for _ in range(60)
            ]
        finally:
            stop.set()
        for future in posting:
            future.result()

    seen = [[int(one.balances[0].posted) for one in answer.accounts] for answer in answers]
    assert all(cash == wallet == again for cash, wallet, again in seen)
    assert len({answer.sequence for answer in answers}) > 1
    for answer, (cash, *_) in list(zip(answers, seen, strict=True))[::20]:
        assert teller.balance("cash", at_sequence=answer.sequence, recompute=True) == cash


def test_a_batch_of_balances_with_an_unknown_account_is_refused_whole(teller: Teller) -> None:
    names = [pb.BalanceName(account="cash"), pb.BalanceName(account="gone")]
    request = pb.BatchGetBalancesRequest(ledger=teller.ledger, names=names)

    refusal = refusal_of(lambda: teller.server.ledgers.BatchGetBalances(request, timeout=DEADLINE_S))

    assert (refusal.reason, refusal.facts["account"]) == ("ACCOUNT_NOT_FOUND", "gone")


# min_sequence --------------------------------------------------------------------------


def test_a_read_waits_for_the_sequence_it_asks_for(teller: Teller) -> None:
    head = teller.head()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(balance_of, teller, "cash", min_sequence=head + 1)
        teller.post("cash", "sales", 5)

        answer = reading.result()

    assert answer.sequence >= head + 1
    assert answer.balances[0].posted == "5"


def test_a_read_of_a_sequence_that_does_not_come_waits_a_second_and_names_the_head(teller: Teller) -> None:
    head = teller.head()
    started = time.monotonic()

    refusal = refusal_of(lambda: balance_of(teller, "cash", min_sequence=head + 1))

    assert 0.9 < time.monotonic() - started < 5
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SEQUENCE_NOT_REACHED")
    assert (refusal.facts["head"], refusal.facts["min_sequence"]) == (str(head), str(head + 1))


def test_at_most_eight_callers_wait_and_the_others_are_told_at_once(teller: Teller) -> None:
    head = teller.head()

    def wait() -> float:
        started = time.monotonic()
        assert refusal_of(lambda: teller.page(min_sequence=head + 1)).reason == "SEQUENCE_NOT_REACHED"
        return time.monotonic() - started

    waited_s = [answer for answer in together([wait] * 30) if isinstance(answer, float)]

    assert len(waited_s) == 30
    assert sum(one >= 1 for one in waited_s) == 8


# lists ---------------------------------------------------------------------------------


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

    found = mixed.walk(filter=pb.TransactionFilter(record_time_from=low, record_time_until=high), order=OLDEST)

    expected = [one for one in everything if low.ToNanoseconds() <= one.record_time.ToNanoseconds() < high.ToNanoseconds()]
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
    """12,500 transactions, of which the first and the last match: the second page is the one that is found."""
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


# entries -------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", [1, 3, 1000])
@pytest.mark.parametrize("order", [OLDEST, NEWEST])
def test_entries_run_with_their_balances_in_every_asset(teller: Teller, order: int, page_size: int) -> None:
    teller.create_asset("EUR", 2)
    for amount in range(1, 6):
        teller.post("cash", "wallet", amount)
        teller.post("cash", "wallet", amount * 10, asset="EUR")
        teller.post_entries([*lines("cash", "wallet", 2), *lines("wallet", "cash", 1)])

    found: list[pb.AccountEntry] = []
    page = entries_of(teller, "wallet", order=order, page_size=page_size)
    found += page.entries
    while page.next_page_token:
        teller.post("cash", "wallet", 1_000)
        page = entries_of(teller, "wallet", order=order, page_size=page_size, page_token=page.next_page_token)
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

    (one,) = entries_of(teller, "wallet", asset="USD").entries

    assert (one.entry.asset, one.entry.amount, one.kind, one.description) == ("USD", "1", "sale", "first")
    assert refusal_of(lambda: entries_of(teller, "wallet", asset="GBP")).reason == "ASSET_NOT_FOUND"
    assert refusal_of(lambda: entries_of(teller, "gone")).reason == "ACCOUNT_NOT_FOUND"


# trial balance -------------------------------------------------------------------------


def test_the_trial_balance_by_account_is_of_one_sequence_on_all_its_pages(teller: Teller) -> None:
    for number in range(12):
        teller.open_account(f"customers:{number:02}")
    teller.batch([post_operation("cash", f"customers:{number:02}", number + 1) for number in range(12)])
    asked = {"rows": pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT, "page_size": 5, "digest": True}

    pages = [teller.trial_balance(**asked)]
    while pages[-1].next_page_token:
        teller.post("cash", "customers:00", 1_000)
        pages.append(teller.trial_balance(page_token=pages[-1].next_page_token, **asked))

    rows = [row for page in pages for row in page.rows]
    assert [len(page.rows) for page in pages] == [5, 5, 3]
    assert [(row.account, row.debits, row.credits, row.net) for row in rows] == [
        ("cash", "78", "0", "78"),
        *((f"customers:{number:02}", "0", str(number + 1), str(-number - 1)) for number in range(12)),
    ]
    assert len({page.sequence for page in pages}) == len({page.digest for page in pages}) == 1
    assert all(page.totals == pages[0].totals for page in pages)


def test_later_pages_are_of_the_first_ones_sequence_also_on_another_server(cluster: Cluster) -> None:
    with cluster.database() as database, serving(database.app_url) as one, serving(database.app_url) as two:
        teller = Teller.open(one)
        teller.batch([post_operation("cash", "sales", 5), post_operation("other", "wallet", 6)])
        asked = {"rows": pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT, "page_size": 2}
        first = teller.trial_balance(**asked)
        teller.post("cash", "sales", 100)

        second = teller.at(two).trial_balance(page_token=first.next_page_token, **asked)

    assert second.sequence == first.sequence
    assert [(row.account, row.credits) for row in second.rows] == [("sales", "5"), ("wallet", "6")]


def test_the_trial_balance_by_type_adds_accounts_up(teller: Teller) -> None:
    teller.post("cash", "sales", 5)
    teller.post("other", "sales", 7)
    teller.post("cash", "wallet", 1)

    answer = teller.trial_balance(rows=pb.TRIAL_BALANCE_ROWS_BY_TYPE)

    assert [(row.type, row.account, row.net) for row in answer.rows] == [
        (nouns.ACCOUNT_TYPE_ASSET, "", "13"),
        (nouns.ACCOUNT_TYPE_LIABILITY, "", "-1"),
        (nouns.ACCOUNT_TYPE_REVENUE, "", "-12"),
    ]
    assert answer.status == pb.TRIAL_BALANCE_STATUS_OK
    assert answer.basis == pb.TRIAL_BALANCE_BASIS_RECOMPUTED
    assert [(one.asset, one.total_debits, one.total_credits, one.difference) for one in answer.totals] == [
        ("USD", "13", "13", "0")
    ]


def test_the_trial_balance_of_a_past_sequence_is_what_it_was_then(teller: Teller) -> None:
    first = teller.post("cash", "sales", 5).transaction.sequence
    then = teller.trial_balance(digest=True)
    teller.post("cash", "sales", 7)

    again = teller.trial_balance(at_sequence=first, digest=True)

    assert again == then
    assert teller.trial_balance(digest=True).digest != then.digest
    assert refusal_of(lambda: teller.trial_balance(at_sequence=10_000)).reason == "SEQUENCE_NOT_REACHED"


def test_two_databases_fed_the_same_drafts_have_one_digest(cluster: Cluster) -> None:
    digests, hashes = set(), set()
    for committers in (1, 4):
        with cluster.database() as database, serving(database.app_url, committers=committers) as server:
            teller = Teller.open(server, "same:name")
            posted = teller.batch([post_operation("cash", "sales", amount) for amount in range(1, 60)])
            teller.reverse(posted[3].sequence)
            digests.add(teller.trial_balance(digest=True).digest)
            hashes.add(posted[-1].hash)

    assert len(digests) == 1
    # Salts and times differ, and the chain with them.
    assert len(hashes) == 2


@pytest.mark.criterion("S003-29")
def test_sums_go_beyond_int64_and_beyond_38_digits(teller: Teller) -> None:
    most = "9" * 38
    teller.post("cash", "sales", most)
    teller.post("sales", "cash", most)
    teller.post("cash", "sales", 2**63)

    (total,) = teller.trial_balance().totals

    assert total.total_debits == total.total_credits == str(2 * int(most) + 2**63)
    assert len(total.total_debits) == 39
    assert total.difference == "0"
    assert teller.balance("sales") == 2**63
    assert teller.balance("sales", recompute=True) == 2**63
    overflow = refusal_of(lambda: teller.post("cash", "sales", most))
    assert (overflow.code, overflow.reason) == (grpc.StatusCode.OUT_OF_RANGE, "AMOUNT_OVERFLOW")


def test_record_times_never_go_back_when_the_clock_does(cluster: Cluster) -> None:
    ticks = iter([5_000_000_000, 1_000_000, 4_000_000_000, 6_000_000_000, 6_000_000_000])
    now = 7_000_000_000_000_000

    with (
        cluster.database() as database,
        serving(database.app_url, clock=lambda time: now + next(ticks, 0)) as server,
    ):
        teller = Teller.open(server)
        times = [one.record_time for one in [teller.post("cash", "sales", 1).transaction for _ in range(6)]]

    assert all(earlier.ToMicroseconds() <= later.ToMicroseconds() for earlier, later in pairwise(times))


def test_reads_of_an_unknown_ledger_are_not_found(shared_server: Serving) -> None:
    nowhere = Teller(shared_server, "nowhere")

    answers = [
        answer_of(call)
        for call in (
            lambda: nowhere.balance("cash"),
            lambda: nowhere.page(),
            lambda: nowhere.trial_balance(),
            lambda: nowhere.transaction(1),
            lambda: nowhere.head(),
            lambda: entries_of(nowhere, "cash"),
        )
    ]

    assert all(isinstance(one, Refused) and one.reason == "LEDGER_NOT_FOUND" for one in answers)
