"""Silence: calls that were begun and whose message does not come.

gRPC for Python gives a call its thread before its message has arrived, and a thread
waits for the message as long as the caller likes: as many callers as there are
threads, each silent, and nobody else is served. A look round, a few times a second,
ends those who have been silent for too long, and sooner where the room is needed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from ledger_server.rpc import limits

_LOOK_S = 0.25


class Silence:
    """Ends calls that stay silent. `is_crowded` says whether others need the room."""

    def __init__(self, is_crowded: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._is_crowded = is_crowded
        self._clock = clock
        # Since when each waits, the longest first. One key is set, or removed, at a time: no lock.
        self._waiting: dict[grpc.ServicerContext, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="silence", daemon=True)

    def start(self) -> None:
        """Begins to look round."""
        self._thread.start()

    def close(self) -> None:
        """Looks round no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def message(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
        """The call's message, or None where the caller ends without one. Raises where the call is over."""
        self._waiting[context] = self._clock()
        try:
            return next(messages, None)
        finally:
            del self._waiting[context]

    def look(self) -> None:
        """Ends who has been silent for too long; their threads are free at once."""
        patience_ms = limits.MESSAGE_WAIT_CROWDED_MS_MAX if self._is_crowded() else limits.MESSAGE_WAIT_MS_MAX
        until = self._clock() - patience_ms / 1_000
        for context, since in self._waiting.copy().items():
            if since > until:
                break
            context.cancel()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self.look()
