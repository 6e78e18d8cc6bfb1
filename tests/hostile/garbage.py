"""Attacks below gRPC: bytes on a TCP connection that are no HTTP/2, or are HTTP/2 that no library sends."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
_END_STREAM, _END_HEADERS = 1, 4
_POST = b"/ledger.v1.LedgerService/Post"
_LISTEN_S = 0.3


def frame(kind: int, body: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """An HTTP/2 frame (RFC 9113, section 4.1)."""
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def frames(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The kind, flags, stream and body of each whole frame."""
    while len(data) >= 9:
        size = int.from_bytes(data[:3], "big")
        if len(data) < 9 + size:
            return
        yield data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]
        data = data[9 + size :]


def header(name: bytes, value: bytes) -> bytes:
    """A header as HPACK's literal without indexing (RFC 7541, section 6.2.2)."""
    return b"\x00" + _text(name) + _text(value)


def _text(data: bytes) -> bytes:
    size = len(data)
    if size < 127:
        return bytes([size]) + data
    out, size = bytearray([127]), size - 127
    while size >= 128:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    return bytes(out) + data


def call(stream: int, *more: bytes, path: bytes = _POST) -> bytes:
    """The HEADERS of a gRPC call, with headers more."""
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"here"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
    body = b"".join(header(*field) for field in fields) + b"".join(more)
    return frame(HEADERS, body, flags=_END_HEADERS, stream=stream)


def message(data: bytes, *, stream: int, flag: int = 0, size: int | None = None) -> bytes:
    """A gRPC message in a DATA frame that ends the stream; its flag and length may lie."""
    size = len(data) if size is None else size
    return frame(DATA, struct.pack("!BI", flag, size) + data, flags=_END_STREAM, stream=stream)


_OPENED = PREFACE + frame(SETTINGS)
Attack = Callable[[Random], bytes]
ATTACKS: dict[str, Attack] = {
    "random bytes": lambda draw: draw.randbytes(draw.choice([1, 10, 1_000, 100_000])),
    "HTTP/1": lambda draw: b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    "TLS": lambda draw: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + draw.randbytes(500),
    "half a preface": lambda draw: PREFACE[: draw.randrange(1, len(PREFACE))],
    "random bytes behind the preface": lambda draw: PREFACE + draw.randbytes(300),
    "random frames": lambda draw: (
        _OPENED
        + b"".join(
            frame(
                draw.randrange(12),
                draw.randbytes(draw.randrange(40)),
                flags=draw.randrange(256),
                stream=draw.choice([0, 1, 2, 3, 2**31 - 1]),
            )
            for _ in range(50)
        )
    ),
    "a header that is no header": lambda draw: _OPENED + call(1, b"\x00\x7f\xff\xff\xff\xff\x7fx"),
    "names nobody may use": lambda draw: (
        _OPENED
        + b"".join(
            call(1 + 2 * number, header(name, b"v")) + message(b"", stream=1 + 2 * number)
            for number, name in enumerate(
                [b"", b"X-Upper", b"a b", b"\x00", b"\xff", b":path", b":none", b"a\r\nb"]
            )
        )
    ),
    "values nobody may use": lambda draw: (
        _OPENED
        + b"".join(
            call(1 + 2 * number, header(name, value)) + message(b"", stream=1 + 2 * number)
            for number, (name, value) in enumerate(
                [
                    (b"x-a-bin", b"!!!not base64!!!"),
                    (b"x-b", b"\x00\x01\x02"),
                    (b"x-c", b"a\r\nb: c"),
                    (b"grpc-timeout", b"-1S"),
                    (b"grpc-timeout", b"99999999999999H"),
                    (b"grpc-timeout", b"0n"),
                    (b"grpc-encoding", b"nothing"),
                    (b"content-type", b"text/plain"),
                ]
            )
        )
    ),
    "paths nobody serves": lambda draw: (
        _OPENED
        + b"".join(
            call(1 + 2 * number, path=path) + message(b"", stream=1 + 2 * number)
            for number, path in enumerate([b"", b"x", b"/", b"/\xff\xfe", b"/a\x00b", b"/" * 3_000])
        )
    ),
    "a megabyte of headers": lambda draw: (
        _OPENED
        + frame(HEADERS, header(b"x", b"y" * 16_000), stream=1)
        + frame(CONTINUATION, header(b"x", b"y" * 16_000), stream=1) * 64
    ),
    "headers that never end": lambda draw: _OPENED + call(1)[:4] + b"\x00" + call(1)[5:],
    "a message longer than it is": lambda draw: _OPENED + call(1) + message(b"abc", stream=1, size=2**32 - 1),
    "a message shorter than it is": lambda draw: _OPENED + call(1) + message(b"abc" * 99, stream=1, size=2),
    "a compressed message that is none": lambda draw: (
        _OPENED + call(1, header(b"grpc-encoding", b"gzip")) + message(draw.randbytes(50), stream=1, flag=1)
    ),
    "a flag without an encoding": lambda draw: _OPENED + call(1) + message(b"abc", stream=1, flag=1),
    "data on streams that are not open": lambda draw: (
        _OPENED + message(b"", stream=0) + message(b"", stream=2) + message(b"", stream=99)
    ),
    "calls reset at once": lambda draw: (
        _OPENED
        + b"".join(
            call(1 + 2 * number) + frame(RST_STREAM, b"\0\0\0\x08", stream=1 + 2 * number)
            for number in range(90)
        )
    ),
    "a call reset in its message": lambda draw: (
        _OPENED
        + call(1)
        + frame(DATA, b"\0\0\0\x01\0" + b"\x0a", stream=1)
        + frame(RST_STREAM, b"\0\0\0\x08", stream=1)
    ),
    "many pings": lambda draw: _OPENED + frame(PING, b"12345678") * 300,
    "many settings": lambda draw: _OPENED + frame(SETTINGS, struct.pack("!HI", 4, 2**31 - 1)) * 300,
    "windows that overflow": lambda draw: (
        _OPENED
        + call(1)
        + frame(WINDOW_UPDATE, b"\x7f\xff\xff\xff") * 3
        + frame(WINDOW_UPDATE, b"\0" * 4, stream=1)
    ),
    "a stream that waits for itself": lambda draw: _OPENED + frame(PRIORITY, b"\0\0\0\x01\x10", stream=1),
    "a promise": lambda draw: _OPENED + frame(PUSH_PROMISE, b"\0\0\0\x02", stream=1),
    "a goodbye, and more calls": lambda draw: (
        _OPENED + frame(GOAWAY, b"\0" * 8) + call(1) + message(b"", stream=1)
    ),
}


def attack(target: str, data: bytes, *, is_rude: bool) -> bytes:
    """Sends the bytes, hears what comes for a moment, and leaves; rudely: with a TCP reset."""
    heard = b""
    with connected(target) as connection, suppress(OSError):
        connection.settimeout(_LISTEN_S)
        connection.sendall(data)
        if is_rude:
            # Zero linger: closing sends RST, whatever was on its way.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return heard
        while part := connection.recv(65_536):
            heard += part
    return heard


def connected(target: str) -> socket.socket:
    """A bare TCP connection to HOST:PORT."""
    host, _, port = target.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def is_closed(connection: socket.socket, patience_s: float) -> bool:
    """Whether the other side ends the connection within so many seconds."""
    connection.settimeout(patience_s)
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True
