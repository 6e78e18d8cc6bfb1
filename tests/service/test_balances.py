"""Balances say which sequence they reflect, and what they say of a sequence never changes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import grpc
from callers import DEADLINE_S, Refused, Teller, answer_of, post_operation, refusal_of, together
from clusters import Cluster
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving, serving


def test_a_balance_at_a_past_sequence_is_what_it_was_then(teller: Teller) -> None:
    stood = [(teller.head(), 0)]
    for amount in (5, 7, 11):
        posted = teller.post("cash", "wallet", amount).transaction
        stood.append((posted.sequence, int(posted.entries[1].balance_after)))

    for sequence, balance in stood:
        for recompute in (False, True):
            answer = teller.balances("wallet", at_sequence=sequence, recompute=recompute)
            assert answer.sequence == sequence
            assert int(answer.balances[0].posted) == balance
    assert teller.balances("wallet").sequence == stood[-1][0]


def test_a_balance_names_the_transaction_that_changed_it_last(teller: Teller) -> None:
    posted = teller.post("cash", "wallet", 5).transaction
    teller.post("other", "sales", 9)

    (balance,) = teller.balances("wallet").balances

    assert balance.last_sequence == posted.sequence
    assert balance.last_record_time == posted.record_time


def test_an_untouched_account_has_0_and_an_unknown_one_is_not_found(teller: Teller) -> None:
    answer = teller.balances("wallet")
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

    answer = teller.balances("wallet", "")

    assert [(one.asset, one.posted) for one in answer.balances] == [("BTC", "7"), ("USD", "5")]
    assert list(teller.balances("other", "").balances) == []


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
            answers = [teller.server.ledgers.BatchGetBalances(request, timeout=DEADLINE_S) for _ in range(60)]
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


def test_a_read_waits_for_the_sequence_it_asks_for(teller: Teller) -> None:
    head = teller.head()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(teller.balances, "cash", min_sequence=head + 1)
        teller.post("cash", "sales", 5)

        answer = reading.result()

    assert answer.sequence >= head + 1
    assert answer.balances[0].posted == "5"


def test_a_read_of_a_sequence_that_does_not_come_waits_a_second_and_names_the_head(teller: Teller) -> None:
    head = teller.head()
    started = time.monotonic()

    refusal = refusal_of(lambda: teller.balances("cash", min_sequence=head + 1))

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
            nowhere.page,
            nowhere.trial_balance,
            lambda: nowhere.transaction(1),
            nowhere.head,
            lambda: nowhere.entries("cash"),
        )
    ]

    assert all(isinstance(one, Refused) and one.reason == "LEDGER_NOT_FOUND" for one in answers)
