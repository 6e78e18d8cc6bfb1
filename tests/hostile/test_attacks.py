"""Attacks on what a server has only so much of: afterwards it answers, is SERVING, and holds little more."""

from __future__ import annotations

import resource
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import count, cycle
from pathlib import Path

import grpc
import pytest
from callers import Refused, Teller, answer_of
from clusters import Database
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hostile.garbage import (
    DATA,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    call,
    connected,
    frame,
    frames,
    header,
)
from hostile.process import Hostage, hostage
from hostile.test_raw_connections import NORMAL_CALL_MAX_S, until, working_beside
from hostile.wire import LENGTH, tag, varint
from ledger.v1 import ledger_service_pb2 as pb
from statuses import told

from ledger_server.rpc import limits
from ledger_server.rpc.server import IN_FLIGHT_MAX

PATIENCE_S = 60.0
MIB = 1 << 20
_ACK, _END_HEADERS = 1, 4
# RST_STREAM's CANCEL (RFC 9113, section 7).
_CANCEL = b"\0\0\0\x08"
# As much as HTTP/2 lets wait unread, so that nobody has to be waited for.
_WINDOW = 0x7FFF_FFFF


@pytest.fixture(scope="module")
def shared(cluster: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostage]:
    """One server in a process of its own for all attacks: what one leaves behind, the next one meets."""
    with cluster.database() as database, hostage(database, tmp_path_factory.mktemp("attacks")) as server:  # type: ignore[attr-defined]
        assert isinstance(database, Database)
        yield server


def _peak_bytes(server: Hostage) -> int:
    """The most that the process ever held."""
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1_024


@contextmanager
def unshaken(server: Hostage, *, growth_max_mib: int, name: str) -> Iterator[None]:
    """Afterwards a normal call is answered, health says SERVING, and memory has grown within bounds."""
    with grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        teller = Teller.open(server)  # type: ignore[arg-type]
        before = server.look()

        yield

        # A crowd that is on its way out leaves room for one call, and none for the next.
        assert until(lambda: all(_is_served(teller) for _ in range(20)))
        start = time.monotonic()
        assert teller.post("cash", "sales", 1).transaction.sequence
        assert time.monotonic() - start < NORMAL_CALL_MAX_S
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=PATIENCE_S
        )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        after = server.look()
        grown_mib = (after.resident_bytes - before.resident_bytes) / MIB
        print(f"{name}: grew by {grown_mib:.0f} MiB, peak {_peak_bytes(server) / MIB:.0f} MiB")
        assert grown_mib <= growth_max_mib
        assert "Traceback" not in server.log(), server.log()[-3_000:]


def _is_served(teller: Teller) -> bool:
    """Whether the crowd has gone: while it is there, gRPC itself cancels calls that it has no room for."""
    return not isinstance(answer_of(lambda: teller.post("cash", "sales", 1)), Refused)


def _refused(call_: Callable[[], object]) -> bool:
    return getattr(answer_of(call_), "reason", "") == "OVERLOADED"


class Raw:
    """A bare HTTP/2 connection that has shaken hands."""

    def __init__(self, target: str) -> None:
        self._socket = connected(target)
        self.heard = b""
        self.send(PREFACE + frame(SETTINGS, b"\0\4" + _WINDOW.to_bytes(4, "big")))
        self.send(frame(SETTINGS, flags=_ACK))

    def send(self, data: bytes) -> None:
        """Sends; who was put out sends nothing."""
        with suppress(OSError):
            self._socket.sendall(data)

    def hear(self, is_heard: Callable[[bytes], object], patience_s: float = PATIENCE_S) -> None:
        """Reads until that was heard, or the connection is over, or patience is."""
        ends_at = time.monotonic() + patience_s
        with suppress(OSError):
            while not is_heard(self.heard) and time.monotonic() < ends_at:
                self._socket.settimeout(max(0.01, ends_at - time.monotonic()))
                part = self._socket.recv(1 << 20)
                if not part:
                    return
                self.heard += part

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# slow ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "beginning",
    [
        PREFACE[:-1],
        PREFACE + frame(SETTINGS) + frame(SETTINGS, flags=_ACK) + call(1)[:30],
        PREFACE + frame(SETTINGS) + frame(SETTINGS, flags=_ACK) + call(1)[:4] + b"\0" + call(1)[5:],
        PREFACE + frame(SETTINGS) + frame(SETTINGS, flags=_ACK) + call(1) + frame(DATA, b"\0", stream=1),
    ],
    ids=["half a preface", "half a frame", "headers without an end", "a message a byte at a time"],
)
def test_a_hundred_who_send_a_byte_at_a_time_delay_nobody(shared: Hostage, beginning: bytes) -> None:
    is_call = beginning.endswith(frame(DATA, b"\0", stream=1))
    rest = frame(DATA, b"\0", stream=1) if is_call else b"\0"
    with (
        unshaken(shared, growth_max_mib=40, name="slow"),
        working_beside(shared) as took_s,
        ExitStack() as ends,
    ):
        slow = [ends.enter_context(connected(shared.target)) for _ in range(100)]
        for connection in slow:
            connection.sendall(beginning)
        for _ in range(3):
            # The second is the attack.
            time.sleep(1.0)
            for connection in slow:
                with suppress(OSError):
                    connection.sendall(rest)

    assert len(took_s) > 20
    assert max(took_s) < NORMAL_CALL_MAX_S


def test_calls_whose_message_never_comes_are_ended_while_others_wait(shared: Hostage) -> None:
    with unshaken(shared, growth_max_mib=60, name="silent"), ExitStack() as ends:
        teller = Teller.open(shared)  # type: ignore[arg-type]
        silent = [ends.enter_context(Raw(shared.target)) for _ in range(8)]
        for connection in silent:
            connection.send(b"".join(call(1 + 2 * number) for number in range(IN_FLIGHT_MAX // 4)))
        later = zip(cycle(silent), count(1 + 2 * (IN_FLIGHT_MAX // 4), 2))

        def is_full() -> bool:
            # When they came, a call of ours may have had a place: another silent one takes it.
            connection, stream = next(later)
            connection.send(call(stream))
            return _refused(lambda: teller.post("cash", "sales", 1))

        assert until(is_full)

        start = time.monotonic()
        assert until(lambda: not _refused(lambda: teller.post("cash", "sales", 1)))

        assert time.monotonic() - start < limits.MESSAGE_WAIT_CROWDED_MS_MAX / 1_000 + 3.0


# large --------------------------------------------------------------------------------------


def _bomb(mib: int) -> bytes:
    """So many MiB of zeros as gzip has them, a few thousandths of that."""
    pack = zlib.compressobj(6, zlib.DEFLATED, 31)
    zeros = bytes(MIB)
    return b"".join(pack.compress(zeros) for _ in range(mib)) + pack.flush()


def _statuses(heard: bytes) -> list[bytes]:
    """What each of a connection's calls was told last."""
    last = {stream: body for kind, _, stream, body in frames(heard) if kind == HEADERS}
    return list(last.values())


@pytest.mark.criterion("S000-45")
def test_a_message_that_inflates_beyond_8_mib_is_refused_before_it_does(shared: Hostage) -> None:
    bomb = _bomb(256)
    body = b"\1" + len(bomb).to_bytes(4, "big") + bomb
    parts = [body[at : at + 16_384] for at in range(0, len(body), 16_384)]

    def throw(_: int) -> bytes:
        with Raw(shared.target) as connection:
            connection.send(call(1, header(b"grpc-encoding", b"gzip")))
            # gRPC makes room for the rest once it has seen how long the message is.
            connection.send(frame(DATA, parts[0], stream=1))
            for part in parts[1:]:
                connection.hear(lambda heard: len(heard) > 40, 0.5)
                connection.send(frame(DATA, part, stream=1, flags=1 if part is parts[-1] else 0))
            connection.hear(lambda heard: b"grpc-status" in heard)
            return connection.heard

    with unshaken(shared, growth_max_mib=60, name="gzip bombs"), ThreadPoolExecutor(8) as pool:
        peak = _peak_bytes(shared)
        heard = list(pool.map(throw, range(16)))
        # Sixteen times 256 MiB, and never more than what is allowed of each.
        assert _peak_bytes(shared) - peak < 256 * MIB

    for one in heard:
        (told_last,) = _statuses(one)
        assert b"grpc-status\x018" in told_last, told_last
        assert b"larger than max" in told_last


def test_a_message_that_inflates_to_less_is_read(shared: Hostage) -> None:
    teller = Teller.open(shared)  # type: ignore[arg-type]
    with grpc.insecure_channel(shared.target, compression=grpc.Compression.Gzip) as channel:
        post = channel.unary_unary(
            "/ledger.v1.LedgerService/Post", pb.PostRequest.SerializeToString, pb.PostResponse.FromString
        )
        refusal = told(
            lambda: post(
                pb.PostRequest(ledger=teller.ledger, description="x" * (4 << 20)), timeout=PATIENCE_S
            )
        )

    assert refusal.reason == "VALIDATION_FAILED"


def _field(number: int, body: bytes = b"") -> bytes:
    return tag(number, LENGTH) + varint(len(body)) + body


def _times(part: bytes) -> bytes:
    """The part as often as fits into a message."""
    return part * ((limits.MESSAGE_BYTES_MAX - 1_000) // len(part))


_ENTRY = pb.PostRequest.DESCRIPTOR.fields_by_name["entries"].number
_METADATA = pb.PostRequest.DESCRIPTOR.fields_by_name["metadata"].number
_OPERATIONS = pb.PostBatchRequest.DESCRIPTOR.fields_by_name["operations"].number
_NAMES = pb.BatchGetBalancesRequest.DESCRIPTOR.fields_by_name["names"].number
LARGE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a map of half a million": (
        "Post",
        lambda: b"".join(
            _field(_METADATA, _field(1, b"%06x" % number) + _field(2, b"v")) for number in range(500_000)
        ),
    ),
    "one key half a million times": ("Post", lambda: _times(_field(_METADATA, _field(1, b"k")))),
    "four million entries": ("Post", lambda: _times(_field(_ENTRY))),
    "four million operations": ("PostBatch", lambda: _times(_field(_OPERATIONS))),
    "operations of nothing but metadata": (
        "PostBatch",
        lambda: _times(_field(_OPERATIONS, _field(1, _field(_METADATA, _field(1, b"k"))))),
    ),
    "four million names": ("BatchGetBalances", lambda: _times(_field(_NAMES))),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_message_full_of_small_things_is_counted_and_refused(shared: Hostage, name: str) -> None:
    method, make = LARGE[name]
    data = _field(1, b"fuzz:a") + make()
    assert len(data) <= limits.MESSAGE_BYTES_MAX
    send = shared.channel.unary_unary(f"/ledger.v1.LedgerService/{method}")

    with unshaken(shared, growth_max_mib=700, name=name):
        start = time.monotonic()
        refusals = [told(lambda: send(data, timeout=PATIENCE_S)) for _ in range(3)]
        took_s = (time.monotonic() - start) / 3

    assert {refusal.reason for refusal in refusals} <= {"VALIDATION_FAILED", "BATCH_TOO_LARGE"}
    assert took_s < 10.0


# many ---------------------------------------------------------------------------------------


def test_streams_that_are_opened_and_reset_at_once_shake_nobody(shared: Hostage) -> None:
    """HTTP/2's rapid reset: work is asked for and never waited for."""
    rounds, streams = 40, 100

    def reset(_: int) -> int:
        with Raw(shared.target) as connection:
            for round_ in range(rounds):
                connection.send(
                    b"".join(
                        call(stream) + frame(RST_STREAM, _CANCEL, stream=stream)
                        for stream in range(1 + 2 * streams * round_, 2 * streams * (round_ + 1), 2)
                    )
                )
            connection.hear(lambda heard: False, 0.2)
            return len(connection.heard)

    with unshaken(shared, growth_max_mib=150, name="rapid resets"), ThreadPoolExecutor(8) as pool:
        # 64,000 streams.
        list(pool.map(reset, range(16)))


def test_two_thousand_idle_connections_are_held_and_a_fresh_call_is_answered(shared: Hostage) -> None:
    count = 2_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 1_000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.fail(f"this machine lets a process open {hard} files; {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        with unshaken(shared, growth_max_mib=120, name="idle"), ExitStack() as ends:
            before = shared.look()
            for _ in range(count):
                ends.enter_context(Raw(shared.target))
            assert until(lambda: shared.look().files >= before.files + count)

            start = time.monotonic()
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(shared.target, options) as channel:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=PATIENCE_S
                )
            took_s = time.monotonic() - start
            held = shared.look()

        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert took_s < 1.0
        each_kib = (held.resident_bytes - before.resident_bytes) / count / 1_024
        print(f"an idle connection holds {each_kib:.1f} KiB")
        assert each_kib < 60
        assert until(lambda: shared.look().files <= before.files + 20)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_server_that_may_open_no_more_files_serves_who_is_connected(shared: Hostage) -> None:
    with unshaken(shared, growth_max_mib=60, name="no files"), ExitStack() as ends:
        with working_beside(shared) as took_s:
            assert until(lambda: len(took_s) > 10)
            limit = shared.look().files + 50
            soft_and_hard = resource.prlimit(shared.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(shared.pid, resource.RLIMIT_NOFILE, (limit, soft_and_hard[1]))
            try:
                crowd = [ends.enter_context(connected(shared.target)) for _ in range(200)]
                assert until(lambda: shared.look().files >= limit)
                posted = len(took_s)
                assert until(lambda: len(took_s) > posted + 50)
            finally:
                resource.prlimit(shared.pid, resource.RLIMIT_NOFILE, soft_and_hard)
            for connection in crowd:
                connection.close()

        assert max(took_s) < NORMAL_CALL_MAX_S


@pytest.mark.slow
def test_many_large_messages_at_once_take_no_more_than_few(shared: Hostage) -> None:
    method, make = LARGE["four million entries"]
    data = _field(1, b"fuzz:a") + make()
    send = shared.channel.unary_unary(f"/ledger.v1.LedgerService/{method}")

    with unshaken(shared, growth_max_mib=1_000, name="many large"), ThreadPoolExecutor(32) as pool:
        peak = _peak_bytes(shared)
        refusals = list(pool.map(lambda _: told(lambda: send(data, timeout=PATIENCE_S)), range(32)))
        # Four at once, of 350 MiB each when read, and 32 as they came.
        assert _peak_bytes(shared) - peak < 2_400 * MIB

    # Where they come slowly, one after the other, there is room for each.
    assert "VALIDATION_FAILED" in (reasons := {refusal.reason for refusal in refusals})
    assert reasons <= {"VALIDATION_FAILED", "OVERLOADED"}
