"""One key is one intention: the same content is answered as recorded, other content is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from callers import (
    Teller,
    lines,
    post_operation,
    refusal_of,
    refused_operation,
    reverse_operation,
    together,
    unsound,
)
from clusters import Cluster, Database
from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import ledger_pb2 as nouns
from serving import Serving, serving

NOON = Timestamp(seconds=1_700_000_000, nanos=123_456_000)
CONTENT: dict[str, Any] = {
    "kind": "sale",
    "effective_time": NOON,
    "description": "three apples",
    "metadata": {"till": "7", "shift": "early"},
    "external_ref": "invoice 12",
}
DETAILS: dict[str, Any] = {key: CONTENT[key] for key in ("effective_time", "description", "metadata")}


def without(content: dict[str, Any], field: str) -> dict[str, Any]:
    """The content with one field not given."""
    return {key: value for key, value in content.items() if key != field}


@pytest.mark.criterion("S004-8", "S002-2")
def test_the_same_post_again_answers_the_same_bytes(teller: Teller) -> None:
    first = teller.post("cash", "sales", 500, "k", **CONTENT)
    head = teller.head()

    again = teller.post("cash", "sales", 500, "k", **CONTENT)

    assert (first.replayed, again.replayed) == (False, True)
    assert again.transaction.SerializeToString(deterministic=True) == first.transaction.SerializeToString(
        deterministic=True
    )
    assert teller.head() == head
    assert teller.balance("cash") == 500


@pytest.mark.criterion("S004-8", "S002-2")
def test_the_same_reversal_again_answers_the_same_bytes(teller: Teller) -> None:
    teller.post("cash", "sales", 500, "k")

    first = teller.reverse("k", "undo k", **DETAILS)
    again = teller.reverse(first.transaction.reverses, "undo k", **DETAILS)

    assert (first.replayed, again.replayed) == (False, True)
    assert again.transaction.SerializeToString(deterministic=True) == first.transaction.SerializeToString(
        deterministic=True
    )
    assert teller.balance("cash") == 0


def test_a_replay_answers_the_record_as_it_was_written_also_after_it_was_reversed(teller: Teller) -> None:
    first = teller.post("cash", "sales", 500, "k")
    reversal = teller.reverse("k")

    again = teller.post("cash", "sales", 500, "k")

    assert again.replayed
    assert again.transaction == first.transaction
    assert again.transaction.reversed_by == 0
    assert teller.transaction("k").reversed_by == reversal.transaction.sequence


@pytest.mark.criterion("S004-10")
def test_a_replay_beats_the_balance_check(teller: Teller) -> None:
    teller.post("cash", "wallet", 100)
    spent = teller.post("wallet", "sales", 100, "spend all")

    again = teller.post("wallet", "sales", 100, "spend all")
    refusal = refusal_of(lambda: teller.post("wallet", "sales", 100, "spend more"))

    assert again.replayed
    assert again.transaction == spent.transaction
    assert refusal.reason == "INSUFFICIENT_FUNDS"
    assert teller.balance("wallet") == 0


POST_CHANGES: list[tuple[str, Callable[[Teller], object]]] = [
    ("entries", lambda teller: teller.post("cash", "sales", 501, "k", **CONTENT)),
    ("entries", lambda teller: teller.post("sales", "cash", 500, "k", **CONTENT)),
    ("entries", lambda teller: teller.post("other", "sales", 500, "k", **CONTENT)),
    ("entries", lambda teller: teller.post("cash", "sales", 500, "k", asset="EUR", **CONTENT)),
    ("entries", lambda teller: teller.post_entries(lines("cash", "sales", 500)[::-1], "k", **CONTENT)),
    (
        "entries",
        lambda teller: teller.post_entries(lines("cash", "sales", 250) * 2, "k", **CONTENT),
    ),
    ("kind", lambda teller: teller.post("cash", "sales", 500, "k", **{**CONTENT, "kind": "Sale"})),
    ("kind", lambda teller: teller.post("cash", "sales", 500, "k", **without(CONTENT, "kind"))),
    (
        "effective_time",
        lambda teller: teller.post(
            "cash", "sales", 500, "k", **{**CONTENT, "effective_time": Timestamp(seconds=1_700_000_000)}
        ),
    ),
    (
        "effective_time",
        lambda teller: teller.post("cash", "sales", 500, "k", **without(CONTENT, "effective_time")),
    ),
    (
        "description",
        lambda teller: teller.post("cash", "sales", 500, "k", **without(CONTENT, "description")),
    ),
    (
        "metadata",
        lambda teller: teller.post("cash", "sales", 500, "k", **{**CONTENT, "metadata": {"till": "7"}}),
    ),
    (
        "metadata",
        lambda teller: teller.post(
            "cash", "sales", 500, "k", **{**CONTENT, "metadata": {"till": "7", "shift": "late"}}
        ),
    ),
    (
        "external_ref",
        lambda teller: teller.post("cash", "sales", 500, "k", **{**CONTENT, "external_ref": "invoice 13"}),
    ),
    (
        "kind,description",
        lambda teller: teller.post("cash", "sales", 500, "k", **{**CONTENT, "kind": "x", "description": "y"}),
    ),
    (
        "entries,kind,effective_time,description,metadata,external_ref",
        lambda teller: teller.post("cash", "sales", 1, "k"),
    ),
    ("verb", lambda teller: teller.reverse("earlier", "k", **DETAILS)),
]


@pytest.mark.parametrize(("fields", "change"), POST_CHANGES)
def test_a_key_of_a_post_with_other_content_is_refused_naming_the_fields(
    teller: Teller, fields: str, change: Callable[[Teller], object]
) -> None:
    teller.create_asset("EUR", 2)
    teller.post("cash", "sales", 9, "earlier")
    first = teller.post("cash", "sales", 500, "k", **CONTENT)
    head = teller.head()

    refusal = refusal_of(lambda: change(teller))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
    assert refusal.facts == {
        "idempotency_key": "k",
        "sequence": str(first.transaction.sequence),
        "differing_fields": fields,
    }
    assert not refusal.is_retryable
    assert teller.head() == head


REVERSE_CHANGES: list[tuple[str, Callable[[Teller], object]]] = [
    ("transaction", lambda teller: teller.reverse("second", "undo", **DETAILS)),
    ("effective_time", lambda teller: teller.reverse("first", "undo", **without(DETAILS, "effective_time"))),
    ("description", lambda teller: teller.reverse("first", "undo", **{**DETAILS, "description": "oops"})),
    ("metadata", lambda teller: teller.reverse("first", "undo", **without(DETAILS, "metadata"))),
    ("transaction", lambda teller: teller.reverse(999_999, "undo", **DETAILS)),
    ("verb", lambda teller: teller.post("sales", "cash", 500, "undo", kind="sale", **DETAILS)),
]


@pytest.mark.parametrize(("fields", "change"), REVERSE_CHANGES)
def test_a_key_of_a_reversal_with_other_content_is_refused_naming_the_fields(
    teller: Teller, fields: str, change: Callable[[Teller], object]
) -> None:
    teller.post("cash", "sales", 500, "first", kind="sale")
    teller.post("cash", "sales", 500, "second", kind="sale")
    first = teller.reverse("first", "undo", **DETAILS)
    head = teller.head()

    refusal = refusal_of(lambda: change(teller))

    assert refusal.reason == "IDEMPOTENCY_KEY_REUSED"
    assert refusal.facts["sequence"] == str(first.transaction.sequence)
    assert refusal.facts["differing_fields"] == fields
    assert teller.head() == head


def test_an_effective_time_that_equals_the_record_time_still_differs_from_none(teller: Teller) -> None:
    first = teller.post("cash", "sales", 5, "k")

    refusal = refusal_of(
        lambda: teller.post("cash", "sales", 5, "k", effective_time=first.transaction.record_time)
    )

    assert first.transaction.effective_time == first.transaction.record_time
    assert refusal.facts["differing_fields"] == "effective_time"


def test_what_the_ledger_cuts_off_does_not_make_content_differ(teller: Teller) -> None:
    first = teller.post("cash", "sales", 5, "k", effective_time=Timestamp(seconds=5, nanos=1_999))

    again = teller.post("cash", "sales", 5, "  k ", effective_time=Timestamp(seconds=5, nanos=1_001))

    assert again.replayed
    assert again.transaction == first.transaction


@pytest.mark.criterion("S002-2", "S004-11")
def test_a_key_belongs_to_its_ledger(teller: Teller, shared_server: Serving) -> None:
    elsewhere = Teller.open(shared_server)
    teller.post("cash", "sales", 5, "k")

    posted = elsewhere.post("cash", "sales", 6, "k")

    assert not posted.replayed
    assert (teller.balance("cash"), elsewhere.balance("cash")) == (5, 6)


def test_posts_without_a_key_are_each_recorded(teller: Teller) -> None:
    first, second = teller.post("cash", "sales", 5), teller.post("cash", "sales", 5, "   ")

    assert not second.replayed
    assert second.transaction.sequence == first.transaction.sequence + 1
    assert second.transaction.idempotency_key == ""


def test_a_refused_post_burns_no_key(teller: Teller) -> None:
    refusal = refusal_of(lambda: teller.post("wallet", "sales", 70, "k"))
    teller.post("cash", "wallet", 100)

    posted = teller.post("wallet", "sales", 30, "k")

    assert refusal.reason == "INSUFFICIENT_FUNDS"
    assert not posted.replayed
    assert teller.balance("wallet") == 70


def test_a_refused_reversal_burns_no_key(teller: Teller) -> None:
    refusal = refusal_of(lambda: teller.reverse("not there", "k"))

    posted = teller.post("cash", "sales", 30, "k")

    assert refusal.reason == "TRANSACTION_NOT_FOUND"
    assert not posted.replayed


def test_an_equal_key_later_in_a_batch_is_a_replay_or_refused(teller: Teller) -> None:
    first, replay, refused, reversal, again, verb = teller.batch(
        [
            post_operation("cash", "sales", 5, "k"),
            post_operation("cash", "sales", 5, "k"),
            post_operation("cash", "sales", 6, "k"),
            reverse_operation("k", "undo"),
            reverse_operation("k", "undo"),
            reverse_operation("k", "k"),
        ]
    )

    assert (first.replayed, replay.replayed) == (False, True)
    assert (replay.sequence, replay.hash) == (first.sequence, first.hash)
    assert refused_operation(refused).reason == "IDEMPOTENCY_KEY_REUSED"
    assert refused_operation(refused).facts["sequence"] == str(first.sequence)
    assert (again.replayed, again.sequence) == (True, reversal.sequence)
    assert refused_operation(verb).facts["differing_fields"] == "verb"
    assert teller.balance("cash") == 0


def test_equal_keys_of_two_servers_are_one_transaction(cluster: Cluster) -> None:
    with cluster.database() as database, serving(database.app_url) as one, serving(database.app_url) as two:
        first = Teller.open(one)
        second = first.at(two)
        for number in range(20):
            key = f"k{number}"
            answers = together(
                [
                    lambda teller=teller, key=key: teller.batch(
                        [post_operation("cash", "sales", 7, f"{key}/{place}") for place in range(40)]
                    )
                    for teller in (first, second)
                ]
            )
            assert not isinstance(answers[0], Exception)
            assert [one.hash for one in answers[0]] == [one.hash for one in answers[1]]
            assert sorted(one.replayed for answer in answers for one in answer) == [False] * 40 + [True] * 40

        assert first.balance("cash") == second.balance("cash") == 20 * 40 * 7
        assert unsound(database.owner_url, first.ledger) == []


def test_validate_only_answers_like_a_real_call_and_writes_nothing(
    teller: Teller, shared_database: Database
) -> None:
    teller.post("cash", "wallet", 100, "earlier")
    head = teller.head()

    tried = teller.post("wallet", "sales", 60, "k", validate_only=True)
    replay = teller.post("cash", "wallet", 100, "earlier", validate_only=True)
    conflict = refusal_of(lambda: teller.post("cash", "wallet", 101, "earlier", validate_only=True))
    refusal = refusal_of(lambda: teller.post("wallet", "sales", 101, "k", validate_only=True))

    assert (tried.replayed, tried.transaction.sequence, tried.transaction.hash) == (False, 0, b"")
    assert [one.balance_after for one in tried.transaction.entries] == ["40", "60"]
    assert replay.replayed
    assert replay.transaction == teller.transaction("earlier")
    assert conflict.reason == "IDEMPOTENCY_KEY_REUSED"
    assert refusal.reason == "INSUFFICIENT_FUNDS"
    assert teller.head() == head
    assert teller.balance("wallet") == 100
    assert unsound(shared_database.owner_url, teller.ledger) == []


def test_validate_only_burns_no_key_and_leaves_no_trace_for_the_next_call(teller: Teller) -> None:
    teller.post("cash", "wallet", 100)
    for _ in range(2):
        teller.post("wallet", "sales", 60, "k", validate_only=True)

    real = teller.post("wallet", "sales", 50, "k")
    missing = refusal_of(lambda: teller.reverse("never recorded"))

    assert not real.replayed
    assert [one.balance_after for one in real.transaction.entries] == ["50", "50"]
    assert missing.reason == "TRANSACTION_NOT_FOUND"


def test_an_account_of_the_same_name_is_a_replay_or_refused_naming_the_fields(teller: Teller) -> None:
    again = teller.open_account("wallet", balance_min="0")
    refusals = [
        refusal_of(lambda: teller.open_account("wallet")),
        refusal_of(lambda: teller.open_account("wallet", nouns.ACCOUNT_TYPE_ASSET, balance_min="0")),
        refusal_of(lambda: teller.create_asset("USD", 3)),
    ]

    assert again.replayed
    assert again.account.version == 1
    assert [one.facts["differing_fields"] for one in refusals] == ["limits", "type", "scale"]
    assert {one.code for one in refusals} == {grpc.StatusCode.ALREADY_EXISTS}


@pytest.mark.criterion("S003-20")
def test_external_ref_is_kept_and_not_unique(teller: Teller) -> None:
    first = teller.post("cash", "sales", 5, external_ref="order 1", metadata={"note": "n", "reason": "r"})
    second = teller.post("cash", "sales", 6, external_ref="order 1")

    assert first.transaction.external_ref == second.transaction.external_ref == "order 1"
    assert second.transaction.sequence == first.transaction.sequence + 1
    assert dict(teller.transaction(first.transaction.sequence).metadata) == {"note": "n", "reason": "r"}
    assert first.transaction.created_by
