"""Accounts opened beside posts: in order, all or none where the batch is atomic, whatever fails of it."""

from __future__ import annotations

import grpc
import psycopg
import pytest
from callers import (
    Teller,
    open_operation,
    post_operation,
    refusal_of,
    refused_operation,
    reverse_operation,
    unsound,
)
from clusters import Database
from faults import Faulty
from ledger.v1 import ledger_pb2 as nouns
from serving import Serving

PLACES = ["before_begin", "after_head", "before_commit", "commit_sent", "after_commit"]
# A customer with a credit limit, and what he buys at once.
SIGN_UP = [
    open_operation("customers:7", balance_min="0", balance_max="100"),
    post_operation("cash", "customers:7", 60, "top-up"),
    open_operation("customers:7:stock", nouns.ACCOUNT_TYPE_ASSET),
    post_operation("customers:7", "sales", 25, "purchase"),
]


def accounts_of(database: Database, ledger: str) -> int:
    """How many account versions there are."""
    with psycopg.connect(database.owner_url) as session:
        row = session.execute(
            "select count(*) from ledger.accounts"
            " where ledger_id = (select ledger_id from ledger.directory where name = %s)",
            [ledger],
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("is_atomic", [False, True], ids=["each", "atomic"])
def test_later_operations_see_the_accounts_that_were_opened_before_them(
    teller: Teller, shared_database: Database, is_atomic: bool
) -> None:
    head = teller.head()

    results = teller.batch(SIGN_UP, atomic=is_atomic, is_full=True)

    assert [one.sequence for one in results] == [head + 1, head + 2, head + 3, head + 4]
    assert [one.HasField("account") for one in results] == [True, False, True, False]
    assert [one.HasField("transaction") for one in results] == [False, True, False, True]
    assert all(len(one.hash) == 32 and not one.replayed for one in results)
    assert results[0].account == teller.account("customers:7")
    assert results[1].transaction.entries[1].balance_after == "60"
    assert teller.balance("customers:7") == 35
    assert unsound(shared_database.owner_url, teller.ledger) == []


def test_an_account_is_not_there_for_what_stands_before_its_opening(teller: Teller) -> None:
    early, opened, late = teller.batch(
        [post_operation("cash", "new", 1), open_operation("new"), post_operation("cash", "new", 1)]
    )

    assert refused_operation(early).reason == "ACCOUNT_NOT_FOUND"
    assert (opened.sequence + 1, late.HasField("status")) == (late.sequence, False)


def test_a_new_accounts_limits_bound_what_follows(teller: Teller, shared_database: Database) -> None:
    results = teller.batch(
        [open_operation("card", balance_max="10"), post_operation("cash", "card", 11)]
        + [post_operation("cash", "card", 5) for _ in range(3)]
    )

    assert [one.HasField("status") for one in results] == [False, True, False, False, True]
    assert refused_operation(results[4]).facts["shortfall"] == "5"
    assert unsound(shared_database.owner_url, teller.ledger) == []


@pytest.mark.criterion("S000-28")
def test_the_same_batch_again_is_a_replay_and_other_content_is_told_apart(teller: Teller) -> None:
    first = teller.batch(SIGN_UP, atomic=True, is_full=True)
    head = teller.head()

    again = teller.batch(SIGN_UP, atomic=True, is_full=True)
    (other,) = teller.batch([open_operation("customers:7", balance_min="0")])

    assert all(one.replayed for one in again)
    assert [(one.sequence, one.hash, one.account) for one in again] == [
        (one.sequence, one.hash, one.account) for one in first
    ]
    refusal = refused_operation(other)
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    assert (refusal.reason, refusal.facts["differing_fields"]) == ("ACCOUNT_ALREADY_EXISTS", "limits")
    assert teller.head() == head


def test_an_account_of_a_changed_name_is_answered_as_it_was_opened(teller: Teller) -> None:
    (opened,) = teller.batch([open_operation("card", balance_min="0")], is_full=True)
    teller.update("card", limits=[])

    (again,) = teller.batch([open_operation("card", balance_min="0")], is_full=True)

    assert again.replayed
    assert again.account == opened.account


@pytest.mark.criterion("S000-26")
@pytest.mark.parametrize(
    ("culprit", "reason"),
    [
        (post_operation("customers:7", "sales", 36), "INSUFFICIENT_FUNDS"),
        (post_operation("cash", "nowhere", 1), "ACCOUNT_NOT_FOUND"),
        (open_operation("customers:8", asset="XXX", balance_min="0"), "ASSET_NOT_FOUND"),
        (open_operation("wallet"), "ACCOUNT_ALREADY_EXISTS"),
        (open_operation("a::b"), "VALIDATION_FAILED"),
        (open_operation("customers:8", balance_min="1"), "VALIDATION_FAILED"),
        (reverse_operation("never"), "TRANSACTION_NOT_FOUND"),
    ],
    ids=["funds", "account", "asset", "other content", "name", "limit", "origin"],
)
def test_one_refusal_leaves_no_account_and_no_post(
    teller: Teller, shared_database: Database, culprit: object, reason: str
) -> None:
    head, accounts = teller.head(), accounts_of(shared_database, teller.ledger)

    results = teller.batch([*SIGN_UP, culprit], atomic=True)  # type: ignore[list-item]

    refusals = [refused_operation(one) for one in results]
    assert [one.reason for one in refusals] == ["ATOMIC_GROUP_REFUSED"] * 4 + [reason]
    assert refusals[0].facts["culprit_index"] == "4"
    assert (teller.head(), accounts_of(shared_database, teller.ledger)) == (head, accounts)
    # What was decided and undone is not remembered either.
    assert [one.replayed for one in teller.batch(SIGN_UP, atomic=True)] == [False] * 4


@pytest.mark.criterion("S000-26")
@pytest.mark.parametrize("broken", ["accounts", "transactions", "entries", "audit_events"])
def test_a_part_that_the_database_cannot_write_leaves_none_of_the_others(
    server: Serving, database: Database, broken: str
) -> None:
    teller = Teller.open(server)
    head, accounts = teller.head(), accounts_of(database, teller.ledger)
    with psycopg.connect(database.owner_url, autocommit=True) as session:
        breaking = f"alter table ledger.{broken} add constraint broken check (false) not valid"
        session.execute(breaking.encode())

        results = teller.batch(SIGN_UP, atomic=True)

        session.execute(f"alter table ledger.{broken} drop constraint broken".encode())
    assert {refused_operation(one).code for one in results} == {grpc.StatusCode.INTERNAL}
    assert (teller.head(), accounts_of(database, teller.ledger)) == (head, accounts)
    assert refusal_of(lambda: teller.balance("customers:7")).reason == "ACCOUNT_NOT_FOUND"

    again = teller.batch(SIGN_UP, atomic=True)

    assert [one.sequence for one in again] == [head + 1, head + 2, head + 3, head + 4]
    assert unsound(database.owner_url, teller.ledger) == []


@pytest.mark.criterion("S000-26")
def test_a_session_that_is_ended_anywhere_on_the_path_leaves_all_or_none(faulty: Faulty) -> None:
    for place in PLACES:
        teller = Teller.open(faulty.server)
        head = teller.head()
        faulty.end_the_next_lane_holder_at(place)

        results = teller.batch(SIGN_UP, atomic=True)

        assert [(one.sequence, one.replayed) for one in results] == [
            (head + number, False) for number in range(1, 5)
        ], place
        assert teller.head() == head + 4, place
        assert unsound(faulty.database.owner_url, teller.ledger) == [], place
