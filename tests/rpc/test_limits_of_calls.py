"""How long a call may take: deadlines, given and not, and callers who never send what they began."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import psycopg
import pytest
from callers import Teller, lines, post_operation
from clusters import Database
from faults import until
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving
from statuses import told

from ledger_server.domain.refusals import Refusal
from ledger_server.rpc import limits
from ledger_server.rpc.interceptors import silence
from ledger_server.rpc.interceptors.silence import Silence
from ledger_server.rpc.server import IN_FLIGHT_MAX
from ledger_server.store.books import lane_lock

POST = "/ledger.v1.LedgerService/Post"
PATIENCE_S = 30.0


@pytest.fixture
def teller(server: Serving) -> Teller:
    """A fresh ledger."""
    return Teller.open(server)


def _in_flight(server: Serving) -> int:
    assert server.app._server is not None
    return server.app._server._pool.in_flight


@contextmanager
def _held(database: Database, teller: Teller) -> Iterator[None]:
    """Nothing of the ledger is committed in the block."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        found = connection.execute("select ledger_id from ledger.directory where name = %s", [teller.ledger])
        row = found.fetchone()
        assert row is not None
        connection.execute("select pg_advisory_lock(%s)", [lane_lock(row[0])])
        yield


def _post(teller: Teller, amount: int, key: str, timeout: float | None) -> pb.PostResponse:
    entries = lines("cash", "sales", amount)
    request = pb.PostRequest(ledger=teller.ledger, idempotency_key=key, entries=entries)
    return teller.server.ledgers.Post(request, timeout=timeout)


# deadlines --------------------------------------------------------------------------------


def test_a_call_without_a_deadline_is_told_after_the_default_and_the_key_tells_what_became_of_it(
    teller: Teller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DEADLINE_MS_DEFAULT", 300)

    with _held(database, teller):
        start = time.monotonic()
        refusal = told(lambda: _post(teller, 5, "k", None))
        took_s = time.monotonic() - start
        until(lambda: _in_flight(teller.server) == 0, "its thread is free while the lane is still held")

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert refusal.facts == {"same_key_retry": "true"}
    assert "ask again with the same key" in refusal.message
    assert refusal.retry_after_s is None
    assert 0.3 <= took_s < 5.0
    # Who leaves changes nothing: it is recorded, once.
    assert _post(teller, 5, "k", PATIENCE_S).transaction.entries[0].amount == "5"
    assert teller.balance("cash") == 5


def test_a_call_without_a_deadline_that_is_answered_in_time_is_answered(
    teller: Teller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DEADLINE_MS_DEFAULT", 20_000)
    answers: list[pb.PostResponse] = []

    with _held(database, teller):
        waiting = threading.Thread(target=lambda: answers.append(_post(teller, 5, "", None)))
        waiting.start()
        until(lambda: _in_flight(teller.server) == 1, "it waits")
        waiting.join(0.5)
        assert not answers
    waiting.join(PATIENCE_S)

    assert answers[0].transaction.sequence


def test_a_longer_deadline_counts_as_the_longest_and_a_shorter_one_as_it_is(
    teller: Teller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DEADLINE_MS_DEFAULT", 100)
    monkeypatch.setattr(limits, "DEADLINE_MS_MAX", 1_500)

    with _held(database, teller):
        start = time.monotonic()
        with pytest.raises(grpc.RpcError) as own:
            _post(teller, 1, "", 0.7)
        own_s = time.monotonic() - start
        start = time.monotonic()
        refusal = told(lambda: _post(teller, 1, "", 3_600))
        longest_s = time.monotonic() - start

    # The caller's own side says so, at his own time.
    assert own.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.7 <= own_s < 1.5
    assert refusal.reason == "DEADLINE_EXCEEDED"
    assert 1.5 <= longest_s < 6.0


def test_a_caller_s_own_deadline_frees_the_thread_that_waited_for_him(
    teller: Teller, database: Database
) -> None:
    with _held(database, teller):
        calls = [
            teller.server.ledgers.Post.future(
                pb.PostRequest(ledger=teller.ledger, entries=lines("cash", "sales", 1)), timeout=2
            )
            for _ in range(60)
        ]
        until(lambda: _in_flight(teller.server) == len(calls), "all of them wait")
        until(lambda: all(call.done() for call in calls), "their time is over")
        until(lambda: _in_flight(teller.server) == 0, "their threads are free while the lane is still held")

    assert {call.code() for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    # What they left behind was committed, in its turn.
    until(lambda: teller.balance("cash") == 60, "all of it is recorded")


def test_a_read_that_waits_is_bounded_as_well(
    teller: Teller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DEADLINE_MS_DEFAULT", 300)
    request = pb.GetBalanceRequest(ledger=teller.ledger, account="cash", asset="USD")

    with psycopg.connect(database.owner_url) as connection:
        connection.execute("lock table ledger.entries in access exclusive mode")
        refusal = told(lambda: teller.server.ledgers.GetBalance(request))
        until(lambda: _in_flight(teller.server) == 0, "its thread is free while the table is locked")

    assert refusal.reason == "DEADLINE_EXCEEDED"
    assert teller.balance("cash") == 0


# callers who never send what they began ------------------------------------------------------


class Begun:
    """Calls whose message does not come until `go` is set."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        self.go = threading.Event()
        self.calls: list[Any] = []

    def begin(self, count: int, message: bytes = b"") -> None:
        """So many more."""

        def late() -> Iterator[bytes]:
            self.go.wait(PATIENCE_S)
            yield message

        method = self._server.channel.stream_unary(POST)
        self.calls += [method.future(late(), timeout=PATIENCE_S) for _ in range(count)]

    def __enter__(self) -> Begun:
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        for call in self.calls:
            call.cancel()


def _statuses(calls: list[Any]) -> set[grpc.StatusCode]:
    until(lambda: all(call.done() for call in calls), "ended")
    return {call.code() for call in calls}


def test_who_stays_silent_is_ended_and_leaves_room(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    """240 callers who began a call and sent nothing filled the server for as long as they liked."""
    monkeypatch.setattr(limits, "MESSAGE_WAIT_CROWDED_MS_MAX", 1_000)
    # Who began last is alone with others' room when the first have gone.
    monkeypatch.setattr(limits, "MESSAGE_WAIT_MS_MAX", 2_000)
    with Begun(teller.server) as silent:
        silent.begin(IN_FLIGHT_MAX)
        until(lambda: _in_flight(teller.server) == IN_FLIGHT_MAX, "full")
        assert told(lambda: teller.post("cash", "sales", 1)).reason == "OVERLOADED"

        until(lambda: _in_flight(teller.server) < IN_FLIGHT_MAX, "room")

        assert teller.post("cash", "sales", 1).transaction.sequence
        assert _statuses(silent.calls) == {grpc.StatusCode.CANCELLED}
    silence = teller.server.app._server._admission._silence  # type: ignore[union-attr]
    until(lambda: not silence._waiting, "forgotten")


def test_a_message_may_take_its_time_where_there_is_room(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MESSAGE_WAIT_CROWDED_MS_MAX", 1)
    monkeypatch.setattr(limits, "MESSAGE_WAIT_MS_MAX", 60_000)
    request = pb.PostRequest(ledger=teller.ledger, entries=lines("cash", "sales", 7)).SerializeToString()

    with Begun(teller.server) as slow:
        slow.begin(IN_FLIGHT_MAX // 2 - 1, request)
        until(lambda: _in_flight(teller.server) == IN_FLIGHT_MAX // 2 - 1, "begun")
        time.sleep(3 * silence._LOOK_S)
        slow.go.set()
        assert _statuses(slow.calls) == {grpc.StatusCode.OK}


def test_a_call_without_its_message_is_told_so(teller: Teller) -> None:
    call = teller.server.channel.stream_unary(POST).future(iter(()), timeout=PATIENCE_S)

    assert _statuses([call]) == {grpc.StatusCode.UNIMPLEMENTED}
    assert call.details() == "the call has no message; it takes one"


class Context:
    """As much of a call as can be ended."""

    def __init__(self) -> None:
        self.is_over = False

    def cancel(self) -> None:
        """Ends it."""
        self.is_over = True


class Silent:
    """Messages that do not come while the test looks."""

    def __init__(self, looks: Callable[[], None]) -> None:
        self._looks = looks

    def __iter__(self) -> Silent:
        return self

    def __next__(self) -> bytes:
        self._looks()
        return b"late"


@pytest.mark.parametrize(
    ("is_crowded", "patience_ms"),
    [(False, limits.MESSAGE_WAIT_MS_MAX), (True, limits.MESSAGE_WAIT_CROWDED_MS_MAX)],
    ids=["room", "crowd"],
)
def test_the_edge_of_patience(is_crowded: bool, patience_ms: int) -> None:
    now = [100.0]
    watch = Silence(lambda: is_crowded, lambda: now[0])
    context = Context()

    def looks() -> None:
        now[0] = 100.0 + patience_ms / 1_000 - 0.001
        watch.look()
        assert not context.is_over
        now[0] = 100.0 + patience_ms / 1_000 + 0.001
        watch.look()
        assert context.is_over

    assert watch.message(Silent(looks), context) == b"late"  # type: ignore[arg-type]
    # Who has sent his message is watched no more.
    context.is_over = False
    now[0] = 1_000.0
    watch.look()
    assert not context.is_over


# large messages -----------------------------------------------------------------------------


def _large_batch(teller: Teller, size_bytes: int) -> pb.PostBatchRequest:
    """A batch that is refused for what is in it, of about so many bytes."""
    batch = pb.PostBatchRequest(ledger=teller.ledger)
    batch.operations.add().post.description = "x" * size_bytes
    return batch


def test_only_so_many_bytes_of_large_messages_are_served_together(
    teller: Teller, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty messages of 8 MiB, each of them forty times as large once it is read, took all memory."""
    monkeypatch.setattr(limits, "LARGE_BYTES_IN_FLIGHT_MAX", 250_000)
    operations = [post_operation("cash", "sales", 1, metadata={"k": "v" * 1_000})] * 95
    large = pb.PostBatchRequest(ledger=teller.ledger, operations=operations)
    assert 90_000 < large.ByteSize() < 150_000
    admission = teller.server.app._server._admission  # type: ignore[union-attr]

    with _held(database, teller):
        served = [teller.server.ledgers.PostBatch.future(large, timeout=PATIENCE_S) for _ in range(2)]
        until(lambda: admission._large.bytes_in_flight == 2 * large.ByteSize(), "two are in flight")
        refusal = told(lambda: teller.server.ledgers.PostBatch(large, timeout=PATIENCE_S))
        # What is small is none of this.
        assert teller.server.accounts.GetAccount(
            accounts_pb.GetAccountRequest(ledger=teller.ledger, name="cash"), timeout=PATIENCE_S
        )

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert refusal.facts == {
        "bytes_in_flight": str(2 * large.ByteSize()),
        "bytes_in_flight_max": "250000",
    }
    assert refusal.retry_after_s == 0.25
    assert [len(call.result(PATIENCE_S).results) for call in served] == [95, 95]
    until(lambda: admission._large.bytes_in_flight == 0, "their room is free")
    assert len(teller.server.ledgers.PostBatch(large, timeout=PATIENCE_S).results) == 95


def test_a_large_message_that_is_alone_always_has_room(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LARGE_BYTES_IN_FLIGHT_MAX", 1)
    batch = _large_batch(teller, 200_000)

    assert teller.server.ledgers.PostBatch(batch, timeout=PATIENCE_S).results[0].HasField("status")


@pytest.mark.parametrize("size_bytes", [64 * 1024 - 1, 64 * 1024], ids=["small", "large"])
def test_bytes_that_do_not_parse_are_a_violation_of_any_size(teller: Teller, size_bytes: int) -> None:
    refusal = told(lambda: teller.server.channel.unary_unary(POST)(b"\xff" * size_bytes, timeout=PATIENCE_S))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert teller.server.app._server._admission._large.bytes_in_flight == 0  # type: ignore[union-attr]


def test_a_refused_request_is_not_kept_until_cycles_are_collected(teller: Teller) -> None:
    """Each refused message of 8 MiB stayed, forty times as large, until the collector came by."""
    refused_calls: list[Callable[[], object]] = [
        lambda: teller.post("cash", "cash", 0),
        lambda: teller.post("cash", "nobody", 1),
        lambda: teller.balance("nobody"),
        lambda: teller.transaction(99),
    ]
    gc.collect()
    gc.disable()
    try:
        for call in refused_calls:
            told(call)
        batch = _large_batch(teller, 200_000)
        batch.view = 99  # type: ignore[assignment]
        told(lambda: teller.server.ledgers.PostBatch(batch, timeout=PATIENCE_S))
        until(lambda: _in_flight(teller.server) == 0, "answered")

        until(lambda: not _leading_back(), "forgotten")
    finally:
        gc.enable()


def _leading_back() -> list[Refusal]:
    """Refusals that are alive and lead back to where they were raised, and so to their requests."""
    found = [one for one in gc.get_objects() if isinstance(one, Refusal)]
    return [one for one in found if one.__traceback__ is not None]


def test_silent_watches_of_health_do_not_keep_others_from_watching(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of them held the threads that watches begin on, for ever."""
    monkeypatch.setattr(limits, "MESSAGE_WAIT_MS_MAX", 500)
    path = "/grpc.health.v1.Health/Watch"
    released = threading.Event()

    def nothing() -> Iterator[bytes]:
        released.wait(PATIENCE_S)
        return
        yield b""

    silent = [teller.server.channel.stream_stream(path)(nothing(), timeout=PATIENCE_S) for _ in range(8)]
    try:
        watch = teller.server.channel.unary_stream(path)(b"", timeout=PATIENCE_S)

        assert next(watch) == b"\x08\x01"
        until(lambda: all(one.done() for one in silent), "ended")
        assert {one.code() for one in silent} == {grpc.StatusCode.CANCELLED}
        watch.cancel()
    finally:
        released.set()
