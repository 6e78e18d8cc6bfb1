"""Retries of posts and of calls over a fake channel and fake time: nothing here waits for a clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import grpc_testing
import pytest
from callers import lines as wire_lines
from faults import until
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from ledger.v1 import ledger_service_pb2 as pb

from ledger_client import Client, Draft, OutcomeUnknown, credit, debit
from ledger_client.refusals import BatchTooLarge, DeadlineExceeded, Overloaded

SERVICE = pb.DESCRIPTOR.services_by_name["LedgerService"]
POST_BATCH = SERVICE.methods_by_name["PostBatch"]
POST = SERVICE.methods_by_name["Post"]
SALE = [debit("cash", 5, "USD"), credit("sales", 5, "USD")]


class WithCallbacks:
    """The fake channel, which cannot call back when a call is done: its calls block on threads of a pool."""

    def __init__(self, channel: Any, pool: ThreadPoolExecutor) -> None:
        self._channel = channel
        self._pool = pool

    def unary_unary(self, *arguments: Any, **more: Any) -> Any:
        method = self._channel.unary_unary(*arguments, **more)
        method.future = lambda request, timeout, metadata: self._pool.submit(
            method, request, timeout, metadata
        )
        return method

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


class Stand:
    """A client on a fake channel, and the hand that plays the server and the clock."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self.time = grpc_testing.strict_fake_time(1_000.0)
        self.channel = grpc_testing.channel([SERVICE], self.time)
        self.pauses: list[float] = []
        self.paused = threading.Semaphore(0)
        self.client = Client(
            WithCallbacks(self.channel, pool),  # type: ignore[arg-type]
            deadline_s=10.0,
            clock=self.time.time,
            sleep=self._sleep,
            later=self._later,
            chance=lambda: 0.5,
        )

    def _sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self.time.sleep_for(pause_s)

    def _later(self, function: Any, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self.time.call_in(function, pause_s)
        self.paused.release()

    def start(self, verb: str, *arguments: Any, **more: Any) -> Future[Any]:
        """Begins a call on a thread of its own."""
        return self._pool.submit(getattr(self.client, verb), *arguments, **more)

    def asked(self) -> tuple[pb.PostBatchRequest, Any]:
        """The next PostBatch that the client makes, and the way to answer it."""
        _, request, rpc = self.channel.take_unary_unary(POST_BATCH)
        return pb.PostBatchRequest.FromString(request), rpc

    def pass_the_pause(self) -> None:
        """Lets the time of the pause go by that the client planned."""
        assert self.paused.acquire(timeout=30)
        self.time.sleep_for(self.pauses[-1] + 0.001)


@pytest.fixture
def stand() -> Iterator[Stand]:
    with ThreadPoolExecutor(16) as pool:
        yield Stand(pool)


def answer(rpc: Any, *sequences: int) -> None:
    results = [pb.OperationResult(sequence=sequence, hash=b"#") for sequence in sequences]
    rpc.terminate(pb.PostBatchResponse(results=results), (), grpc.StatusCode.OK, "")


def refuse(rpc: Any, code: grpc.StatusCode, reason: str = "", retry_after_s: int | None = None) -> None:
    status = Status(code=code.value[0], message="no")
    details: list[Any] = [ErrorInfo(reason=reason, domain="ledger.v1")] if reason else []
    if retry_after_s is not None:
        details.append(RetryInfo(retry_delay=Duration(seconds=retry_after_s)))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    trailing = (("grpc-status-details-bin", status.SerializeToString()),) if details else ()
    rpc.terminate(None, trailing, code, "no")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, ""),
        (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN"),
        (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"),
        (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN"),
        (grpc.StatusCode.ABORTED, "CONTENTION"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    ],
)
def test_a_post_goes_again_under_the_same_key_until_it_is_answered(
    stand: Stand, code: grpc.StatusCode, reason: str
) -> None:
    posted = stand.start("post", "books", SALE)
    first, rpc = stand.asked()
    refuse(rpc, code, reason)
    stand.pass_the_pause()
    second, rpc = stand.asked()
    refuse(rpc, code, reason)
    stand.pass_the_pause()
    third, rpc = stand.asked()
    answer(rpc, 7)

    assert posted.result(30).sequence == 7
    assert first == second == third
    assert posted.result().idempotency_key == first.operations[0].post.idempotency_key
    assert stand.pauses[1] - 0.001 == pytest.approx(2 * (stand.pauses[0] - 0.001))


def test_the_server_s_wish_to_wait_is_kept(stand: Stand) -> None:
    posted = stand.start("post", "books", SALE)
    _, rpc = stand.asked()
    refuse(rpc, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after_s=3)
    stand.pass_the_pause()
    _, rpc = stand.asked()
    answer(rpc, 7)

    assert posted.result(30).sequence == 7
    assert stand.pauses[0] >= 3.0


def test_a_wish_beyond_the_deadline_is_told_at_once(stand: Stand) -> None:
    posted = stand.start("post", "books", SALE)
    request, rpc = stand.asked()
    refuse(rpc, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after_s=60)

    with pytest.raises(Overloaded) as caught:
        posted.result(30)
    assert caught.value.idempotency_key == request.operations[0].post.idempotency_key


def test_a_deadline_that_the_channel_notices_leaves_the_outcome_unknown(stand: Stand) -> None:
    posted = stand.start("post", "books", SALE, idempotency_key="mine")
    _, rpc = stand.asked()
    stand.time.sleep_for(10.0)
    refuse(rpc, grpc.StatusCode.DEADLINE_EXCEEDED)

    with pytest.raises(OutcomeUnknown) as caught:
        posted.result(30)
    assert caught.value.idempotency_key == "mine"


def test_one_refused_operation_is_not_sent_again_with_those_that_were_lost(stand: Stand) -> None:
    first = stand.start("post", "books", SALE, idempotency_key="a")
    _, held = stand.asked()
    second = stand.start("post", "books", SALE, idempotency_key="b")
    third = stand.start("post", "books", SALE, idempotency_key="c")
    lane = stand.client._posting._lanes["books"]
    until(lambda: lane.outstanding == 3, "all wait")
    answer(held, 1)
    request, rpc = stand.asked()
    order = [operation.post.idempotency_key for operation in request.operations]
    status = pb.OperationStatus(code=code_pb2.UNAVAILABLE, message="lost")
    results = [pb.OperationResult(sequence=2), pb.OperationResult(status=status)]
    rpc.terminate(pb.PostBatchResponse(results=results), (), grpc.StatusCode.OK, "")
    stand.pass_the_pause()
    again, rpc = stand.asked()
    answer(rpc, 3)

    by_key = {"b": second, "c": third}
    assert first.result(30).sequence == 1
    assert [operation.post.idempotency_key for operation in again.operations] == order[1:]
    assert [by_key[key].result(30).sequence for key in order] == [2, 3]


def test_a_batch_refused_for_its_size_is_halved(stand: Stand) -> None:
    first = stand.start("post", "books", SALE)
    _, held = stand.asked()
    others = [stand.start("post", "books", SALE) for _ in range(2)]
    lane = stand.client._posting._lanes["books"]
    until(lambda: lane.outstanding == 3, "all wait")
    answer(held, 1)
    request, rpc = stand.asked()
    assert len(request.operations) == 2
    refuse(rpc, grpc.StatusCode.RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE")
    halves = [stand.asked() for _ in range(2)]
    answer(halves[0][1], 2)
    refuse(halves[1][1], grpc.StatusCode.RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE")

    assert first.result(30).sequence == 1
    assert [len(request.operations) for request, _ in halves] == [1, 1]
    outcomes = sorted(type(each.exception(30)).__name__ for each in others)
    assert outcomes == [BatchTooLarge.__name__, "NoneType"]


def test_a_call_of_its_own_that_lost_an_answer_stays_unknown(stand: Stand) -> None:
    posted = stand.start("post_whole", "books", Draft(SALE, "mine"), deadline_s=1.0)
    _, request, rpc = stand.channel.take_unary_unary(POST)
    refuse(rpc, grpc.StatusCode.UNAVAILABLE)
    _, again, rpc = stand.channel.take_unary_unary(POST)
    refuse(rpc, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after_s=60)

    with pytest.raises(OutcomeUnknown) as caught:
        posted.result(30)
    assert caught.value.idempotency_key == "mine"
    assert request == again
    assert list(request.entries) == wire_lines("cash", "sales", 5)


def test_a_call_of_its_own_past_its_deadline_is_unknown_for_a_write_and_late_for_a_read(stand: Stand) -> None:
    write = stand.start("post_whole", "books", Draft(SALE, "mine"))
    _, _, rpc = stand.channel.take_unary_unary(POST)
    refuse(rpc, grpc.StatusCode.DEADLINE_EXCEEDED)
    read = stand.start("get_transaction", "books", 7)
    _, _, rpc = stand.channel.take_unary_unary(SERVICE.methods_by_name["GetTransaction"])
    refuse(rpc, grpc.StatusCode.DEADLINE_EXCEEDED)

    with pytest.raises(OutcomeUnknown):
        write.result(30)
    with pytest.raises(DeadlineExceeded):
        read.result(30)
