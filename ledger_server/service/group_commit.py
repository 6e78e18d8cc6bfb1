"""Group commit: what a committer does with one lane's turn.

    places ─► work (units) ─► lane lock, books ─► decide ─► one write, one COMMIT ─► settle
                  ▲                                             │
                  └── head moved, 40001: again with fresh books ┤
                  └── refused by the database: bisect by unit ──┤
                  └── unknown: look, under the lane lock ───────┘

A unit (one draft, or one atomic group) is never split over database transactions.
Nothing is written until every unit is decided, so a refusal has no rows to undo.
The caller's thread owns none of this: a caller who leaves changes nothing.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger_server.domain.accounts import AccountDraft, AssetDraft
from ledger_server.domain.books import Books
from ledger_server.domain.decisions import Decision, Draft, Moment, Recorded
from ledger_server.domain.posting import decide
from ledger_server.domain.refusals import (
    Contention,
    DatabaseUnavailable,
    InvariantBroken,
    LedgerNotFound,
    OutcomeUnknown,
    Refusal,
)
from ledger_server.domain.transactions import PostDraft
from ledger_server.service.lanes import Place
from ledger_server.store.books import Wanted
from ledger_server.store.database import Database
from ledger_server.store.outcomes import CommitUnknown, DatabaseLost, HeadMoved, NotCommitted
from ledger_server.store.posting import LaneSession

_log = logging.getLogger(__name__)

# Another writer can win this often in a row before the caller is told; with the
# lane lock held it takes a bug or a failing database to come near it.
ATTEMPTS_MAX = 8
# A dead backend of ours may hold the lane lock; it is ended after this long.
RESOLVE_WAIT_S = 5.0
RESOLVE_ATTEMPTS_MAX = 6
# Memory budget of all cached books, in places (an account, a balance): about 200
# bytes each, so some 50 MB.
CACHED_PLACES_MAX = 250_000


class PostingPlace(Place[list[Decision]]):
    """A caller's drafts in a lane; answered with one decision each."""

    __slots__ = ("atomic", "drafts")

    def __init__(self, drafts: Sequence[Draft], *, atomic: bool = False) -> None:
        # A turn is bounded in entries too: a transaction may have a thousand.
        entries = sum(len(draft.entries) for draft in drafts if isinstance(draft, PostDraft))
        super().__init__(max(len(drafts), entries // 8))
        self.drafts = drafts
        self.atomic = atomic


@dataclass(slots=True)
class _Work:
    """Units of one place that go through one database transaction together."""

    place: PostingPlace
    start: int
    stop: int

    def halves(self) -> tuple[list[_Work], list[_Work]] | None:
        """The same work in two, or None where it is one unit."""
        if self.place.atomic or self.stop - self.start == 1:
            return None
        middle = (self.start + self.stop) // 2
        return [_Work(self.place, self.start, middle)], [_Work(self.place, middle, self.stop)]


class BooksCache:
    """The books of lanes between turns, least recently used first out, within one memory budget."""

    def __init__(self, places_max: int = CACHED_PLACES_MAX) -> None:
        self._places_max = places_max
        self._books: OrderedDict[str, Books] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._size = 0
        self._lock = threading.Lock()

    def take(self, ledger: str) -> Books | None:
        """The lane's books, which leave the cache while they are worked on."""
        with self._lock:
            self._size -= self._sizes.pop(ledger, 0)
            return self._books.pop(ledger, None)

    def put(self, ledger: str, books: Books) -> None:
        """Keeps the lane's books for its next turn."""
        books.forget_batch()
        size = books.size()
        with self._lock:
            self._books[ledger] = books
            self._sizes[ledger] = size
            self._size += size
            while self._size > self._places_max and self._books:
                oldest, _ = self._books.popitem(last=False)
                self._size -= self._sizes.pop(oldest)


class Committer:
    """Serves posting lanes on one thread, with one database session of its own."""

    def __init__(self, database: Database, cache: BooksCache, clock: Callable[[int], int]) -> None:
        self._database = database
        self._cache = cache
        # From the database's clock to record_time; tests put another one in.
        self._clock = clock
        self._session: LaneSession | None = None

    def serve(self, ledger: str, places: list[PostingPlace]) -> None:
        """Decides and commits every place's drafts, and settles each with its decisions."""
        answers: dict[int, list[Decision | None]] = {
            id(place): [None] * len(place.drafts) for place in places
        }
        try:
            ledger_id = self._database.ledger_id(ledger)
        except DatabaseLost as error:
            self._settle_all(places, _unavailable(error))
            return
        if ledger_id is None:
            self._settle_all(places, LedgerNotFound(f"no ledger {ledger!r}; create it first", ledger=ledger))
            return
        pending = [[_Work(place, 0, len(place.drafts)) for place in places]]
        while pending:
            work = pending.pop()
            try:
                decisions = self._commit(ledger, ledger_id, work)
            except NotCommitted as error:
                halves = _halve(work)
                if halves is not None:
                    pending += reversed(halves)
                    continue
                _log.error(
                    "the database refused a decided batch: sqlstate=%s constraint=%s ledger=%s",
                    error.sqlstate,
                    error.constraint,
                    ledger,
                )
                decisions = [[InvariantBroken("internal error")] * (item.stop - item.start) for item in work]
            except Refusal as refusal:
                decisions = [[refusal] * (item.stop - item.start) for item in work]
            self._database.failpoint("before_settle")
            for item, decided in zip(work, decisions, strict=True):
                answer = answers[id(item.place)]
                answer[item.start : item.stop] = decided
                if item.stop == len(item.place.drafts):
                    item.place.settle(answer)  # type: ignore[arg-type]
                if item is work[0]:
                    self._database.failpoint("after_first_settle")

    @staticmethod
    def _settle_all(places: list[PostingPlace], refusal: Refusal) -> None:
        for place in places:
            place.settle(refusal)

    def idle(self) -> None:
        """Keeps the session from timing out while nobody posts."""
        if self._session is not None:
            try:
                self._session.keep_alive()
            except DatabaseLost:
                self._drop_session()

    def close(self) -> None:
        """Gives the session back."""
        self._drop_session(broken=False)

    # one batch -------------------------------------------------------------------------

    def _commit(self, ledger: str, ledger_id: int, work: list[_Work]) -> list[list[Decision]]:
        """Decides and commits the work; one list of decisions each.

        Raises NotCommitted where the database refused for good, and Contention,
        DatabaseUnavailable or OutcomeUnknown for all of it.
        """
        wanted = _wanted(work)
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                time.sleep(random.uniform(0, 0.002 * 2**attempt))
            try:
                session = self._session_or_new()
                return self._attempt(session, ledger, ledger_id, work, wanted)
            except HeadMoved:
                self._abandon(ledger_id)
            except NotCommitted as error:
                self._abandon(ledger_id)
                if not error.retryable:
                    raise
            except DatabaseLost as error:
                self._drop_session()
                if attempt >= 2:
                    raise _unavailable(error) from error
            # Resolved as not committed: nothing stands, so the same batch again.
        raise Contention(
            f"other writers of ledger {ledger!r} kept winning; nothing was recorded, try again",
            ledger=ledger,
        )

    def _attempt(
        self, session: LaneSession, ledger: str, ledger_id: int, work: list[_Work], wanted: Wanted
    ) -> list[list[Decision]]:
        cached = self._cache.take(ledger)
        books, clock, _ = session.open_books(ledger, ledger_id, wanted, cached)
        before = books.head
        moment = Moment(max(self._clock(clock), before.record_time), _salts())
        decisions = []
        for item in work:
            if item.place.atomic:
                decisions.append(decide(item.place.drafts, books, moment, atomic=True))
            else:
                decisions.append(decide(item.place.drafts[item.start : item.stop], books, moment))
        records = [
            decision.record
            for decided in decisions
            for decision in decided
            # A validate_only draft has no hash.
            if isinstance(decision, Recorded) and not decision.replayed and decision.record.hash
        ]
        if not records:
            session.unlock(ledger_id)
        else:
            asset_ids = {code: asset.asset_id for code, asset in books.assets.items() if asset is not None}
            try:
                session.write(ledger_id, before, books.head, records, asset_ids)
            except CommitUnknown as error:
                if not self._was_committed(ledger_id, error):
                    raise HeadMoved from error
        self._cache.put(ledger, books)
        return decisions

    def _was_committed(self, ledger_id: int, unknown: CommitUnknown) -> bool:
        """Resolves an unknown outcome under the lane lock, on a new session; raises OutcomeUnknown."""
        old = self._session
        old_pid = old.backend_pid if old is not None else 0
        self._drop_session()
        deadline = (old.began if old is not None else time.monotonic()) + RESOLVE_WAIT_S
        for attempt in range(RESOLVE_ATTEMPTS_MAX):
            if attempt:
                time.sleep(random.uniform(0.05, 0.1 * 2**attempt))
            try:
                session = self._session_or_new()
                if time.monotonic() > deadline:
                    session.end_backend(old_pid)
                return session.was_committed(ledger_id, unknown.first_sequence, unknown.first_hash)
            except NotCommitted:
                # The old backend still holds the lane lock: it is ended the next time.
                self._abandon(ledger_id)
                deadline = time.monotonic()
            except DatabaseLost:
                self._drop_session()
        raise OutcomeUnknown(
            "the database was lost while it committed; ask again with the same idempotency key",
            same_key_retry="true",
        ) from unknown

    # the session -----------------------------------------------------------------------

    def _session_or_new(self) -> LaneSession:
        if self._session is None:
            self._session = self._database.lane_session()
        return self._session

    def _drop_session(self, *, broken: bool = True) -> None:
        if self._session is not None:
            self._database.give_back(self._session, broken=broken)
            self._session = None

    def _abandon(self, ledger_id: int) -> None:
        if self._session is not None:
            try:
                self._session.abandon(ledger_id)
            except DatabaseLost:
                self._drop_session()


def _unavailable(error: DatabaseLost) -> DatabaseUnavailable:
    _log.warning("the database does not answer: %s", error)
    return DatabaseUnavailable("the database does not answer; nothing was recorded, try again")


def _halve(work: list[_Work]) -> tuple[list[_Work], list[_Work]] | None:
    """The work in two parts by unit, or None where it is one unit: so one poison draft fails alone."""
    if len(work) > 1:
        return work[: len(work) // 2], work[len(work) // 2 :]
    return work[0].halves()


def _salts() -> Callable[[], bytes]:
    """A source of random salts that asks the system for many at once."""
    pool = b""
    offset = 0

    def salt() -> bytes:
        nonlocal pool, offset
        if offset == len(pool):
            pool, offset = os.urandom(4096), 0
        offset += 16
        return pool[offset - 16 : offset]

    return salt


def _wanted(work: list[_Work]) -> Wanted:
    """What the drafts name."""
    wanted = Wanted()
    accounts, assets, keys, places = wanted.accounts, wanted.assets, wanted.keys, wanted.places
    for item in work:
        for draft in item.place.drafts[item.start : item.stop]:
            if isinstance(draft, PostDraft):
                for account, _, _, asset in draft.entries:
                    accounts.add(account)
                    assets.add(asset)
                    places.add((account, asset))
                if draft.idempotency_key:
                    keys.add(draft.idempotency_key)
            elif isinstance(draft, AccountDraft):
                accounts.add(draft.name)
                assets.update(draft.limits)
                wanted.opens_accounts = True
            elif isinstance(draft, AssetDraft):
                assets.add(draft.code)
                wanted.creates_assets = True
            else:
                if draft.idempotency_key:
                    keys.add(draft.idempotency_key)
                if isinstance(draft.origin, str):
                    keys.add(draft.origin)
                else:
                    wanted.origins.add(draft.origin)
    return wanted
