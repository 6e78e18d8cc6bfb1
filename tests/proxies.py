"""Small proxies for PostgreSQL's protocol: one cuts a session at a statement, one pools transactions.

Both listen on a TCP port of 127.0.0.1 and speak to a server on its unix socket.
A frame of the protocol is a type byte, a length that counts itself, and a body;
only the first message of a client has no type.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from psycopg import conninfo


class Frame(NamedTuple):
    """One message."""

    kind: bytes
    body: bytes

    @property
    def bytes(self) -> bytes:
        return self.kind + struct.pack("!i", len(self.body) + 4) + self.body


class Gone(Exception):
    """The other side has closed."""


class Proxy:
    """Accepts clients, each in a thread of its own, until the with block ends."""

    def __init__(self, url: str) -> None:
        place = conninfo.conninfo_to_dict(url)
        self._server_path = f"{place['host']}/.s.PGSQL.{place['port']}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = conninfo.make_conninfo(
            url, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
        )
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="proxy")]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for opened in self._open:
            close(opened)
        for thread in self._threads:
            thread.join()

    def serve(self, client: socket.socket, startup: bytes) -> None:
        """Speaks with one client, whose first message is given, until either side is gone."""
        raise NotImplementedError

    def connect(self, startup: bytes) -> socket.socket:
        """A new session with the server; its greeting is still to be read."""
        server = socket.socket(socket.AF_UNIX)
        self._open.append(server)
        server.connect(self._server_path)
        server.sendall(startup)
        return server

    def start(self, target: Callable[[], None]) -> None:
        """Runs the target in a thread that ends with the proxy."""
        thread = threading.Thread(target=target, name="proxy")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(client)
            self.start(lambda client=client: self._serve(client))  # type: ignore[misc]

    def _serve(self, client: socket.socket) -> None:
        try:
            length = read(client, 4)
            self.serve(client, length + read(client, struct.unpack("!i", length)[0] - 4))
        except (Gone, OSError):
            pass
        finally:
            close(client)


class CuttingProxy(Proxy):
    """Cuts the connection at the n-th statement of all: before the server sees it, or after it is done."""

    def __init__(self, url: str, *, at: int, after: bool) -> None:
        super().__init__(url)
        self._at = at
        self._after = after
        self.statements = 0

    @property
    def has_cut(self) -> bool:
        """True once the statement came."""
        return self.statements >= self._at

    def serve(self, client: socket.socket, startup: bytes) -> None:
        server = self.connect(startup)
        self.start(lambda: self._answer(server, client))
        try:
            while True:
                frame = read_frame(client)
                if frame.kind in b"QE":
                    self.statements += 1
                    if self.statements == self._at and not self._after:
                        return
                server.sendall(frame.bytes)
        finally:
            close(server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while True:
                frame = read_frame(server)
                if self._after and self.has_cut:
                    if frame.kind == b"Z":
                        return
                else:
                    client.sendall(frame.bytes)
        except (Gone, OSError):
            pass
        finally:
            close(server)
            close(client)


class PoolingProxy(Proxy):
    """Gives a server session to a client for one database transaction; the last one freed is given first."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._guard = threading.Lock()
        self._idle: list[socket.socket] = []
        self._greeting = b""

    def serve(self, client: socket.socket, startup: bytes) -> None:
        self._release(self._take(startup))
        client.sendall(self._greeting)
        while True:
            frame = read_frame(client)
            if frame.kind == b"X":
                return
            server = self._take(startup)
            status = b"T"
            while status != b"I":
                server.sendall(frame.bytes)
                if frame.kind in b"QS":
                    status = self._forward_answer(server, client)
                if status != b"I":
                    try:
                        frame = read_frame(client)
                    except Gone:
                        close(server)
                        raise
            self._release(server)

    def _forward_answer(self, server: socket.socket, client: socket.socket) -> bytes:
        while True:
            frame = read_frame(server)
            client.sendall(frame.bytes)
            if frame.kind == b"Z":
                return frame.body

    def _take(self, startup: bytes) -> socket.socket:
        with self._guard:
            if self._idle:
                return self._idle.pop()
        server = self.connect(startup)
        greeting = b""
        while True:
            frame = read_frame(server)
            greeting += frame.bytes
            if frame.kind == b"Z":
                self._greeting = greeting
                return server

    def _release(self, server: socket.socket) -> None:
        with self._guard:
            self._idle.append(server)


def read(source: socket.socket, size: int) -> bytes:
    """Exactly size bytes. Raises Gone."""
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise Gone
        data += more
    return data


def read_frame(source: socket.socket) -> Frame:
    """The next message. Raises Gone."""
    head = read(source, 5)
    return Frame(head[:1], read(source, struct.unpack("!i", head[1:])[0] - 4))


def close(opened: socket.socket) -> None:
    """Closes it for both sides, also under a thread that reads from it."""
    with suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    opened.close()
