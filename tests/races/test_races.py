"""Callers that meet: whatever they do at one moment, the books are as if they had come one by one."""

from __future__ import annotations

import secrets
from functools import partial

import grpc
import pytest
from callers import Refused, Teller, lines, refusal_of, spread, together, unsound
from clusters import Database
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from serving import Serving


@pytest.mark.criterion("S003-11", "S003-10")
def test_of_twenty_concurrent_reversals_exactly_one_is_recorded(
    tellers: list[Teller], shared_database: Database
) -> None:
    posted = tellers[0].post("cash", "sales", 700)

    answers = together(
        [partial(teller.reverse, posted.transaction.sequence) for teller in spread(tellers, 20)]
    )

    reversals = [answer for answer in answers if not isinstance(answer, Refused)]
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(reversals) == 1
    assert not reversals[0].replayed
    reversal = reversals[0].transaction
    assert {(one.code, one.reason, one.facts["reversed_by"]) for one in refusals} == {
        (grpc.StatusCode.ALREADY_EXISTS, "REVERSAL_ALREADY_EXISTS", str(reversal.sequence))
    }
    assert [(one.account, one.side, one.amount) for one in reversal.entries] == [
        ("cash", nouns.SIDE_CREDIT, "700"),
        ("sales", nouns.SIDE_DEBIT, "700"),
    ]
    assert reversal.reverses == posted.transaction.sequence
    for teller in tellers:
        assert teller.transaction(posted.transaction.sequence).reversed_by == reversal.sequence
        assert teller.balance("cash") == 0
    assert unsound(shared_database.owner_url, tellers[0].ledger) == []


@pytest.mark.criterion("S004-12", "S004-6", "S001-19")
def test_of_two_spends_of_80_from_100_exactly_one_is_recorded(
    tellers: list[Teller], shared_database: Database
) -> None:
    for _ in range(10):
        wallet = f"wallet:{secrets.token_hex(4)}"
        tellers[0].open_account(wallet, balance_min="0")
        tellers[0].post("cash", wallet, 100)
        before = tellers[0].head()

        answers = together([partial(teller.post, wallet, "sales", 80) for teller in spread(tellers, 2)])

        (refusal,) = [answer for answer in answers if isinstance(answer, Refused)]
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "INSUFFICIENT_FUNDS",
        )
        assert (refusal.facts["balance"], refusal.facts["shortfall"]) == ("20", "60")
        assert [teller.balance(wallet) for teller in tellers] == [20] * len(tellers)
        assert tellers[0].head() == before + 1
    assert unsound(shared_database.owner_url, tellers[0].ledger) == []


@pytest.mark.criterion("S001-5", "S001-19")
def test_a_credit_limit_of_100_lets_exactly_ten_of_fifty_purchases_of_10_through(
    tellers: list[Teller], shared_database: Database
) -> None:
    tellers[0].open_account("customer", nouns.ACCOUNT_TYPE_ASSET, balance_max="100")

    answers = together([partial(teller.post, "customer", "sales", 10) for teller in spread(tellers, 50)])

    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(answers) - len(refusals) == 10
    assert {(one.reason, one.facts["balance"], one.facts["balance_max"]) for one in refusals} == {
        ("BALANCE_LIMIT_EXCEEDED", "100", "100")
    }
    assert tellers[-1].balance("customer") == 100
    assert unsound(shared_database.owner_url, tellers[0].ledger) == []


@pytest.mark.criterion("S001-5")
def test_the_exact_limit_is_allowed_and_one_more_is_not(tellers: list[Teller]) -> None:
    tellers[0].open_account("customer", nouns.ACCOUNT_TYPE_ASSET, balance_max="100")
    tellers[-1].post("customer", "sales", 60)

    refusal = refusal_of(lambda: tellers[0].post("customer", "sales", 41))
    tellers[-1].post("customer", "sales", 40)

    assert refusal.reason == "BALANCE_LIMIT_EXCEEDED"
    assert (refusal.facts["balance_max"], refusal.facts["balance"], refusal.facts["shortfall"]) == (
        "100",
        "60",
        "1",
    )
    assert tellers[0].balance("customer") == 100


@pytest.mark.criterion("S004-9", "S004-8", "S000-32")
def test_twelve_equal_posts_are_one_transaction_and_twelve_equal_answers(
    tellers: list[Teller], shared_database: Database
) -> None:
    before = tellers[0].head()
    content = {"kind": "sale", "metadata": {"a": "1", "b": "2"}}

    answers = together(
        [partial(teller.post, "cash", "sales", 125, "order 7", **content) for teller in spread(tellers, 12)]
    )

    assert not [answer for answer in answers if isinstance(answer, Refused)]
    assert len({answer.transaction.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 11
    assert [teller.head() for teller in tellers] == [before + 1] * len(tellers)
    assert tellers[0].balance("cash") == 125
    assert unsound(shared_database.owner_url, tellers[0].ledger) == []


def test_twenty_first_posts_to_fresh_accounts_all_land(
    tellers: list[Teller], shared_database: Database
) -> None:
    for number in range(20):
        tellers[0].open_account(f"customers:{number}")

    answers = together(
        [
            partial(teller.post, "cash", f"customers:{number}", number + 1)
            for number, teller in enumerate(spread(tellers, 20))
        ]
    )

    assert not [answer for answer in answers if isinstance(answer, Refused)]
    assert [tellers[-1].balance(f"customers:{number}") for number in range(20)] == list(range(1, 21))
    assert tellers[0].balance("cash") == 210
    assert unsound(shared_database.owner_url, tellers[0].ledger) == []


@pytest.mark.criterion("S000-3", "S003-17")
def test_payments_of_many_callers_to_one_account_all_count(
    tellers: list[Teller], shared_database: Database
) -> None:
    tellers[0].open_account("customer")

    answers = together(
        [
            partial(teller.post, "cash", "customer", amount)
            for amount, teller in enumerate(spread(tellers, 40), start=1)
        ]
    )

    assert not [answer for answer in answers if isinstance(answer, Refused)]
    assert [teller.balance("customer") for teller in tellers] == [820] * len(tellers)
    assert unsound(shared_database.owner_url, tellers[0].ledger) == []


@pytest.mark.criterion("S001-9")
def test_posts_that_name_accounts_in_opposite_orders_never_deadlock(
    tellers: list[Teller], shared_database: Database
) -> None:
    def pay(number: int, teller: Teller) -> None:
        names = ("cash", "other") if number % 2 else ("other", "cash")
        for _ in range(10):
            entries = lines(*names, 3)
            teller.post_entries(entries if number % 3 else list(reversed(entries)))

    answers = together([partial(pay, *place) for place in enumerate(spread(tellers, 16))])

    assert answers == [None] * 16
    assert tellers[0].balance("cash") == -tellers[0].balance("other") == 0
    assert len(tellers[-1].walk(page_size=1000)) == 160
    assert unsound(shared_database.owner_url, tellers[0].ledger) == []


@pytest.mark.criterion("S004-9")
def test_twelve_equal_creations_are_one_and_the_others_are_replayed(
    servers: list[Serving], shared_database: Database
) -> None:
    name = f"race:{secrets.token_hex(6)}"
    request = admin_pb.CreateLedgerRequest(name=name, description="same")

    ledgers = together(
        [partial(server.admin.CreateLedger, request, timeout=30) for server in spread(servers, 12)]
    )
    tellers = [Teller(server, name) for server in servers]
    assets = together([partial(teller.create_asset, "EUR", 2) for teller in spread(tellers, 12)])
    accounts = together(
        [
            partial(teller.open_account, "cash", asset="EUR", balance_min="-500")
            for teller in spread(tellers, 12)
        ]
    )

    for answers in (ledgers, assets, accounts):
        assert not [answer for answer in answers if isinstance(answer, Refused)]
        assert sorted(answer.replayed for answer in answers) == [False] + [True] * 11
    assert len({answer.ledger.SerializeToString(deterministic=True) for answer in ledgers}) == 1
    assert len({answer.asset.SerializeToString(deterministic=True) for answer in assets}) == 1
    assert len({answer.account.SerializeToString(deterministic=True) for answer in accounts}) == 1
    assert tellers[0].head() == 3
    assert unsound(shared_database.owner_url, name) == []


def test_of_two_posts_with_one_key_and_other_content_one_is_recorded_and_the_other_told(
    tellers: list[Teller], shared_database: Database
) -> None:
    for number in range(10):
        answers = together(
            [
                partial(teller.post, "cash", "sales", amount, f"key {number}")
                for amount, teller in zip((5, 6), spread(tellers, 2), strict=True)
            ]
        )

        (recorded,) = [answer for answer in answers if not isinstance(answer, Refused)]
        (refusal,) = [answer for answer in answers if isinstance(answer, Refused)]
        assert refusal.reason == "IDEMPOTENCY_KEY_REUSED"
        assert refusal.facts["sequence"] == str(recorded.transaction.sequence)
        assert refusal.facts["differing_fields"] == "entries"
    assert unsound(shared_database.owner_url, tellers[0].ledger) == []


@pytest.mark.criterion("S000-1")
def test_the_balance_is_the_fold_of_the_entries_however_posts_interleave(
    tellers: list[Teller], shared_database: Database
) -> None:
    def churn(number: int, teller: Teller) -> None:
        for amount in range(1, 9):
            posted = teller.post("cash", "wallet", amount + number)
            if amount % 3 == 0:
                teller.reverse(posted.transaction.sequence)

    together([partial(churn, *place) for place in enumerate(spread(tellers, 8))])

    at = tellers[0].head()
    entries = tellers[-1].entries("wallet", page_size=1000, order=nouns.ORDER_OLDEST_FIRST).entries
    fold = 0
    for one in entries:
        fold += int(one.entry.amount) * (1 if one.entry.side == nouns.SIDE_CREDIT else -1)
        assert int(one.entry.balance_after) == fold
        assert tellers[0].balance("wallet", at_sequence=one.sequence) == fold
    assert tellers[0].balance("wallet", at_sequence=at) == fold
    assert tellers[0].balance("wallet", at_sequence=at, recompute=True) == fold
    assert len(entries) == 80
    assert unsound(shared_database.owner_url, tellers[0].ledger) == []
