"""Posts that share calls: against the live server, the same for threads and for tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from callers import Teller, unsound
from client.conftest import PostBatches
from client.faces import Face, opened
from client.relay import Relay
from clusters import Database
from faults import until
from serving import Serving

from ledger_client import (
    Draft,
    Line,
    OutcomeUnknown,
    Posted,
    ReversalDraft,
    connect_async,
    credit,
    debit,
)
from ledger_client.refusals import (
    AmountInvalid,
    BatchTooLarge,
    DeadlineExceeded,
    InsufficientFunds,
    LedgerNotFound,
    TransactionNotFound,
    ValidationFailed,
)

SALE = [debit("cash", 5, "USD"), credit("sales", 5, "USD")]
OVERDRAFT = [debit("wallet", 5, "USD"), credit("cash", 5, "USD")]


def start_behind(
    face: Face, batches: PostBatches, ledger: str, posts: list[list[Line]], **more: Any
) -> list[Future[Posted]]:
    """Starts posts while another one's call is held, and lets all go on once they wait in the client."""
    batches.gate.clear()
    called = len(batches.sizes)
    first = face.start("post", ledger, SALE)
    until(lambda: len(batches.sizes) == called + 1, "the first call under way")
    started = [face.start("post", ledger, lines, **more) for lines in posts]
    lane = face_lane(face, ledger)
    until(lambda: lane.outstanding == len(posts) + 1, "all posts wait")
    batches.gate.set()
    first.result(60)
    return started


def face_lane(face: Face, ledger: str) -> Any:
    return face._client._posting._lanes[ledger]


def test_posts_that_wait_while_a_call_is_under_way_go_together(
    face: Face, books: Teller, batches: PostBatches
) -> None:
    started = start_behind(face, batches, books.ledger, [SALE] * 64)

    posted = [each.result(60) for each in started]

    assert len({one.sequence for one in posted}) == 64
    assert not any(one.replayed for one in posted)
    assert batches.sizes == [1, 64]
    assert books.balance("cash") == 65 * 5


def test_one_refused_post_among_64_fails_alone(face: Face, books: Teller, batches: PostBatches) -> None:
    posts = [OVERDRAFT if number == 40 else SALE for number in range(64)]

    started = start_behind(face, batches, books.ledger, posts)

    with pytest.raises(InsufficientFunds) as caught:
        started[40].result(60)
    assert (caught.value.account, caught.value.shortfall, caught.value.balance) == ("wallet", 5, 0)
    assert len(caught.value.idempotency_key) == 36
    others = [each.result(60) for number, each in enumerate(started) if number != 40]
    assert len({one.sequence for one in others}) == 63
    assert books.balance("cash") == 64 * 5


def test_malformed_drafts_fail_alone_each_with_its_own_reason(
    face: Face, books: Teller, batches: PostBatches
) -> None:
    negative = [debit("cash", -5, "USD"), credit("sales", -5, "USD")]

    started = start_behind(face, batches, books.ledger, [SALE, negative, [SALE[0]], SALE])

    with pytest.raises(AmountInvalid):
        started[1].result(60)
    with pytest.raises(ValidationFailed) as caught:
        started[2].result(60)
    assert caught.value.violations[0].field == "entries"
    assert started[3].result(60).sequence == started[0].result(60).sequence + 1


def test_an_amount_that_is_no_int_never_leaves_the_client(
    face: Face, books: Teller, batches: PostBatches
) -> None:
    with pytest.raises(TypeError, match="int of minor units"):
        face.post(books.ledger, [debit("cash", 5.0, "USD"), SALE[1]])  # type: ignore[arg-type]
    with pytest.raises(BatchTooLarge):
        face.post(books.ledger, SALE, description="x" * (8 << 20))

    assert batches.sizes == []


def test_a_ledger_that_does_not_exist_is_told_to_every_post(face: Face, server: Serving) -> None:
    started = [face.start("post", "nowhere", SALE) for _ in range(8)]

    for each in started:
        with pytest.raises(LedgerNotFound) as caught:
            each.result(60)
        assert caught.value.facts == {"ledger": "nowhere"}


def test_a_batch_keeps_the_contract_s_limits(
    face: Face, books: Teller, batches: PostBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger_client.lane.BATCH_ENTRIES_MAX", 20)
    started = start_behind(face, batches, books.ledger, [SALE] * 64)

    assert [each.result(60).replayed for each in started] == [False] * 64
    assert max(batches.sizes) == 10


def test_a_lost_answer_is_asked_for_again_and_nothing_is_made_twice(
    face_name: str, server: Serving, database: Database, books: Teller, batches: PostBatches
) -> None:
    with Relay(server.target) as relay, opened(face_name, relay.target) as face:
        face.post(books.ledger, SALE)
        batches.once_recorded = relay.cut
        started = start_behind(face, batches, books.ledger, [SALE] * 20)

        posted = [each.result(60) for each in started]

    assert relay.connections >= 2
    assert books.balance("cash") == 22 * 5
    assert len({one.sequence for one in posted}) == 20
    assert unsound(database.owner_url, books.ledger) == []


def test_a_recorded_post_whose_answer_was_lost_comes_back_as_a_replay(
    face_name: str, server: Serving, books: Teller, batches: PostBatches
) -> None:
    with Relay(server.target) as relay, opened(face_name, relay.target) as face:
        batches.once_recorded = relay.cut

        posted = face.post(books.ledger, SALE)

    assert posted.replayed
    assert len(batches.sizes) == 2
    assert books.transaction(posted.idempotency_key).sequence == posted.sequence


def test_a_deadline_tells_the_key_and_that_the_outcome_is_unknown(
    face: Face, books: Teller, batches: PostBatches
) -> None:
    batches.gate.clear()
    with pytest.raises(OutcomeUnknown) as caught:
        face.post(books.ledger, SALE, deadline_s=0.3)
    batches.gate.set()

    key = caught.value.idempotency_key
    until(lambda: recorded(face, books.ledger, key), "recorded after all")
    assert face.post(books.ledger, SALE, idempotency_key=key).replayed
    assert books.balance("cash") == 5


def test_a_post_that_was_never_sent_says_that_nothing_was_recorded(
    face: Face, books: Teller, batches: PostBatches
) -> None:
    batches.gate.clear()
    first = face.start("post", books.ledger, SALE)
    until(lambda: batches.sizes, "the first call under way")

    with pytest.raises(DeadlineExceeded) as caught:
        face.post(books.ledger, SALE, deadline_s=0.3)
    batches.gate.set()
    first.result(60)
    face.post(books.ledger, SALE)

    assert not recorded(face, books.ledger, caught.value.idempotency_key)
    assert books.balance("cash") == 2 * 5


def test_a_blank_key_is_no_key_and_a_lost_answer_is_not_made_twice(
    face_name: str, server: Serving, books: Teller, batches: PostBatches
) -> None:
    with Relay(server.target) as relay, opened(face_name, relay.target) as face:
        batches.once_recorded = relay.cut
        posted = face.post(books.ledger, SALE, idempotency_key=" ")
        batches.once_recorded = relay.cut
        (other,) = face.post_batch(books.ledger, [Draft(SALE, " ")])

    assert posted.replayed
    assert other.replayed
    assert books.balance("cash") == 2 * 5


def test_a_batch_of_unknown_outcome_is_made_once_when_sent_again_under_its_keys(
    face: Face, books: Teller, batches: PostBatches
) -> None:
    drafts = [Draft(SALE), Draft(SALE, "mine")]
    batches.gate.clear()
    with pytest.raises(OutcomeUnknown) as caught:
        face.post_batch(books.ledger, drafts, deadline_s=0.3)
    batches.gate.set()

    keys = caught.value.idempotency_keys
    again = [replace(draft, idempotency_key=key) for draft, key in zip(drafts, keys, strict=True)]
    face.post_batch(books.ledger, again)

    assert (len(keys[0]), keys[1]) == (36, "mine")
    assert books.balance("cash") == 2 * 5


def test_a_server_that_is_not_there_leaves_the_outcome_unknown(face_name: str) -> None:
    with opened(face_name, "127.0.0.1:1") as face, pytest.raises(OutcomeUnknown) as caught:
        face.post("shop", SALE, deadline_s=0.5)

    assert caught.value.idempotency_key


def test_posts_wait_for_room_and_none_is_lost(
    face_name: str, server: Serving, books: Teller, batches: PostBatches
) -> None:
    with opened(face_name, server.target, outstanding_max=4) as face:
        batches.gate.clear()
        started = [face.start("post", books.ledger, SALE) for _ in range(50)]
        until(lambda: batches.sizes, "a call under way")
        lane = face_lane(face, books.ledger)
        until(lambda: lane.outstanding == 4, "the lane full")
        with pytest.raises(DeadlineExceeded):
            face.post(books.ledger, SALE, deadline_s=0.2)
        most = watch_most(lambda: lane.outstanding, batches.gate.set, started)

        assert len({each.result(60).sequence for each in started}) == 50

    assert most == 4
    assert max(batches.sizes) <= 4


def watch_most(count: Callable[[], int], begin: Callable[[], None], started: list[Future[Any]]) -> int:
    begin()
    most = 0
    while not all(each.done() for each in started):
        most = max(most, count())
        time.sleep(0)
    return max(most, count())


def test_a_cancelled_task_leaves_a_key_that_can_be_asked_about(
    server: Serving, books: Teller, batches: PostBatches
) -> None:
    async def scenario() -> tuple[str, str]:
        async with connect_async(server.target) as client:
            batches.gate.clear()
            sent, waiting = client.new_key(), client.new_key()
            first = asyncio.create_task(client.post(books.ledger, SALE, idempotency_key=sent))
            while not batches.sizes:
                await asyncio.sleep(0.005)
            second = asyncio.create_task(client.post(books.ledger, SALE, idempotency_key=waiting))
            await asyncio.sleep(0)
            first.cancel()
            second.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            batches.gate.set()
            assert first.cancelled()
            assert second.cancelled()
            # The lane is not stuck, and its count is right.
            await client.post(books.ledger, SALE)
            assert client._posting._lanes[books.ledger].outstanding == 0
            found = await client.get_transaction(books.ledger, sent)
            assert found.idempotency_key == sent
            with pytest.raises(TransactionNotFound):
                await client.get_transaction(books.ledger, waiting)
        return sent, waiting

    asyncio.run(scenario())

    assert books.balance("cash") == 2 * 5


def test_keys_of_the_caller_are_kept_and_a_second_post_is_a_replay(face: Face, books: Teller) -> None:
    first = face.post(books.ledger, SALE, idempotency_key="order 7")
    again = face.post(books.ledger, SALE, idempotency_key="order 7")

    assert first.idempotency_key == "order 7"
    assert (again.sequence, again.hash, again.replayed) == (first.sequence, first.hash, True)


def test_a_reversal_shares_calls_and_is_made_once(face: Face, books: Teller) -> None:
    posted = face.post(books.ledger, SALE, kind="sale", metadata={"order": "7"}, external_ref="7")

    reversal = face.reverse(books.ledger, posted.idempotency_key, description="wrong order")

    found = face.get_transaction(books.ledger, posted.sequence)
    assert (found.reversed_by, found.metadata, found.kind) == (reversal.sequence, {"order": "7"}, "sale")
    assert face.get_balance(books.ledger, "cash", "USD").posted == 0


def test_a_batch_of_its_own_answers_each_draft_in_order(face: Face, books: Teller) -> None:
    drafts = [Draft(SALE, "a"), Draft(OVERDRAFT, "b"), ReversalDraft("a")]

    first, second, third = face.post_batch(books.ledger, drafts)

    assert first.idempotency_key == "a"
    assert isinstance(second, InsufficientFunds)
    assert second.idempotency_key == "b"
    assert third.sequence == first.sequence + 1


def test_an_atomic_batch_is_recorded_whole_or_refused_for_its_culprit(face: Face, books: Teller) -> None:
    with pytest.raises(InsufficientFunds) as caught:
        face.post_atomically(books.ledger, [Draft(SALE), Draft(OVERDRAFT, "culprit"), Draft(SALE)])
    recorded = face.post_atomically(books.ledger, [Draft(SALE), Draft(SALE)])

    assert caught.value.idempotency_key == "culprit"
    assert books.balance("cash") == 2 * 5
    assert recorded[1].sequence == recorded[0].sequence + 1


def test_a_whole_transaction_is_answered_to_who_asks_for_it(face: Face, books: Teller) -> None:
    trial = face.validate(books.ledger, Draft(SALE))
    answer = face.post_whole(books.ledger, Draft(SALE))

    assert trial.transaction.sequence == 0
    assert answer.transaction.entries[0].balance_after == 5
    assert books.balance("cash") == 5


def test_posts_spread_over_connections(
    face_name: str, server: Serving, books: Teller, batches: PostBatches
) -> None:
    with Relay(server.target) as relay, opened(face_name, relay.target, channels=3) as face:
        for _ in range(6):
            face.post(books.ledger, SALE)

    assert relay.connections == 3


def recorded(face: Face, ledger: str, key: str) -> bool:
    """Whether the ledger has a transaction of this key."""
    try:
        face.get_transaction(ledger, key)
    except TransactionNotFound:
        return False
    return True
