"""Lanes: a queue per ledger, served in turns by a few workers, no timer.

A lane takes whoever waited during its previous turn, so the group is what arrived
while the database was busy: one caller alone pays no delay, a crowd shares one
round trip. Turns of one lane are finished one after the other, in order of arrival.
Where many wait, and no other lane does, the next turn begins while the one before
is being finished, and waits for it where it must (`Turn.enter`).
Everything that waits is bounded: a lane that is full answers Overloaded at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, Protocol

from ledger_server.domain.refusals import InvariantBroken, Overloaded, ShuttingDown
from ledger_server.service.resting import Resting
from ledger_server.service.turns import PlaceT, Turn

_log = logging.getLogger(__name__)

# How long an idle worker waits before it looks after its session.
IDLE_CHECK_S = 5.0


class Worker(Protocol[PlaceT]):
    """What serves lanes, one turn at a time, on a thread of its own."""

    def serve(self, turn: Turn[PlaceT]) -> None:
        """Settles every place of the turn."""

    def idle(self) -> None:
        """Called after IDLE_CHECK_S without work."""

    def close(self) -> None:
        """Called once, at the end."""


class _Lane(Generic[PlaceT]):
    """Who waits, and the turns at work: at most two, of which the first has entered."""

    __slots__ = ("turns", "waiting", "weight")

    def __init__(self) -> None:
        self.waiting: deque[PlaceT] = deque()
        self.weight = 0
        self.turns: deque[Turn[PlaceT]] = deque()

    def join(self, place: PlaceT) -> None:
        """Puts a place behind the others."""
        self.waiting.append(place)
        self.weight += place.weight

    def move(self, places: list[PlaceT], weight_max: int) -> bool:
        """Adds whoever waits to the places, up to the bound, but at least one; whether anybody came."""
        count, weight = len(places), sum(place.weight for place in places)
        while self.waiting and (not places or weight + self.waiting[0].weight <= weight_max):
            place = self.waiting.popleft()
            places.append(place)
            weight += place.weight
            self.weight -= place.weight
        return len(places) > count


class Lanes(Generic[PlaceT]):
    """The lanes and their workers.

    `weight_max` bounds one turn, `waiting_max` the places of one lane. From a weight of
    `ahead_from` the next turn begins while one is being finished; never where it is None.
    Before a turn begins others are given a moment to join it, and another one after each in
    which somebody came, `moments_max` in all; none where a caller is alone, and was before.
    """

    def __init__(
        self,
        name: str,
        make_worker: Callable[[], Worker[PlaceT]],
        *,
        workers: int,
        weight_max: int,
        waiting_max: int,
        ahead_from: int | None = None,
        moments_max: int = 1,
    ) -> None:
        self._moments_max = moments_max
        self._weight_max = weight_max
        self._waiting_max = waiting_max
        self._ahead_from = ahead_from
        self._lanes: dict[str, _Lane[PlaceT]] = {}
        # Ledgers whose next turn may begin, in order of arrival: those with no turn at
        # work, and those with one. The first go first.
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._ahead: OrderedDict[str, None] = OrderedDict()
        self._stopping = False
        # Whether the last turn had several places: then others are about to come.
        self._had_company = False
        self._change = threading.Lock()
        self._resting = Resting(self._change)
        self._threads = [
            threading.Thread(target=self._run, args=(make_worker,), name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        """Starts the workers."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Serves who waits, then stops the workers and waits for them."""
        with self._change:
            self._stopping = True
            self._resting.wake_all()
        for thread in self._threads:
            thread.join(timeout_s)

    def submit(self, ledger: str, place: PlaceT) -> None:
        """Puts a place into the ledger's lane. Raises Overloaded, ShuttingDown."""
        # Critical section: every caller passes it; only dictionary work inside.
        with self._change:
            if self._stopping:
                raise ShuttingDown("the server is shutting down; try another one, or again later")
            lane = self._lanes.get(ledger)
            if lane is None:
                lane = self._lanes[ledger] = _Lane()
            if len(lane.waiting) >= self._waiting_max:
                raise Overloaded(
                    f"{len(lane.waiting)} calls of ledger {ledger!r} wait already; try again later",
                    ledger=ledger,
                    waiting_max=self._waiting_max,
                )
            lane.join(place)
            self._offer(ledger, lane)

    def _offer(self, ledger: str, lane: _Lane[PlaceT]) -> None:
        """Lets a worker take the lane's next turn, if it may begin."""
        if not lane.waiting:
            return
        if not lane.turns:
            self._ahead.pop(ledger, None)
            line = self._ready
        elif len(lane.turns) == 1 and lane.turns[0].has_entered and self._is_worth_it(lane):
            line = self._ahead
        else:
            return
        if ledger not in line:
            line[ledger] = None
            self._resting.wake_one()

    def _is_worth_it(self, lane: _Lane[PlaceT]) -> bool:
        return self._ahead_from is not None and lane.weight >= self._ahead_from

    def _run(self, make_worker: Callable[[], Worker[PlaceT]]) -> None:
        worker = make_worker()
        while True:
            turn = self._take(worker)
            if turn is None:
                break
            self._serve(worker, turn)
            if self._is_large(turn):
                # Who was answered goes first; else he would free all that a large turn was made of
                # before he sends the answer on.
                time.sleep(0)
            del turn
        worker.close()

    def _serve(self, worker: Worker[PlaceT], turn: Turn[PlaceT]) -> None:
        try:
            worker.serve(turn)
        except BaseException:
            _log.exception("serving a lane failed", extra={"ledger": turn.ledger})
        finally:
            for place in turn.places:
                if not place.is_settled:
                    place.settle(InvariantBroken("internal error"))
            self._leave(turn)

    def _is_large(self, turn: Turn[PlaceT]) -> bool:
        weight = sum(place.weight for place in turn.places)
        return self._ahead_from is not None and weight >= self._ahead_from

    def _take(self, worker: Worker[PlaceT]) -> Turn[PlaceT] | None:
        """The next turn: whoever waits in a lane, up to the bound. None when stopped."""
        while True:
            with self._change:
                line = self._ready or self._ahead
                if line:
                    ledger, _ = line.popitem(last=False)
                    turn = self._begin(ledger)
                    has_company = self._had_company or len(self._lanes[ledger].waiting) > 1
                    if not has_company:
                        self._lanes[ledger].move(turn.places, self._weight_max)
                elif self._stopping:
                    return None
                else:
                    turn, gate = None, self._resting.lie_down()
            if turn is not None:
                if has_company:
                    self._wait_for_company(turn)
                return turn
            if not self._resting.wait(gate, IDLE_CHECK_S):
                self._idle(worker)

    def _wait_for_company(self, turn: Turn[PlaceT]) -> None:
        """Whoever is about to come, on a thread that is ready to run, comes along."""
        for _ in range(self._moments_max):
            time.sleep(0)
            with self._change:
                has_grown = self._lanes[turn.ledger].move(turn.places, self._weight_max)
                self._had_company = len(turn.places) > 1
            if not has_grown:
                break

    @staticmethod
    def _idle(worker: Worker[PlaceT]) -> None:
        try:
            worker.idle()
        except Exception:
            # A worker that ends is one less for good.
            _log.exception("looking after an idle session failed")

    def _begin(self, ledger: str) -> Turn[PlaceT]:
        lane = self._lanes[ledger]
        turn: Turn[PlaceT] = Turn(
            ledger,
            not lane.turns,
            lambda: self._let_next(ledger, lane),
            lambda at_work: self._is_followed(ledger, lane, at_work),
        )
        lane.turns.append(turn)
        return turn

    def _let_next(self, ledger: str, lane: _Lane[PlaceT]) -> None:
        with self._change:
            self._offer(ledger, lane)

    def _is_followed(self, ledger: str, lane: _Lane[PlaceT], at_work: bool) -> bool:
        with self._change:
            return len(lane.turns) > 1 or (not at_work and ledger in self._ahead)

    def _leave(self, turn: Turn[PlaceT]) -> None:
        # A turn that failed early leaves after the one before it too.
        turn.wait()
        with self._change:
            lane = self._lanes[turn.ledger]
            lane.turns.popleft()
            if lane.turns:
                lane.turns[0].open()
            elif lane.waiting:
                self._offer(turn.ledger, lane)
            else:
                # An idle lane leaves nothing behind.
                del self._lanes[turn.ledger]
