"""Tenures: a server keeps a ledger's lane for a few turns while others wait for it.

Each time the lane lock passes from server to server, whoever gets it reads what the
others recorded and decides its batch while nobody writes; and what it had decided
before is void. So a server whose next turn is at work already keeps the lock for that
turn: the session that holds it goes from the committer that has written to the one
that writes next. PostgreSQL grants the lock in order of asking, so everybody's turn
comes; a tenure is bounded, so that it comes soon.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ledger_server.service.turns import Turn
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost
from ledger_server.store.posting import LaneSession

# Several batches of a thousand; a caller of another server waits this long more.
TENURE_S = 0.1
# A lane counts as wanted by another server for this long after one was met there.
CONTESTED_S = 1.0
# How many ledgers are remembered.
RECENT_MAX = 10_000


class RecentLedgers:
    """Ledgers in which something was met not long ago. Safe to share between threads."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._met: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, ledger: str) -> None:
        """It was met just now."""
        with self._lock:
            self._met[ledger] = time.monotonic()
            self._met.move_to_end(ledger)
            if len(self._met) > RECENT_MAX:
                self._met.popitem(last=False)

    def holds(self, ledger: str) -> bool:
        """Whether it was met not long ago."""
        with self._lock:
            met = self._met.get(ledger)
        return met is not None and time.monotonic() - met < self._within_s


class Tenures:
    """By ledger: sessions that hold a lane for its next turn, and whom it met. Shared by all committers."""

    def __init__(self) -> None:
        self._sessions: dict[str, LaneSession] = {}
        # The session of a committer who took another one over, for one who has passed his on.
        self._spare: LaneSession | None = None
        self._met = RecentLedgers(CONTESTED_S)
        self._lock = threading.Lock()

    def pass_on(self, ledger: str, session: LaneSession) -> None:
        """Leaves the session to the turn that follows, which must take it over."""
        with self._lock:
            self._sessions[ledger] = session

    def take_over(self, ledger: str) -> LaneSession | None:
        """The session that the turn before left, if it left one."""
        with self._lock:
            return self._sessions.pop(ledger, None)

    def leave(self, session: LaneSession) -> LaneSession | None:
        """Leaves a session that holds no lane to whoever has none; answers the one that lay there."""
        with self._lock:
            before, self._spare = self._spare, session
        return before

    def find(self) -> LaneSession | None:
        """The session that somebody left last."""
        with self._lock:
            found, self._spare = self._spare, None
        return found

    def meet(self, ledger: str) -> None:
        """Another server was met in the lane: its records had moved the head."""
        self._met.note(ledger)

    def is_contested(self, ledger: str) -> bool:
        """Whether another server may have the lane next."""
        return self._met.holds(ledger)


def is_over(session: LaneSession) -> bool:
    """Whether the session has held its lane for long enough."""
    return session.holds_lane and time.monotonic() - session.locked_at > TENURE_S


class Seat:
    """A committer's session, another one where it takes a lane over. Used by one thread."""

    def __init__(self, database: Database, tenures: Tenures) -> None:
        self._database = database
        self._tenures = tenures
        self._session: LaneSession | None = None

    def session(self) -> LaneSession:
        """The session; a new one where there is none. Raises DatabaseLost."""
        if self._session is None:
            left = self._tenures.find()
            if left is not None and not left.is_silent:
                # It was ended while it lay there.
                self._database.give_back(left, broken=True)
                left = None
            self._session = left or self._database.lane_session()
        return self._session

    def lane_session(self, turn: Turn[Any]) -> LaneSession:
        """Waits until the turn before has left: the session that it kept the lane with, else ours."""
        self._take_over(turn)
        return self.session()

    def _take_over(self, turn: Turn[Any]) -> None:
        turn.wait()
        left = self._tenures.take_over(turn.ledger)
        if left is not None:
            own, self._session = self._session, left
            unused = self._tenures.leave(own) if own is not None else None
            if unused is not None:
                self._database.give_back(unused, broken=False)

    def part_from_lane(self, turn: Turn[Any]) -> None:
        """Leaves a lane that was kept to the next turn if that is at work, else to anybody."""
        # A turn that has failed may not have taken it over.
        self._take_over(turn)
        if self._session is None or not self._session.holds_lane:
            return
        if turn.is_followed(at_work=True):
            self._tenures.pass_on(turn.ledger, self._session)
            self._session = None
        else:
            self._or_drop(LaneSession.leave_lane)

    def drop(self, *, broken: bool = True) -> tuple[int, float]:
        """Gives the session back; answers its backend and when its last database transaction began."""
        session, self._session = self._session, None
        if session is None:
            return 0, time.monotonic()
        self._database.give_back(session, broken=broken)
        return session.backend_pid, session.began

    def close(self) -> None:
        """Gives the session back, and one that was left."""
        while self._session is not None:
            self.drop(broken=False)
            self._session = self._tenures.find()

    def keep_alive(self) -> None:
        """Keeps the session from timing out while nobody posts; one that nobody needs is given back."""
        left = self._tenures.find()
        if self._session is None:
            self._session = left
        elif left is not None:
            self._database.give_back(left, broken=False)
        self._or_drop(LaneSession.keep_alive)

    def free_lane(self, ledger_id: int) -> None:
        """Ends a session that holds the lane lock and whose own server has stopped."""
        self._or_drop(lambda session: session.end_silent_holder(ledger_id))

    def abandon(self, ledger_id: int) -> None:
        """Rolls back and gives the lane lock back after a failure."""
        self._or_drop(lambda session: session.abandon(ledger_id))

    def _or_drop(self, act: Callable[[LaneSession], None]) -> None:
        """Acts on the session, if there is one, and drops it where it turns out lost."""
        if self._session is not None:
            try:
                act(self._session)
            except DatabaseLost:
                self.drop()
