"""How long a client may be used: in the process that made it, until it is closed."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Lifetime:
    """A client's life: whose it is, and whether it has ended."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self.is_closed = False

    @property
    def is_carried_over_a_fork(self) -> bool:
        """Whether another process made the client: its connections did not come along."""
        return os.getpid() != self._process

    def check(self) -> None:
        """Raises RuntimeError where the client may not be used, or not any more."""
        self.check_process()
        if self.is_closed:
            raise RuntimeError("this client is closed")

    def check_process(self) -> None:
        """Raises RuntimeError after a fork."""
        if self.is_carried_over_a_fork:
            raise RuntimeError("this client was made before a fork; make one in each process")


class ThreadsLifetime(Lifetime):
    """The life of a client that threads share; it ends when the last call under way has."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        # The thread of each call that is under way.
        self._callers: list[int] = []

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around a call: `wait_for_calls` waits for it. Raises RuntimeError where none may be made."""
        # Before the lock, which another thread may have held when the process was forked.
        self.check_process()
        caller = threading.get_ident()
        with self._changed:
            self.check()
            self._callers.append(caller)
        try:
            yield
        finally:
            with self._changed:
                self._callers.remove(caller)
                self._changed.notify_all()

    def close(self) -> None:
        """No call may begin from now on."""
        with self._changed:
            self.is_closed = True

    def wait_for_calls(self) -> None:
        """Waits until no other thread's call is under way; each has its deadline.

        The own thread's is one that a signal's handler interrupted: it cannot go on before this returns.
        """
        own = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: all(caller == own for caller in self._callers))


class TasksLifetime(Lifetime):
    """The life of a client that the tasks of one loop share; it ends when the last call under way has."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around a call: `wait_for_calls` waits for it. Raises RuntimeError where none may be made."""
        self.check()
        self._calls += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    def close(self) -> None:
        """No call may begin from now on."""
        self.is_closed = True

    async def wait_for_calls(self) -> None:
        """Waits until no call is under way; each has its deadline."""
        await self._idle.wait()
