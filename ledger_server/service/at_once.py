"""Batches that are decided on the books at hand, and written in one round trip.

    books of the turn before ─► decide ─► BEGIN, lane lock, head, rows, COMMIT
                                                   │
                      whatever is unforeseen: nothing was written, and the books are read

A small batch of posts whose accounts and balances are in the lane's books needs to know
two things more: that the head is still where the books are, and that its keys are new.
Both are said by the database while it writes. The head moves only from there, and
with it everything that the books hold is true; the index of keys takes none twice.
What says no is not asked why: the books are changed back, and the batch goes the way of
all others, which reads first. So a replay is found by looking, as ever, and no violation of
any constraint is taken for one. Refusals are told by that way only: a key comes before them.
"""

from __future__ import annotations

from typing import Any

from ledger_server.domain.books import Books
from ledger_server.service.books_cache import BooksCache
from ledger_server.service.tenures import RecentLedgers, Seat, Tenures
from ledger_server.service.turns import Turn
from ledger_server.store.books import OpenedBooks
from ledger_server.store.wanted import Wanted

# After a batch that was unforeseen, its ledger's books are read first for this long: where
# one caller asks again, others do.
DOUBTED_S = 1.0


class AtOnce:
    """Says which batches may be decided at once, and on which books. Shared by all committers."""

    def __init__(self, cache: BooksCache, tenures: Tenures, ahead_from: int) -> None:
        self._cache = cache
        self._tenures = tenures
        # Heavier turns leave their books to the next one while they are being written.
        self._ahead_from = ahead_from
        self._doubted = RecentLedgers(DOUBTED_S)

    def take(self, turn: Turn[Any], wanted: Wanted, seat: Seat) -> OpenedBooks | None:
        """The books out of the cache, and the time by the database's clock; None where they must be read."""
        if (
            not turn.is_alone
            or not wanted.are_posts
            or any(place.atomic for place in turn.places)
            or sum(place.weight for place in turn.places) >= self._ahead_from
            or self._doubted.holds(turn.ledger)
            or self._tenures.is_contested(turn.ledger)
        ):
            return None
        session = seat.lane_session(turn)
        clock = session.clock.now()
        if clock is None or session.holds_lane:
            return None
        books = self._cache.take(turn.ledger)
        bounded = bounded_at_hand(books, wanted) if books is not None else None
        if books is None or bounded is None:
            self.give_back(turn.ledger, books)
            return None
        books.start_batch(wanted.keys, ())
        return OpenedBooks(books, clock, bounded)

    def give_back(self, ledger: str, books: Books | None) -> None:
        """Puts the books back as they were."""
        if books is not None:
            self._cache.put(ledger, books)
            self._cache.rest(ledger, books)

    def doubt(self, ledger: str) -> None:
        """A batch was unforeseen: for a while the books of its ledger are read first."""
        self._doubted.note(ledger)


def bounded_at_hand(books: Books, wanted: Wanted) -> list[tuple[int, int]] | None:
    """Of what posts name those places that have bounds; None where the books do not hold it all."""
    if books.rules is not None and books.rules.is_numbering:
        return None
    accounts, assets, balances = books.accounts, books.assets, books.balances
    if any(accounts.get(name) is None for name in wanted.accounts):
        return None
    bounded = []
    for name, code in wanted.places:
        version, asset = accounts[name], assets.get(code)
        if version is None or asset is None:
            return None
        place = (version.account.account_id, asset.asset_id)
        if place not in balances:
            return None
        if code in version.limits:
            bounded.append(place)
    return bounded
