"""PostBatch: in order, each seeing the ones before; all or none where it is atomic."""

from __future__ import annotations

import random

import grpc
import pytest
from callers import (
    Teller,
    lines,
    post_operation,
    refused_operation,
    reverse_operation,
    unsound,
)
from clusters import Database
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving

MALFORMED = pb.Operation(post=pb.PostOperation(entries=lines("cash", "sales", "0")))


@pytest.mark.parametrize("is_staged", [False, True], ids=["few", "many"])
def test_each_operation_sees_the_ones_before_it(
    teller: Teller, shared_database: Database, is_staged: bool
) -> None:
    head = teller.head()
    more = [post_operation("other", "sales", 1) for _ in range(100 if is_staged else 0)]

    spent, filled, respent, reversed_, overspent = teller.batch(
        [
            post_operation("wallet", "sales", 80),
            post_operation("cash", "wallet", 100, "fill"),
            post_operation("wallet", "sales", 80, "spend"),
            reverse_operation("spend"),
            post_operation("wallet", "sales", 101),
            *more,
        ]
    )[:5]

    assert refused_operation(spent).reason == "INSUFFICIENT_FUNDS"
    assert [filled.sequence, respent.sequence, reversed_.sequence] == [head + 1, head + 2, head + 3]
    assert refused_operation(overspent).facts["balance"] == "100"
    assert teller.balance("wallet") == 100
    assert teller.head() == head + 3 + len(more)
    assert unsound(shared_database.owner_url, teller.ledger) == []


def test_an_atomic_batch_with_one_refusal_records_nothing_and_names_the_culprit(
    teller: Teller, shared_database: Database
) -> None:
    head = teller.head()

    results = teller.batch(
        [
            post_operation("cash", "wallet", 50, "a"),
            post_operation("wallet", "sales", 51, "b"),
            post_operation("cash", "wallet", 50, "c"),
        ],
        atomic=True,
    )

    refusals = [refused_operation(result) for result in results]
    assert [one.reason for one in refusals] == [
        "ATOMIC_GROUP_REFUSED",
        "INSUFFICIENT_FUNDS",
        "ATOMIC_GROUP_REFUSED",
    ]
    assert [one.code for one in refusals] == [
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
    ]
    assert refusals[0].facts == {"culprit_index": "1", "culprit_reason": "INSUFFICIENT_FUNDS"}
    assert teller.head() == head
    assert not teller.post("cash", "wallet", 1, "a").replayed
    assert unsound(shared_database.owner_url, teller.ledger) == []


def test_a_replay_counts_as_success_in_an_atomic_batch(teller: Teller) -> None:
    before = teller.post("cash", "wallet", 50, "a")

    replay, fresh = teller.batch(
        [post_operation("cash", "wallet", 50, "a"), post_operation("wallet", "sales", 20, "b")], atomic=True
    )

    assert (replay.replayed, replay.sequence, replay.hash) == (
        True,
        before.transaction.sequence,
        before.transaction.hash,
    )
    assert (fresh.replayed, fresh.sequence) == (False, before.transaction.sequence + 1)


def test_a_malformed_operation_refuses_an_atomic_batch_whole(teller: Teller) -> None:
    head = teller.head()

    sound, malformed = teller.batch([post_operation("cash", "sales", 1), MALFORMED], atomic=True)

    assert refused_operation(sound).facts == {"culprit_index": "1", "culprit_reason": "AMOUNT_INVALID"}
    assert refused_operation(malformed).code == grpc.StatusCode.INVALID_ARGUMENT
    assert teller.head() == head


def test_a_malformed_operation_of_an_independent_batch_fails_alone(teller: Teller) -> None:
    first, malformed, unbalanced, empty, last = teller.batch(
        [
            post_operation("cash", "sales", 1),
            MALFORMED,
            pb.Operation(
                post=pb.PostOperation(entries=[lines("cash", "sales", 1)[0], lines("cash", "sales", 2)[1]])
            ),
            pb.Operation(),
            post_operation("cash", "sales", 2),
        ]
    )

    assert last.sequence == first.sequence + 1
    assert refused_operation(malformed).reason == "AMOUNT_INVALID"
    assert refused_operation(unbalanced).reason == "UNBALANCED_TRANSACTION"
    assert refused_operation(empty).reason == "VALIDATION_FAILED"
    assert teller.balance("cash") == 3


def test_an_operation_may_name_an_earlier_one_of_its_batch_by_key(teller: Teller) -> None:
    posted, reversal, second, ghost = teller.batch(
        [
            post_operation("cash", "sales", 9, "k", kind="sale"),
            reverse_operation("k", "undo", description="wrong till"),
            reverse_operation("k"),
            reverse_operation("later"),
        ],
        is_full=True,
    )

    assert reversal.transaction.reverses == posted.sequence
    assert (reversal.transaction.kind, reversal.transaction.description) == ("sale", "wrong till")
    assert refused_operation(second).reason == "REVERSAL_ALREADY_EXISTS"
    assert refused_operation(second).facts["reversed_by"] == str(reversal.sequence)
    assert refused_operation(ghost).reason == "TRANSACTION_NOT_FOUND"


def test_the_full_view_answers_the_transactions_and_the_basic_one_does_not(teller: Teller) -> None:
    operations = [post_operation("cash", "sales", 9, "k"), post_operation("cash", "gone", 1)]

    full = teller.batch(operations, is_full=True)
    basic = teller.batch(operations)

    assert full[0].transaction == teller.transaction("k")
    assert not full[1].HasField("transaction")
    assert not basic[0].HasField("transaction")
    assert (basic[0].sequence, basic[0].hash) == (full[0].sequence, full[0].hash)


def test_the_other_drafts_of_a_reversed_atomic_group_see_nothing_of_it(teller: Teller) -> None:
    """A refused group leaves the books as they were, also for who shares its database transaction."""
    teller.batch([post_operation("cash", "wallet", 50), post_operation("cash", "gone", 1)], atomic=True)

    (after,) = teller.batch([post_operation("wallet", "sales", 1)])

    assert refused_operation(after).facts["balance"] == "0"


def random_operations(seed: int, count: int) -> list[pb.Operation]:
    """Posts and reversals that are sometimes refused."""
    chance = random.Random(seed)
    accounts = ["cash", "other", "sales", "wallet"]
    operations = []
    for number in range(count):
        if number and chance.random() < 0.2:
            operations.append(reverse_operation(f"k{chance.randrange(number)}", f"k{number}"))
            continue
        debit, credit = chance.sample(accounts, 2)
        key = f"k{number if chance.random() < 0.9 else chance.randrange(number + 1)}"
        operations.append(post_operation(debit, credit, chance.randint(1, 100), key))
    return operations


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_batch_gives_what_its_operations_give_one_by_one(
    shared_server: Serving, shared_database: Database, seed: int
) -> None:
    operations = random_operations(seed, 120)
    whole, halved, single = (Teller.open(shared_server) for _ in range(3))

    at_once = whole.batch(operations)
    in_parts = [one for start in range(0, 120, 16) for one in halved.batch(operations[start : start + 16])]
    one_by_one = [single.batch([operation])[0] for operation in operations]

    outcomes = [
        [(one.sequence, one.replayed, one.status.code) for one in results]
        for results in (at_once, in_parts, one_by_one)
    ]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert {code for _, _, code in outcomes[0]} >= {0, grpc.StatusCode.FAILED_PRECONDITION.value[0]}
    digests = {teller.trial_balance(digest=True).digest for teller in (whole, halved, single)}
    assert len(digests) == 1
    for teller in (whole, halved, single):
        assert unsound(shared_database.owner_url, teller.ledger) == []


def test_transactions_of_many_entries_and_assets_go_through_both_write_paths(
    teller: Teller, shared_database: Database
) -> None:
    teller.create_asset("POINT", 0)
    entries = [
        *lines("cash", "sales", 3),
        *lines("other", "wallet", 4, "POINT"),
        *lines("cash", "wallet", 5),
        *lines("wallet", "sales", 5),
    ]
    operation = pb.Operation(post=pb.PostOperation(entries=entries))

    few = teller.batch([operation])
    many = teller.batch([operation] * 50)

    assert not [one for one in few + many if one.HasField("status")]
    assert teller.balance("wallet") == 0
    assert teller.balance("wallet", "POINT") == 51 * 4
    assert teller.balance("sales") == 51 * 8
    assert unsound(shared_database.owner_url, teller.ledger) == []


def test_an_unknown_ledger_refuses_the_whole_batch_by_status(shared_server: Serving) -> None:
    with pytest.raises(grpc.RpcError) as error:
        Teller(shared_server, "nowhere").batch([post_operation("cash", "sales", 1)])

    assert error.value.code() == grpc.StatusCode.NOT_FOUND
