"""A proxy for PostgreSQL that strikes at a COMMIT: before it is sent, after it is done, or by silence."""

from __future__ import annotations

import socket
import threading

from proxies import Frame, Gone, Proxy, close, read_frame

# What PostgreSQL says of itself within a database transaction that failed: the error may have come
# before its COMMIT was sent.
_FAILED = b"E"


class CommitProxy(Proxy):
    """Forwards everything until it is armed; then the next COMMIT of any session is its last frame."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._guard = threading.Lock()
        self._armed = ""
        # How many were answered.
        self.commits = 0
        self._struck = threading.Event()
        self._go = threading.Event()

    def __exit__(self, *error: object) -> None:
        self.let_go()
        for opened in list(self._open):
            close(opened)
        super().__exit__(None, None, None)

    def arm(self, how: str) -> None:
        """Strikes once: `before`, `after` or `swallow`."""
        with self._guard:
            self._struck.clear()
            self._armed = how

    def has_struck(self) -> bool:
        """Whether it has."""
        return self._struck.is_set()

    def let_go(self) -> None:
        """Ends the silence of all that fell silent."""
        self._go.set()

    def serve(self, client: socket.socket, startup: bytes) -> None:
        server = self.connect(startup)
        session = _Session(client, server)
        self.start(lambda: self._answer(session))
        try:
            while True:
                frame = read_frame(client)
                if session.is_commit(frame):
                    session.is_committing = True
                    how = self._take()
                    if how == "before":
                        self._struck.set()
                        return
                    session.how = how
                    if how == "swallow":
                        self._struck.set()
                        self._go.wait()
                        return
                server.sendall(frame.bytes)
        finally:
            close(server)

    def _take(self) -> str:
        """What to do about this COMMIT; nothing to the next ones."""
        # Critical section: two sessions may commit at the same moment.
        with self._guard:
            how, self._armed = self._armed, ""
            return how

    def _spare(self, session: _Session) -> None:
        """No COMMIT comes of it, as the head had moved on or the session is gone: strikes the next one."""
        if session.is_committing:
            session.is_committing = False
            if session.how == "after":
                session.how = ""
                with self._guard:
                    self._armed = "after"

    def _answer(self, session: _Session) -> None:
        try:
            while True:
                frame = read_frame(session.server)
                if frame.kind == b"C" and frame.body == b"COMMIT\0" and session.is_committing:
                    session.is_committing = False
                    if session.how == "after":
                        # It is durable now, and nobody will hear of it.
                        self._struck.set()
                        return
                    self.commits += 1
                if frame.kind == b"E" or (frame.kind == b"Z" and frame.body == _FAILED):
                    self._spare(session)
                if session.how == "swallow":
                    continue
                session.client.sendall(frame.bytes)
        except (Gone, OSError):
            self._spare(session)
        finally:
            if session.how == "swallow":
                # The client's side stays open: nothing tells it that the other one is gone.
                self._go.wait()
            close(session.server)
            close(session.client)


class _Session:
    """One client's, and which of its prepared statements is COMMIT."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.how = ""
        self.is_committing = False
        self._commits: set[bytes] = set()
        self._bound = b""

    def is_commit(self, frame: Frame) -> bool:
        """Whether the frame executes COMMIT."""
        if frame.kind == b"P":
            name, query, _ = frame.body.split(b"\0", 2)
            text = b"".join(line for line in query.splitlines() if not line.startswith(b"--"))
            self._commits.discard(name)
            if text.strip(b"; ").lower() == b"commit":
                self._commits.add(name)
        elif frame.kind == b"B":
            _, self._bound, _ = frame.body.split(b"\0", 2)
        # The lanes prepare theirs; a simple query is of a session that writes a checkpoint beside them.
        return frame.kind == b"E" and self._bound in self._commits
