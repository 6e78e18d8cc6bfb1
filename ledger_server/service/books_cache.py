"""The books of lanes between their turns, least recently used first out, within one memory budget."""

from __future__ import annotations

import threading
from collections import OrderedDict

from ledger_server.domain.books import Books

# In places (an account, a balance): about 200 bytes each, so some 50 MB.
CACHED_PLACES_MAX = 250_000


class BooksCache:
    """Books by ledger. They leave the cache while a batch is decided on them."""

    def __init__(self, places_max: int = CACHED_PLACES_MAX) -> None:
        self._places_max = places_max
        self._books: OrderedDict[str, Books] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._size = 0
        self._lock = threading.Lock()

    def take(self, ledger: str) -> Books | None:
        """The lane's books; None where there are none, or where they turned out void."""
        with self._lock:
            books = self._remove(ledger)
        return None if books is None or books.is_void else books

    def put(self, ledger: str, books: Books) -> None:
        """Keeps the books a batch left behind, for the lane's next one."""
        size = books.size()
        with self._lock:
            self._remove(ledger)
            self._books[ledger] = books
            self._sizes[ledger] = size
            self._size += size
            while self._size > self._places_max and self._books:
                self._remove(next(iter(self._books)))

    def rest(self, ledger: str, books: Books) -> None:
        """The batch is over: if nobody took its books on, they drop what was for that batch only."""
        with self._lock:
            if self._books.get(ledger) is books:
                books.forget_batch()

    def _remove(self, ledger: str) -> Books | None:
        self._size -= self._sizes.pop(ledger, 0)
        return self._books.pop(ledger, None)
