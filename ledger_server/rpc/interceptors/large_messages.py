"""Large messages: read apart from all others, and only so many bytes of them at once.

gRPC for Python reads every message on its one serving thread, where 8 MiB of small
things keep everybody waiting, and a message takes up to forty times its bytes once
it is read. So a large one is left as it came until its call runs, and is refused
where what is read already is as much as there is room for. One thread reads them
all: what malloc keeps of what was large, it keeps once and not for each thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any

from ledger_server.domain.refusals import Overloaded
from ledger_server.rpc import limits


class Unread:
    """A large message as it came."""

    __slots__ = ("data", "parse")

    def __init__(self, data: bytes, parse: Callable[[bytes], Any]) -> None:
        self.data = data
        self.parse = parse


class LargeMessages:
    """The room that calls with large messages share."""

    def __init__(self) -> None:
        self.bytes_in_flight = 0
        self._lock = Lock()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="reader")

    @contextmanager
    def read(self, unread: Unread) -> Iterator[Any]:
        """The message, which has room while the block runs; alone it always has. Raises Overloaded."""
        size_bytes = len(unread.data)
        self._take(size_bytes)
        try:
            message = self._reader.submit(unread.parse, unread.data).result()
            # Once it is read, nobody needs it as it came.
            unread.data = b""
            yield message
        finally:
            with self._lock:
                self.bytes_in_flight -= size_bytes

    def close(self) -> None:
        """Ends the reading thread."""
        self._reader.shutdown(wait=False)

    def _take(self, size_bytes: int) -> None:
        with self._lock:
            taken = self.bytes_in_flight
            if not taken or taken + size_bytes <= limits.LARGE_BYTES_IN_FLIGHT_MAX:
                self.bytes_in_flight += size_bytes
                return
        raise Overloaded(
            f"{taken} bytes of large requests are in flight; {size_bytes} more would be beyond"
            f" {limits.LARGE_BYTES_IN_FLIGHT_MAX}: try again later, or send smaller batches",
            bytes_in_flight=taken,
            bytes_in_flight_max=limits.LARGE_BYTES_IN_FLIGHT_MAX,
        )
