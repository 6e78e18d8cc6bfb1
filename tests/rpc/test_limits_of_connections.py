"""What a connection may do, at its edges: headers, calls at once, pings, silence, idleness, age."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import grpc
import pytest
from callers import Teller
from clusters import Database
from faults import until
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hostile.garbage import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    call,
    connected,
    frame,
    frames,
    header,
    is_closed,
    message,
)
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from serving import Serving, serving
from statuses import told

from ledger_server.rpc import limits

PATIENCE_S = 30.0
WATCH = b"/grpc.health.v1.Health/Watch"
CHECK = b"/grpc.health.v1.Health/Check"
# RFC 9113, section 7; and 6.5.2.
REFUSED_STREAM, ENHANCE_YOUR_CALM = 7, 11
MAX_CONCURRENT_STREAMS = 3
_ACK, _END_HEADERS = 1, 4
_FRAME_BYTES_MAX = 16_384


class Wire:
    """An HTTP/2 connection by hand, and every frame that the server sends on it."""

    def __init__(self, target: str, *, hears: bool = True) -> None:
        self._socket = connected(target)
        self._socket.settimeout(None)
        self._heard = b""
        self.is_closed = False
        self._thread = threading.Thread(target=self._hear, name="wire")
        self.send(PREFACE + frame(SETTINGS))
        self._thread.start()
        if hears:
            # Until it is said that the server's settings were heard, they do not hold.
            until(lambda: self.heard(SETTINGS) or self.is_closed, "settings")
            self.send(frame(SETTINGS, flags=_ACK))

    def _hear(self) -> None:
        with suppress(OSError):
            while part := self._socket.recv(65_536):
                self._heard += part
        self.is_closed = True

    def send(self, data: bytes) -> None:
        """Sends bytes; a connection that is over takes none."""
        try:
            self._socket.sendall(data)
        except OSError:
            self.is_closed = True

    def heard(self, kind: int, stream: int | None = None) -> list[bytes]:
        """The bodies of the frames of a kind, of all streams unless one is named."""
        return [
            body for k, _, of, body in frames(self._heard) if k == kind and (stream is None or of == stream)
        ]

    def close(self) -> None:
        """Ends the connection."""
        with ExitStack() as ends:
            ends.callback(self._thread.join)
            ends.callback(self._socket.close)
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def limited(database: Database, monkeypatch: pytest.MonkeyPatch, **bounds: int) -> Iterator[Serving]:
    """A server with limits that a test can wait for."""
    for name, value in bounds.items():
        monkeypatch.setattr(limits, name, value)
    with serving(database.app_url) as server:
        yield server


def _watch(stream: int) -> bytes:
    return call(stream, path=WATCH) + message(b"", stream=stream)


# the size of headers ----------------------------------------------------------------------


def _headers_of(size: int, path: bytes) -> bytes:
    """The HEADERS of a call that are as many bytes as HTTP/2 counts, and 32 for each."""
    fixed = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"here"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"x-long", b""),
    )
    left = size - sum(len(name) + len(value) + 32 for name, value in fixed)
    whole = call(1, header(b"x-long", b"x" * left), path=path)[9:]
    parts = [whole[at : at + _FRAME_BYTES_MAX] for at in range(0, len(whole), _FRAME_BYTES_MAX)]
    return b"".join(
        frame(
            CONTINUATION if number else HEADERS,
            part,
            flags=_END_HEADERS if number == len(parts) - 1 else 0,
            stream=1,
        )
        for number, part in enumerate(parts)
    )


def test_headers_of_up_to_16_kib_are_taken(shared_server: Serving) -> None:
    with Wire(shared_server.target) as wire:
        wire.send(_headers_of(limits.HEADERS_BYTES_MAX, CHECK) + message(b"", stream=1))
        until(lambda: wire.heard(DATA, 1), "answered")

    (answer,) = wire.heard(DATA, 1)
    assert health_pb2.HealthCheckResponse.FromString(answer[5:]).status == 1


@pytest.mark.slow
def test_a_byte_more_of_headers_is_refused_every_time(shared_server: Serving) -> None:
    """Between a soft and a hard bound gRPC would refuse at random."""
    for _ in range(20):
        with Wire(shared_server.target) as wire:
            wire.send(_headers_of(limits.HEADERS_BYTES_MAX + 1, CHECK) + message(b"", stream=1))
            until(lambda wire=wire: wire.heard(HEADERS, 1), "refused")  # type: ignore[misc]

        trailers = wire.heard(HEADERS, 1)[-1]
        assert b"grpc-status\x018" in trailers
        assert b"received metadata size exceeds" in trailers
        assert not wire.heard(DATA, 1)


# calls at once ----------------------------------------------------------------------------


def test_a_connection_has_up_to_512_calls_at_once_and_the_next_waits_for_one_to_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with limited(database, monkeypatch) as server:
        stub = health_pb2_grpc.HealthStub(server.channel)
        watches = [
            stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(limits.CALLS_PER_CONNECTION_MAX)
        ]
        assert all(next(watch).status == 1 for watch in watches)

        late = stub.Check.future(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        # The last one is answered by another connection all the while.
        with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as other:
            for _ in range(20):
                health_pb2_grpc.HealthStub(other).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
            assert not late.done()
        watches[0].cancel()

        assert late.result(PATIENCE_S).status == 1
        for watch in watches:
            watch.cancel()


def test_who_begins_more_calls_than_he_was_told_has_them_refused_unseen(shared_server: Serving) -> None:
    streams = [1 + 2 * number for number in range(limits.CALLS_PER_CONNECTION_MAX)]
    with Wire(shared_server.target) as wire:
        for stream in streams:
            wire.send(_watch(stream))
        until(lambda: all(wire.heard(DATA, stream) for stream in (1, streams[-1])), "watched")
        assert not wire.heard(RST_STREAM)

        wire.send(_watch(streams[-1] + 2))
        until(lambda: wire.heard(RST_STREAM) or wire.heard(GOAWAY), "refused")

    settings = dict(struct.iter_unpack("!HI", wire.heard(SETTINGS)[0]))
    assert settings[MAX_CONCURRENT_STREAMS] == limits.CALLS_PER_CONNECTION_MAX
    assert wire.heard(RST_STREAM, streams[-1] + 2) == [struct.pack("!I", REFUSED_STREAM)]
    assert not wire.heard(DATA, streams[-1] + 2)


def test_so_many_connections_may_be_open_and_the_next_is_closed_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with limited(database, monkeypatch, CONNECTIONS_MAX=5) as server, ExitStack() as ends:
        wires = [ends.enter_context(Wire(server.target)) for _ in range(5)]
        for wire in wires:
            wire.send(call(1, path=CHECK) + message(b"", stream=1))
        until(lambda: all(wire.heard(DATA, 1) for wire in wires), "answered")

        with Wire(server.target) as late:
            late.send(call(1, path=CHECK) + message(b"", stream=1))
            until(lambda: late.is_closed, "closed")
            assert not late.heard(DATA)
        wires[0].close()

        # There is room again, for a caller who comes back.
        stub = health_pb2_grpc.HealthStub(server.channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S, wait_for_ready=True)
        assert answer.status == 1


def test_so_many_watches_of_health_may_be_open_and_the_next_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with limited(database, monkeypatch, WATCHES_MAX=5) as server:
        stub = health_pb2_grpc.HealthStub(server.channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S) for _ in range(5)]
        assert all(next(watch).status == 1 for watch in watches)

        refusal = told(lambda: next(stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)))
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status == 1
        watches[0].cancel()
        admission = server.app._server._admission  # type: ignore[union-attr]
        until(lambda: admission._watches_open == 4, "one has left")
        again = stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)

        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refusal.facts == {"watches_max": "5"}
        assert refusal.retry_after_s == 0.25
        assert next(again).status == 1
        for watch in (*watches, again):
            watch.cancel()
        until(lambda: admission._watches_open == 0, "all have left")


# pings ------------------------------------------------------------------------------------


def _ping(wire: Wire, times: int, pause_s: float) -> None:
    for _ in range(times):
        if wire.heard(GOAWAY):
            return
        wire.send(frame(PING, b"12345678"))
        # The pause is what is tested.
        time.sleep(pause_s)


def test_who_pings_as_often_as_he_may_stays_and_who_pings_more_often_is_put_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with limited(database, monkeypatch, PING_INTERVAL_MS_MIN=300) as server:
        with Wire(server.target) as calm, Wire(server.target) as eager:
            for wire in (calm, eager):
                wire.send(_watch(1))
            until(lambda: calm.heard(DATA, 1) and eager.heard(DATA, 1), "watched")

            _ping(calm, 6, 0.45)
            _ping(eager, 8, 0.02)
            until(lambda: eager.heard(GOAWAY), "put out")

        assert not calm.heard(GOAWAY)
        assert len([body for body in calm.heard(PING) if body == b"12345678"]) == 6
        (goodbye,) = eager.heard(GOAWAY)
        assert struct.unpack("!II", goodbye[:8])[1] == ENHANCE_YOUR_CALM
        assert goodbye[8:] == b"too_many_pings"


def test_who_does_not_say_that_he_heard_the_server_s_settings_is_put_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC does not hold him to them, so that his headers and calls have no bound of ours."""
    with limited(database, monkeypatch, HANDSHAKE_MS_MAX=1_000) as server:
        start = time.monotonic()
        with Wire(server.target, hears=False) as deaf, Wire(server.target) as wire:
            deaf.send(_watch(1))

            until(lambda: deaf.is_closed, "put out")

            assert 0.9 <= time.monotonic() - start < 10.0
            assert not wire.is_closed


# who does nothing, and who stays ------------------------------------------------------------


def test_a_connection_that_does_not_shake_hands_in_time_is_closed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with limited(database, monkeypatch, HANDSHAKE_MS_MAX=1_000) as server:
        start = time.monotonic()
        with connected(server.target) as silent, Wire(server.target) as wire:
            silent.sendall(PREFACE[:-1])

            assert is_closed(silent, PATIENCE_S)
            assert 0.9 <= time.monotonic() - start < 10.0
            # Who did is served.
            wire.send(call(1, path=CHECK) + message(b"", stream=1))
            until(lambda: wire.heard(DATA, 1), "answered")


@pytest.mark.parametrize(
    "rest",
    [b"", call(1)[:20], frame(HEADERS, call(1)[9:-5], stream=1)],
    ids=["idle", "half a frame", "half its headers"],
)
def test_a_connection_without_a_call_is_closed_after_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    with limited(database, monkeypatch, CONNECTION_IDLE_MS_MAX=1_000) as server:
        start = time.monotonic()
        with Wire(server.target) as wire, Wire(server.target) as busy:
            wire.send(rest)
            busy.send(_watch(1))
            until(lambda: busy.heard(DATA, 1), "watched")

            until(lambda: wire.is_closed, "closed")

            assert 0.9 <= time.monotonic() - start < 15.0
            # A call, however quiet, keeps its connection.
            assert not busy.is_closed
            assert not busy.heard(GOAWAY)


def test_an_old_connection_ends_and_nobody_notices_but_who_stays_beyond_the_grace(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with limited(database, monkeypatch, CONNECTION_AGE_MS_MAX=1_000, CONNECTION_GRACE_MS=1_000) as server:
        teller = Teller.open(server)
        with Wire(server.target) as wire:
            wire.send(_watch(1))
            start = time.monotonic()
            posted = 0
            while not wire.is_closed:
                assert teller.post("cash", "sales", 1).transaction.sequence
                posted += 1
                assert time.monotonic() - start < PATIENCE_S

            assert time.monotonic() - start >= 1.5
            assert wire.heard(GOAWAY)
        assert posted > 10
        assert teller.balance("cash") == posted


# told -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "headers_bytes_max",
        "connections_max",
        "calls_per_connection_max",
        "watches_max",
        "large_message_bytes_min",
        "large_bytes_in_flight_max",
        "message_wait_ms_max",
        "message_wait_crowded_ms_max",
        "deadline_ms_default",
        "deadline_ms_max",
        "handshake_ms_max",
        "ping_interval_ms_min",
        "connection_idle_ms_max",
        "connection_age_ms_max",
    ],
)
def test_the_server_tells_its_limits(shared_server: Serving, name: str) -> None:
    told_limits: Any = shared_server.admin.GetServerInfo(admin_pb.GetServerInfoRequest()).limits

    assert told_limits[name] == getattr(limits, name.upper())
