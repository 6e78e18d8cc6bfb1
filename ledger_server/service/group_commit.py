"""Group commit: what a committer does with one lane's turn.

    places ─► work (units) ─► books ─► decide ─► enter ─► one write, one COMMIT ─► settle
                  ▲                                             │
                  └── head moved, 40001: again with fresh books ┤
                  └── refused by the database: bisect by unit ──┤
                  └── unknown: look, under the lane lock ───────┘

Batches of a lane are written one after the other. A batch that has entered leaves
its books to the next one, which may be decided on them while the first is being
written: when it enters in turn, the first has committed, or its books are void and
it is decided again. The head it was decided at is checked in the database anyway.

A unit (one draft, or one atomic group) is never split over database transactions.
Nothing is written until every unit is decided, so a refusal has no rows to undo.
The caller's thread owns none of this: a caller who leaves changes nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ledger_server.domain.accounts import Head
from ledger_server.domain.audit import Act, acts_of
from ledger_server.domain.callers import Caller
from ledger_server.domain.decisions import Decision, Draft, Moment, are_all_new, new_records
from ledger_server.domain.posting import decide
from ledger_server.domain.refusals import (
    Contention,
    DatabaseUnavailable,
    InvariantBroken,
    Refusal,
    ledger_not_found,
)
from ledger_server.domain.transactions import PostDraft, TemplateDraft
from ledger_server.service.at_once import AtOnce
from ledger_server.service.attempts import ATTEMPTS_MAX, back_off
from ledger_server.service.books_cache import BooksCache
from ledger_server.service.places import Place
from ledger_server.service.resolving import was_committed
from ledger_server.service.tenures import Seat, Tenures, is_over
from ledger_server.service.turns import Turn
from ledger_server.service.wanting import wanted
from ledger_server.store.books import OpenedBooks
from ledger_server.store.database import Database
from ledger_server.store.outcomes import (
    LOCK_TIMEOUT,
    CommitUnknown,
    DatabaseLost,
    HeadMoved,
    NotCommitted,
)
from ledger_server.store.wanted import Wanted
from ledger_server.store.writing import Batch

_log = logging.getLogger(__name__)


class PostingPlace(Place[list[Decision]]):
    """A caller's drafts in a lane; answered with one decision each. Named, the caller is audited.

    Drafts that are alone in their batch see everything before them in the database.
    """

    __slots__ = ("atomic", "caller", "drafts", "is_alone")

    def __init__(
        self,
        drafts: Sequence[Draft],
        *,
        atomic: bool = False,
        caller: Caller | None = None,
        is_alone: bool = False,
    ) -> None:
        # A turn is bounded in entries and preconditions too: a transaction may have a thousand.
        entries = sum(
            (len(draft.entries) if isinstance(draft, PostDraft) else draft.entries_expected)
            + len(draft.preconditions)
            for draft in drafts
            if isinstance(draft, PostDraft | TemplateDraft)
        )
        super().__init__(max(len(drafts), entries // 8))
        self.drafts = drafts
        self.atomic = atomic
        self.caller = caller
        self.is_alone = is_alone


@dataclass(slots=True)
class _Work:
    """Units of one place that go through one database transaction together."""

    place: PostingPlace
    start: int
    stop: int

    @property
    def drafts(self) -> Sequence[Draft]:
        """The drafts of these units."""
        return self.place.drafts[self.start : self.stop]

    def halves(self) -> tuple[list[_Work], list[_Work]] | None:
        """The same work in two, or None where it is one unit."""
        if self.place.atomic or self.stop - self.start == 1:
            return None
        middle = (self.start + self.stop) // 2
        return [_Work(self.place, self.start, middle)], [_Work(self.place, middle, self.stop)]


class Committer:
    """Serves posting lanes on one thread, with one database session of its own."""

    def __init__(
        self,
        database: Database,
        cache: BooksCache,
        tenures: Tenures,
        at_once: AtOnce,
        clock: Callable[[int], int],
    ) -> None:
        self._database = database
        self._cache = cache
        self._tenures = tenures
        self._seat = Seat(database, tenures)
        self._at_once = at_once
        # From the database's clock to record_time; tests put another one in.
        self._clock = clock

    def serve(self, turn: Turn[PostingPlace]) -> None:
        """Decides and commits every place's drafts, and settles each with its decisions."""
        try:
            self._serve(turn)
        finally:
            self._seat.part_from_lane(turn)

    def _serve(self, turn: Turn[PostingPlace]) -> None:
        ledger, places = turn.ledger, turn.places
        answers: dict[int, list[Decision | None]] = {
            id(place): [None] * len(place.drafts) for place in places
        }
        try:
            ledger_id = self._database.ledger_id(ledger)
        except DatabaseLost as error:
            self._settle_all(places, _unavailable(error))
            return
        if ledger_id is None:
            self._settle_all(places, ledger_not_found(ledger))
            return
        pending = _batches(places)
        while pending:
            work = pending.pop()
            try:
                decisions = self._commit(turn, ledger_id, work)
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
        self._seat.keep_alive()

    def close(self) -> None:
        """Gives the session back."""
        self._seat.close()

    # one batch -------------------------------------------------------------------------

    def _commit(self, turn: Turn[PostingPlace], ledger_id: int, work: list[_Work]) -> list[list[Decision]]:
        """Decides and commits the work; one list of decisions each.

        Raises NotCommitted where the database refused for good, and Contention,
        DatabaseUnavailable or OutcomeUnknown for all of it.
        """
        asked = wanted(draft for item in work for draft in item.drafts)
        asked.posts = partial(_posts, work)
        if work[0].place.is_alone:
            turn.wait()
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                turn.wait()
                back_off(attempt)
            try:
                return self._attempt(turn, ledger_id, work, asked)
            except HeadMoved:
                self._seat.abandon(ledger_id)
            except NotCommitted as error:
                self._seat.abandon(ledger_id)
                if not error.retryable:
                    raise
                if error.sqlstate == LOCK_TIMEOUT:
                    self._seat.free_lane(ledger_id)
            except DatabaseLost as error:
                self._seat.drop()
                if attempt >= 2:
                    raise _unavailable(error) from error
            # Resolved as not committed: nothing stands, so the same batch again.
        raise Contention(
            f"other writers of ledger {turn.ledger!r} kept winning; nothing was recorded, try again",
            ledger=turn.ledger,
        )

    def _attempt(
        self,
        turn: Turn[PostingPlace],
        ledger_id: int,
        work: list[_Work],
        asked: Wanted,
    ) -> list[list[Decision]]:
        at_once = self._decided_at_once(turn, ledger_id, work, asked)
        if at_once is not None:
            return at_once
        opened = self._open_books(turn, ledger_id, asked)
        books, before = opened.books, opened.books.head
        is_ahead = not turn.is_alone
        try:
            decisions = self._decide(opened, work)
            batch = self._batch(before, opened, work, decisions)
            session = self._seat.lane_session(turn)
            is_last = is_over(session)
            is_contested = self._tenures.is_contested(turn.ledger)
            if not (is_last and is_contested):
                turn.enter()
            if books.is_void:
                raise HeadMoved
            # From here on the books may be the next turn's.
            self._cache.put(turn.ledger, books)
            keeps_lane = not is_last and turn.is_followed()
            if is_contested and not keeps_lane:
                # What would be decided now is void when another server has the lane next.
                turn.close()
            if batch is None:
                session.write_nothing(ledger_id, before if is_ahead else None, keeps_lane=keeps_lane)
            else:
                self._write(partial(session.write, ledger_id, batch, keeps_lane=keeps_lane), ledger_id)
        except BaseException as error:
            if isinstance(error, HeadMoved) and not books.is_void:
                self._tenures.meet(turn.ledger)
            books.is_void = True
            raise
        self._cache.rest(turn.ledger, books)
        return decisions

    def _decided_at_once(
        self, turn: Turn[PostingPlace], ledger_id: int, work: list[_Work], asked: Wanted
    ) -> list[list[Decision]] | None:
        """Decides on the books at hand and writes in one round trip; None where that was not to be."""
        opened = self._at_once.take(turn, asked, self._seat)
        if opened is None:
            return None
        books, before = opened.books, opened.books.head
        self._database.failpoint("books_read")
        mark = books.begin()
        decisions = self._decide(opened, work)
        batch = self._batch(before, opened, work, decisions) if are_all_new(decisions) else None
        try:
            if batch is not None:
                self._write(partial(self._seat.session().write_at_once, ledger_id, batch), ledger_id)
        except (HeadMoved, NotCommitted):
            self._seat.abandon(ledger_id)
            self._at_once.doubt(turn.ledger)
            batch = None
        if batch is None:
            books.undo(mark)
        books.keep()
        self._at_once.give_back(turn.ledger, books)
        return decisions if batch is not None else None

    def _decide(self, opened: OpenedBooks, work: list[_Work]) -> list[list[Decision]]:
        books = opened.books
        moment = Moment(max(self._clock(opened.clock), books.head.record_time), _salts())
        return [decide(item.drafts, books, moment, atomic=item.place.atomic) for item in work]

    def _batch(
        self, before: Head, opened: OpenedBooks, work: list[_Work], decisions: list[list[Decision]]
    ) -> Batch | None:
        """What the decisions add to the journal, ready to be sent; None where it is nothing."""
        records, books = new_records(decisions), opened.books
        asset_ids = {code: asset.asset_id for code, asset in books.assets.items() if asset is not None}
        acts = _acts(work, decisions)
        make = self._seat.session().batch
        return make(before, books.head, records, asset_ids, opened.bounded, acts) if records else None

    def _write(self, write: Callable[[], None], ledger_id: int) -> None:
        try:
            write()
        except CommitUnknown as error:
            if not was_committed(self._seat, ledger_id, error):
                # Not by another writer's doing: the way to the database broke, or its disk is full.
                raise DatabaseLost(str(error)) from error

    def _open_books(self, turn: Turn[PostingPlace], ledger_id: int, asked: Wanted) -> OpenedBooks:
        """The books at the head; ahead of it where the turn before has decided and still writes."""
        cached = self._cache.take(turn.ledger)
        if cached is None:
            turn.wait()
        if cached is None or turn.is_alone:
            session = self._seat.lane_session(turn)
            opened = session.open_books(turn.ledger, ledger_id, asked, cached)
            if session.met_others:
                self._tenures.meet(turn.ledger)
            return opened
        return self._seat.session().open_ahead(ledger_id, asked, cached)


def _unavailable(error: DatabaseLost) -> DatabaseUnavailable:
    _log.warning("the database does not answer: %s", error)
    return DatabaseUnavailable("the database does not answer; nothing was recorded, try again")


def _batches(places: Sequence[PostingPlace]) -> list[list[_Work]]:
    """The places as one batch, or as several where some are alone in theirs; the last one first."""
    batches: list[list[_Work]] = [[]]
    for place in places:
        work = _Work(place, 0, len(place.drafts))
        if place.is_alone:
            batches += [[work], []]
        else:
            batches[-1].append(work)
    return [batch for batch in reversed(batches) if batch]


def _posts(work: list[_Work]) -> list[PostDraft]:
    return [draft for item in work for draft in item.drafts if isinstance(draft, PostDraft)]


def _halve(work: list[_Work]) -> tuple[list[_Work], list[_Work]] | None:
    """The work in two parts by unit, or None where it is one unit: so one poison draft fails alone."""
    if len(work) > 1:
        return work[: len(work) // 2], work[len(work) // 2 :]
    return work[0].halves()


def _acts(work: list[_Work], decisions: list[list[Decision]]) -> list[Act]:
    """What the audit tells of them."""
    parts = zip(work, decisions, strict=True)
    return [act for item, decided in parts for act in acts_of(item.place.caller, item.drafts, decided)]


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
