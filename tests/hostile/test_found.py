"""What hostile bytes have found, each with the call that showed it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from callers import Teller, lines
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hostile.methods import METHODS
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving
from statuses import told

from ledger_server.domain import names
from ledger_server.rpc.contract import SERVICES
from ledger_server.rpc.limits import LIMITS_PER_ACCOUNT_MAX
from ledger_server.rpc.page_tokens import page_token
from ledger_server.rpc.server import IN_FLIGHT_MAX

BESIDE = [method for method in METHODS if not method.path.startswith("/ledger.")]
PATIENCE_S = 30.0


@pytest.fixture
def teller(server: Serving) -> Teller:
    """A fresh ledger."""
    return Teller.open(server)


def _send(server: Serving, path: str, *messages: bytes) -> list[Any]:
    return list(server.channel.stream_stream(path)(iter(messages), timeout=PATIENCE_S))


@pytest.mark.parametrize("method", BESIDE, ids=lambda method: method.name)
def test_bytes_that_do_not_parse_are_an_invalid_argument_for_health_and_reflection_too(
    server: Serving, method: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """They were INTERNAL, without ErrorInfo, and each left a traceback in the log."""
    refusal = told(lambda: _send(server, method.path, b"\xff"))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert caplog.text == ""


def test_garbage_ends_a_stream_after_its_good_messages_were_answered(server: Serving) -> None:
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    answers = server.channel.stream_stream(path)(iter([b"\x3a\x01*", b"\xff"]), timeout=PATIENCE_S)

    first = next(answers)
    refusal = told(lambda: next(answers))

    assert b"ledger.v1.LedgerService" in first
    assert refusal.reason == "VALIDATION_FAILED"


def test_health_lists_every_service(server: Serving, caplog: pytest.LogCaptureFixture) -> None:
    """The method stood in the descriptor only: UNIMPLEMENTED, with a traceback in the log for each call."""
    stub = health_pb2_grpc.HealthStub(server.channel)

    answer = stub.List(health_pb2.HealthListRequest(), timeout=PATIENCE_S)

    assert set(answer.statuses) == {"", *SERVICES}
    assert {one.status for one in answer.statuses.values()} == {health_pb2.HealthCheckResponse.SERVING}
    assert caplog.text == ""


def test_watching_a_service_that_is_none_leaves_nothing_behind(server: Serving) -> None:
    """Every name that was ever watched was remembered for ever, 8 MiB a name if the caller liked."""
    stub = health_pb2_grpc.HealthStub(server.channel)
    names = [f"nobody-{number}" for number in range(20)]

    for name in names:
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE_S)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()

    assert server.app._server._health._watchers == set()  # type: ignore[union-attr]


def test_watchers_who_come_and_go_do_not_stop_the_server(server: Serving) -> None:
    """One who left while another was told stopped it for good: gRPC's serving thread waited for itself."""
    stub = health_pb2_grpc.HealthStub(server.channel)

    def come_and_go(_: int) -> None:
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(come_and_go, range(800)))

    assert stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
    _until(lambda: not server.app._server._health._watchers)  # type: ignore[union-attr]


def test_a_watcher_is_told_every_change_in_order(server: Serving) -> None:
    states = health_pb2.HealthCheckResponse
    health = server.app._server._health  # type: ignore[union-attr]
    watch = health_pb2_grpc.HealthStub(server.channel).Watch(
        health_pb2.HealthCheckRequest(service=SERVICES[0]), timeout=PATIENCE_S
    )

    told_states = [next(watch).status]
    for state in (states.NOT_SERVING, states.SERVING):
        health.set(state)
        told_states.append(next(watch).status)
    watch.cancel()

    assert told_states == [states.SERVING, states.NOT_SERVING, states.SERVING]


def test_more_limits_than_an_account_may_have_are_counted_and_not_judged(teller: Teller) -> None:
    """8 MiB of empty limits took 17 s and 2.4 GiB, and every other caller waited."""
    draft = accounts_pb.AccountDraft(name="q", type=nouns.ACCOUNT_TYPE_ASSET)
    draft.limits.extend([nouns.BalanceLimit()] * (LIMITS_PER_ACCOUNT_MAX + 1))
    request = accounts_pb.CreateAccountRequest(ledger=teller.ledger, account=draft)

    refusal = told(lambda: teller.server.accounts.CreateAccount(request, timeout=PATIENCE_S))

    assert refusal.violations == [("account.limits", "has 1001; at most 1000 are allowed")]


def test_more_metadata_keys_than_there_may_be_are_counted_and_not_judged(teller: Teller) -> None:
    """A message has room for a million of them."""
    metadata = {"": "", "\0": ""} | {str(number): "v" * 1_025 for number in range(63)}

    refusal = told(lambda: teller.post("cash", "sales", 1, metadata=metadata))

    assert refusal.violations == [("metadata", "has 65 keys; at most 64 are allowed")]


def test_who_never_sends_a_message_does_not_keep_others_from_being_refused(server: Serving) -> None:
    """Refusing waited for the refused call's message: two silent callers, and nobody was told anything."""
    teller = Teller.open(server)
    path = "/ledger.v1.LedgerService/Post"
    released = threading.Event()

    def nothing() -> Iterator[bytes]:
        released.wait(PATIENCE_S)
        return
        yield b""

    with ExitStack() as ends:
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [ends.enter_context(grpc.insecure_channel(server.target, options)) for _ in range(4)]
        ends.callback(released.set)
        for number in range(IN_FLIGHT_MAX + 60):
            call = channels[number % 4].stream_unary(path).future(nothing(), timeout=PATIENCE_S)
            ends.callback(call.cancel)
        _until(lambda: server.app._server._pool.in_flight >= IN_FLIGHT_MAX)  # type: ignore[union-attr]

        refusal = told(lambda: teller.post_entries(lines("cash", "sales", 1), timeout=5.0))

    assert refusal.reason == "OVERLOADED"
    _until(lambda: server.app._server._pool.in_flight == 0)  # type: ignore[union-attr]
    assert teller.post("cash", "sales", 1).transaction.sequence


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_names_that_are_too_long_are_not_remembered() -> None:
    """65,536 of them may be, of up to 8 MiB each."""
    names._path_fault.cache_clear()

    for number in range(10):
        assert names.path_fault(f"{number}" * 100_000)

    assert names._path_fault.cache_info().currsize == 0


@pytest.mark.parametrize("order", [1, 2], ids=["newest first", "oldest first"])
def test_a_place_in_a_token_that_no_entry_can_have_ends_the_list(teller: Teller, order: int) -> None:
    """An index beyond a smallint was INTERNAL."""
    teller.post("cash", "wallet", 1)
    request = pb.ListEntriesRequest(ledger=teller.ledger, account="cash", order=order)  # type: ignore[arg-type]
    request.page_token = page_token(request, teller.head(), 1, 2**63 - 1)

    answer = teller.server.ledgers.ListEntries(request)

    assert len(answer.entries) in (0, 1)
    assert not answer.next_page_token
