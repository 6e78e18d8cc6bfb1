"""The order of judgement: a request that deserves two refusals gets the first of them.

Each row has a request that deserves both, and the same one without the first fault,
which shows that the second was deserved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from builders import CREDIT, DEBIT, entry
from callers import Teller, lines, post_operation, transaction_name
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving
from statuses import told, told_operation

from ledger_server.domain.amounts import AMOUNT_MAX


@pytest.fixture(scope="module")
def filled(shared_server: Serving) -> Teller:
    """A ledger in which every refusal of the state can be earned.

    The vault holds as much as a balance can; the wallet is empty and bounded below,
    the jar full and bounded above. Sequence 9 is the post "k", 10 its reversal "r",
    11 a top-up of the wallet and 12 its reversal.
    """
    teller = Teller.open(shared_server)
    teller.open_account("vault", nouns.ACCOUNT_TYPE_ASSET)
    teller.open_account("jar", nouns.ACCOUNT_TYPE_ASSET, balance_max="0")
    teller.post("cash", "sales", 5, "k")
    teller.reverse("k", "r")
    teller.post("cash", "wallet", 5, "top-up")
    teller.reverse("top-up", "top-down")
    teller.post("vault", "cash", AMOUNT_MAX, "brim")
    teller.open_account("locker", nouns.ACCOUNT_TYPE_ASSET)
    teller.change("Freeze", "locker")
    return teller


def _post(
    *entries: nouns.EntryDraft, key: str = "", ledger: str = "", **more: Any
) -> Callable[[Teller], Any]:
    def call(teller: Teller) -> Any:
        request = pb.PostRequest(ledger=ledger or teller.ledger, idempotency_key=key, entries=entries, **more)
        return teller.server.ledgers.Post(request, timeout=30)

    return call


def _reverse(name: int | str | None, key: str = "") -> Callable[[Teller], Any]:
    def call(teller: Teller) -> Any:
        named = transaction_name(name) if name is not None else None
        request = pb.ReverseRequest(ledger=teller.ledger, transaction=named, idempotency_key=key)
        return teller.server.ledgers.Reverse(request, timeout=30)

    return call


def _batch(operations: list[pb.Operation], ledger: str = "", view: int = 0) -> Callable[[Teller], Any]:
    def call(teller: Teller) -> Any:
        request = pb.PostBatchRequest(ledger=ledger or teller.ledger, operations=operations, view=view)  # type: ignore[arg-type]
        return teller.server.ledgers.PostBatch(request, timeout=30)

    return call


ZERO = [entry("cash", DEBIT, "0"), entry("sales", CREDIT, "1")]
UNEQUAL = lines("cash", "sales", 1) + lines("cash", "sales", 1)[:1]
MISMATCHED = [entry("cash", DEBIT, "1", "USD"), entry("sales", CREDIT, "1", "EUR")]
NOWHERE = lines("cash", "nowhere", 1)
NO_ASSET = lines("cash", "sales", 1, "XXX")
OVERFLOW = lines("vault", "sales", 1)
# The wallet would fall below its minimum, the jar rise above its maximum.
POOR = lines("wallet", "other", 1)
FULL = lines("jar", "other", 1)
TOO_MANY = [pb.Operation()] * 8193

# The locker is frozen; the wallet is at version 1.
SHUT = lines("locker", "other", 1)
UNMET = [pb.Precondition(account_version=pb.AccountVersionCondition(account="wallet", version=2))]

Row = tuple[str, Callable[[Teller], Any], str, Callable[[Teller], Any]]
ROWS: list[Row] = [
    (
        "VALIDATION_FAILED",
        _post(*ZERO, kind="k" * 65),
        "AMOUNT_INVALID",
        _post(*ZERO),
    ),
    ("AMOUNT_INVALID", _post(*ZERO, *UNEQUAL), "UNBALANCED_TRANSACTION", _post(*UNEQUAL)),
    ("AMOUNT_INVALID", _post(*ZERO, *MISMATCHED), "ASSET_MISMATCH", _post(*MISMATCHED)),
    (
        "UNBALANCED_TRANSACTION",
        _post(*UNEQUAL, ledger="nobody's"),
        "LEDGER_NOT_FOUND",
        _post(*NOWHERE, ledger="nobody's"),
    ),
    ("ASSET_MISMATCH", _post(*MISMATCHED, key="k"), "IDEMPOTENCY_KEY_REUSED", _post(*NOWHERE, key="k")),
    (
        "UNBALANCED_TRANSACTION",
        _post(*UNEQUAL, key="k"),
        "IDEMPOTENCY_KEY_REUSED",
        _post(*lines("cash", "sales", 6), key="k"),
    ),
    ("LEDGER_NOT_FOUND", _post(*NOWHERE, ledger="nobody's"), "ACCOUNT_NOT_FOUND", _post(*NOWHERE)),
    ("IDEMPOTENCY_KEY_REUSED", _post(*NOWHERE, key="k"), "ACCOUNT_NOT_FOUND", _post(*NOWHERE, key="new")),
    ("ACCOUNT_NOT_FOUND", _post(*NO_ASSET, *NOWHERE), "ASSET_NOT_FOUND", _post(*NO_ASSET)),
    ("ASSET_NOT_FOUND", _post(*OVERFLOW, *NO_ASSET), "AMOUNT_OVERFLOW", _post(*OVERFLOW)),
    (
        "IDEMPOTENCY_KEY_REUSED",
        _post(*NOWHERE, key="k", preconditions=UNMET),
        "PRECONDITION_FAILED",
        _post(*NOWHERE, key="new", preconditions=UNMET),
    ),
    ("PRECONDITION_FAILED", _post(*NOWHERE, preconditions=UNMET), "ACCOUNT_NOT_FOUND", _post(*NOWHERE)),
    ("PRECONDITION_FAILED", _post(*POOR, preconditions=UNMET), "INSUFFICIENT_FUNDS", _post(*POOR)),
    ("ASSET_NOT_FOUND", _post(*SHUT, *NO_ASSET), "ACCOUNT_FROZEN", _post(*SHUT)),
    ("ACCOUNT_FROZEN", _post(*OVERFLOW, *SHUT), "AMOUNT_OVERFLOW", _post(*OVERFLOW)),
    ("ACCOUNT_FROZEN", _post(*POOR, *SHUT), "INSUFFICIENT_FUNDS", _post(*POOR)),
    ("AMOUNT_OVERFLOW", _post(*POOR, *OVERFLOW), "INSUFFICIENT_FUNDS", _post(*POOR)),
    ("AMOUNT_OVERFLOW", _post(*FULL, *OVERFLOW), "BALANCE_LIMIT_EXCEEDED", _post(*FULL)),
    # Bounds are judged in the order of the entries.
    ("INSUFFICIENT_FUNDS", _post(*POOR, *FULL), "BALANCE_LIMIT_EXCEEDED", _post(*FULL)),
    ("BALANCE_LIMIT_EXCEEDED", _post(*FULL, *POOR), "INSUFFICIENT_FUNDS", _post(*POOR)),
    ("VALIDATION_FAILED", _reverse(None, "k"), "IDEMPOTENCY_KEY_REUSED", _reverse(999, "k")),
    ("IDEMPOTENCY_KEY_REUSED", _reverse(999, "k"), "TRANSACTION_NOT_FOUND", _reverse(999)),
    ("IDEMPOTENCY_KEY_REUSED", _reverse("r", "k"), "REVERSAL_FORBIDDEN_TYPE", _reverse("r")),
    ("IDEMPOTENCY_KEY_REUSED", _reverse("k", "k"), "REVERSAL_ALREADY_EXISTS", _reverse("k")),
    ("VALIDATION_FAILED", _batch(TOO_MANY, view=9), "BATCH_TOO_LARGE", _batch(TOO_MANY)),
    (
        "BATCH_TOO_LARGE",
        _batch(TOO_MANY, ledger="nobody's"),
        "LEDGER_NOT_FOUND",
        _post(*NOWHERE, ledger="nobody's"),
    ),
]


@pytest.mark.criterion("S003-33")
@pytest.mark.parametrize(
    ("first", "both", "second", "other"), ROWS, ids=[f"{row[0]}-before-{row[2]}" for row in ROWS]
)
def test_of_two_refusals_the_first_is_told(
    filled: Teller, first: str, both: Callable[[Teller], Any], second: str, other: Callable[[Teller], Any]
) -> None:
    assert told(lambda: both(filled)).reason == first
    assert told(lambda: other(filled)).reason == second


def test_a_second_reversal_is_told_before_the_funds_it_would_need(filled: Teller) -> None:
    # The wallet is empty again: one more reversal of the top-up would overdraw it.
    assert told(lambda: filled.reverse("top-up")).reason == "REVERSAL_ALREADY_EXISTS"
    assert told(lambda: filled.post("wallet", "other", 5)).reason == "INSUFFICIENT_FUNDS"


def test_a_reversal_of_spent_money_is_refused(teller: Teller) -> None:
    teller.post("cash", "wallet", 5, "top-up")
    teller.post("wallet", "sales", 5)

    refusal = told(lambda: teller.reverse("top-up"))

    assert refusal.reason == "INSUFFICIENT_FUNDS"
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION


def test_the_key_is_judged_before_the_state(teller: Teller) -> None:
    teller.post("cash", "wallet", 80)
    spent = teller.post("wallet", "sales", 80, "spend")

    again = teller.post("wallet", "sales", 80, "spend")

    assert again.replayed
    assert again.transaction == spent.transaction
    assert told(lambda: teller.post("wallet", "sales", 80, "other")).reason == "INSUFFICIENT_FUNDS"


def test_a_refused_post_burns_no_key(teller: Teller) -> None:
    assert told(lambda: teller.post("wallet", "sales", 1, "k")).reason == "INSUFFICIENT_FUNDS"
    assert told(lambda: teller.post("nowhere", "sales", 1, "k")).reason == "ACCOUNT_NOT_FOUND"
    head = teller.head()

    posted = teller.post("cash", "sales", 2, "k")

    assert not posted.replayed
    assert posted.transaction.sequence == head + 1


@pytest.mark.criterion("S000-28")
def test_a_key_used_for_other_content_names_what_differs_and_the_original(teller: Teller) -> None:
    posted = teller.post("cash", "sales", 1, "k", kind="sale", description="tea")

    refusal = told(lambda: teller.post("cash", "sales", 2, "k", kind="gift", description="tea"))

    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    assert refusal.reason == "IDEMPOTENCY_KEY_REUSED"
    assert refusal.facts == {
        "idempotency_key": "k",
        "sequence": str(posted.transaction.sequence),
        "differing_fields": "entries,kind",
    }


def test_validate_only_is_refused_like_a_real_call(filled: Teller) -> None:
    for entries in (NOWHERE, NO_ASSET, OVERFLOW, POOR, FULL):
        real = told(lambda entries=entries: filled.post_entries(entries))  # type: ignore[misc]
        dry = told(lambda entries=entries: filled.post_entries(entries, validate_only=True))  # type: ignore[misc]

        assert (dry.reason, dry.message, dry.facts) == (real.reason, real.message, real.facts)


def test_validate_only_answers_replays_and_conflicts_and_burns_nothing(teller: Teller) -> None:
    teller.post("cash", "sales", 1, "k")
    head = teller.head()

    fresh = teller.post("cash", "sales", 7, "new", validate_only=True)
    replay = teller.post("cash", "sales", 1, "k", validate_only=True)

    assert (fresh.transaction.sequence, fresh.transaction.hash, fresh.replayed) == (0, b"", False)
    assert [one.balance_after for one in fresh.transaction.entries] == ["8", "8"]
    assert replay.replayed
    assert (
        told(lambda: teller.post("cash", "sales", 2, "k", validate_only=True)).reason
        == "IDEMPOTENCY_KEY_REUSED"
    )
    assert teller.head() == head
    assert not teller.post("cash", "sales", 3, "new").replayed


def test_each_operation_of_a_batch_gets_the_refusal_of_its_single_call(filled: Teller) -> None:
    faulty = [NOWHERE, NO_ASSET, OVERFLOW, POOR, FULL, ZERO, UNEQUAL, MISMATCHED]
    operations = [pb.Operation(post=pb.PostOperation(entries=entries)) for entries in faulty]

    results = filled.batch(operations)

    for entries, result in zip(faulty, results, strict=True):
        single = told(lambda entries=entries: filled.post_entries(entries))  # type: ignore[misc]
        assert told_operation(result) == single


def test_a_malformed_operation_refuses_its_atomic_batch_before_any_state(teller: Teller) -> None:
    good, poor = post_operation("cash", "sales", 1, "k"), post_operation("wallet", "sales", 1)
    malformed = post_operation("cash", "sales", 0)

    results = teller.batch([good, poor, malformed], atomic=True)

    told_all = [told_operation(result) for result in results]
    assert [one.reason for one in told_all] == [
        "ATOMIC_GROUP_REFUSED",
        "ATOMIC_GROUP_REFUSED",
        "AMOUNT_INVALID",
    ]
    assert {one.code for one in told_all[:2]} == {grpc.StatusCode.ABORTED}
    assert told_all[0].facts == {"culprit_index": "2", "culprit_reason": "AMOUNT_INVALID"}
    assert not teller.post("cash", "sales", 5, "k").replayed
