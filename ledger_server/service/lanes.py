"""Lanes: a queue per ledger, served in turn by a few workers, no timer.

A lane takes whoever waited during its previous turn, so the group is what arrived
while the database was busy: one caller alone pays no delay, a crowd shares one
round trip. One lane is served by one worker at a time, in order of arrival.
Everything that waits is bounded: a lane that is full answers Overloaded at once.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ledger_server.domain.refusals import InvariantBroken, Overloaded, Refusal, ShuttingDown

_log = logging.getLogger(__name__)

# How long an idle worker waits before it looks after its session.
IDLE_CHECK_S = 5.0

AnswerT = TypeVar("AnswerT")


class Place(Generic[AnswerT]):
    """A caller's place in a lane: it waits until it is settled, once."""

    __slots__ = ("_answer", "_gate", "weight")

    def __init__(self, weight: int = 1) -> None:
        self.weight = weight
        self._answer: AnswerT | Refusal | None = None
        # A lock is the cheapest event there is for one waiter and one settler.
        self._gate = threading.Lock()
        self._gate.acquire()

    def settle(self, answer: AnswerT | Refusal) -> None:
        """Gives the caller its answer. The caller may have left: the commit stands all the same."""
        if self._answer is None:
            self._answer = answer
            self._gate.release()

    @property
    def is_settled(self) -> bool:
        """Whether the answer was given."""
        return self._answer is not None

    def wait(self) -> AnswerT:
        """Waits for the answer; raises it where it is a refusal. A worker settles every place it takes."""
        self._gate.acquire()
        self._gate.release()
        if isinstance(self._answer, Refusal):
            raise self._answer
        assert self._answer is not None
        return self._answer


PlaceT = TypeVar("PlaceT", bound=Place)  # type: ignore[type-arg]


class Worker(Protocol[PlaceT]):
    """What serves lanes, one at a time, on a thread of its own."""

    def serve(self, ledger: str, places: list[PlaceT]) -> None:
        """Settles every place."""

    def idle(self) -> None:
        """Called after IDLE_CHECK_S without work."""

    def close(self) -> None:
        """Called once, at the end."""


class Lanes(Generic[PlaceT]):
    """The lanes and their workers. `weight_max` bounds one turn, `waiting_max` the places of one lane."""

    def __init__(
        self,
        name: str,
        make_worker: Callable[[], Worker[PlaceT]],
        *,
        workers: int,
        weight_max: int,
        waiting_max: int,
    ) -> None:
        self._weight_max = weight_max
        self._waiting_max = waiting_max
        self._waiting: dict[str, deque[PlaceT]] = {}
        # Ledgers with someone waiting and no worker at it, in order of arrival.
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._busy: set[str] = set()
        self._stopping = False
        self._change = threading.Condition()
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
            self._change.notify_all()
        for thread in self._threads:
            thread.join(timeout_s)

    def submit(self, ledger: str, place: PlaceT) -> None:
        """Puts a place into the ledger's lane. Raises Overloaded, ShuttingDown."""
        # Critical section: every caller passes it; only dictionary work inside.
        with self._change:
            if self._stopping:
                raise ShuttingDown("the server is shutting down; try another one, or again later")
            line = self._waiting.get(ledger)
            if line is None:
                line = self._waiting[ledger] = deque()
            if len(line) >= self._waiting_max:
                raise Overloaded(
                    f"{len(line)} calls of ledger {ledger!r} wait already; try again later",
                    ledger=ledger,
                    waiting_max=self._waiting_max,
                )
            line.append(place)
            if ledger not in self._busy and ledger not in self._ready:
                self._ready[ledger] = None
                self._change.notify()

    def _run(self, make_worker: Callable[[], Worker[PlaceT]]) -> None:
        worker = make_worker()
        while True:
            turn = self._take(worker)
            if turn is None:
                break
            ledger, places = turn
            try:
                worker.serve(ledger, places)
            except BaseException:
                _log.exception("serving a lane failed", extra={"ledger": ledger})
            finally:
                for place in places:
                    if not place.is_settled:
                        place.settle(InvariantBroken("internal error"))
                self._leave(ledger)
        worker.close()

    def _take(self, worker: Worker[PlaceT]) -> tuple[str, list[PlaceT]] | None:
        """The next lane's turn: whoever waits in it, up to the bound. None when stopped."""
        while True:
            with self._change:
                if not self._ready:
                    if self._stopping:
                        return None
                    woken = self._change.wait(IDLE_CHECK_S)
                else:
                    woken = True
                if self._ready:
                    ledger, _ = self._ready.popitem(last=False)
                    self._busy.add(ledger)
                    return ledger, self._next_places(self._waiting[ledger])
            if not woken:
                worker.idle()

    def _next_places(self, line: deque[PlaceT]) -> list[PlaceT]:
        places = [line.popleft()]
        weight = places[0].weight
        while line and weight + line[0].weight <= self._weight_max:
            places.append(line.popleft())
            weight += places[-1].weight
        return places

    def _leave(self, ledger: str) -> None:
        with self._change:
            self._busy.discard(ledger)
            if self._waiting[ledger]:
                self._ready[ledger] = None
                self._change.notify()
            else:
                # An idle lane leaves nothing behind.
                del self._waiting[ledger]
