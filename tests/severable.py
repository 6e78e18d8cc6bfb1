"""A proxy for PostgreSQL whose sessions a test can make deaf or cut, each by its backend's process id."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from proxies import Gone, Proxy, close, read_frame


@dataclass
class Session:
    """A client's connection and the one to the server behind it."""

    client: socket.socket
    server: socket.socket
    is_deaf: bool = False
    is_stranded: bool = False


class SeverableProxy(Proxy):
    """Forwards everything until it is told otherwise."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sessions: dict[int, Session] = {}
        self.is_refusing = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in list(self.sessions.values()):
            close(session.server)
        super().__exit__(kind, error, trace)

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def deafen(self, pid: int) -> None:
        """From now on the client hears no answer of its backend."""
        self.sessions[pid].is_deaf = True

    def cut(self, pid: int) -> None:
        """Closes both sides."""
        session = self.sessions[pid]
        close(session.client)
        close(session.server)

    def strand(self, pid: int) -> None:
        """Closes the client's side only: the backend lives on and waits."""
        session = self.sessions[pid]
        session.is_stranded = True
        close(session.client)

    def cut_all(self) -> None:
        """Cuts every session there is, and refuses new ones until `is_refusing` is False again."""
        self.is_refusing = True
        for pid in list(self.sessions):
            self.cut(pid)

    def serve(self, client: socket.socket, startup: bytes) -> None:
        if self.is_refusing:
            return
        server = self.connect(startup)
        session = Session(client, server)
        self.start(lambda: self._answer(session))
        try:
            while data := client.recv(65536):
                server.sendall(data)
        finally:
            if not session.is_stranded:
                close(server)

    def _answer(self, session: Session) -> None:
        try:
            while True:
                frame = read_frame(session.server)
                if frame.kind == b"K":
                    self.sessions[struct.unpack("!i", frame.body[:4])[0]] = session
                if not session.is_deaf and not session.is_stranded:
                    session.client.sendall(frame.bytes)
        except (Gone, OSError):
            pass
        finally:
            close(session.server)
            close(session.client)
