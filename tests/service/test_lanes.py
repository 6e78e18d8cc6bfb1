"""Lanes and their turns: who is served when, how many at once, and that nobody is left waiting."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from ledger_server.domain.refusals import InvariantBroken, Overloaded, ShuttingDown
from ledger_server.service.lanes import Lanes
from ledger_server.service.places import Place
from ledger_server.service.turns import Turn

PATIENCE_S = 10.0


class Numbered(Place[int]):
    """A place that is answered with its number."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int, weight: int = 1) -> None:
        super().__init__(weight)
        self.number = number


class Clerk:
    """A worker that serves a turn when the test lets it, and notes what it served."""

    def __init__(self) -> None:
        self.served: list[tuple[str, list[int]]] = []
        self.at_work: list[str] = []
        self.at_work_max: dict[str, int] = {}
        self.may_go_on = threading.Semaphore(0)
        self.fails_next = False
        self._lock = threading.Lock()

    def serve(self, turn: Turn[Numbered]) -> None:
        """Settles every place with its number, or fails."""
        with self._lock:
            self.at_work.append(turn.ledger)
            busy = self.at_work.count(turn.ledger)
            self.at_work_max[turn.ledger] = max(busy, self.at_work_max.get(turn.ledger, 0))
        assert self.may_go_on.acquire(timeout=PATIENCE_S)
        turn.enter()
        with self._lock:
            self.at_work.remove(turn.ledger)
            self.served.append((turn.ledger, [place.number for place in turn.places]))
        if self.fails_next:
            self.fails_next = False
            raise ZeroDivisionError("as the test asks")
        for place in turn.places:
            place.settle(place.number)

    def idle(self) -> None:
        """Has nothing to look after."""

    def close(self) -> None:
        """Has nothing to give back."""

    def let_all_go_on(self) -> None:
        """From now on nobody waits for the test."""
        self.may_go_on.release(1_000)


def until(is_so: Callable[[], bool]) -> None:
    """Waits for it to become so."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def lanes_of(clerk: Clerk, *, workers: int = 1, **bounds: Any) -> Iterator[Lanes[Numbered]]:
    """Lanes whose workers are one clerk."""
    lanes: Lanes[Numbered] = Lanes(
        "clerk", lambda: clerk, workers=workers, **{"weight_max": 100, "waiting_max": 100, **bounds}
    )
    lanes.start()
    try:
        yield lanes
    finally:
        clerk.let_all_go_on()
        lanes.stop(PATIENCE_S)


def answers_of(places: list[Numbered]) -> list[int]:
    """Their answers, once all of them are settled."""
    until(lambda: all(place.is_settled for place in places))
    return [place.wait() for place in places]


def is_stopping(lanes: Lanes[Numbered]) -> bool:
    """Whether new callers are refused."""
    try:
        lanes.submit("late", Numbered(9))
    except ShuttingDown:
        return True
    return False


@contextmanager
def joined_at_each_moment(
    monkeypatch: pytest.MonkeyPatch, clerk: Clerk, **bounds: Any
) -> Iterator[tuple[Lanes[Numbered], list[Numbered]]]:
    """Lanes in which somebody comes whenever a worker gives others a moment; and who has come."""
    came: list[Numbered] = []

    def let_one_come(seconds: float) -> None:
        assert seconds == 0
        if len(came) < 6:
            came.append(Numbered(len(came)))
            lanes.submit("a", came[-1])

    with lanes_of(clerk, **bounds) as lanes:
        monkeypatch.setattr("ledger_server.service.lanes.time", SimpleNamespace(sleep=let_one_come))
        yield lanes, came


def occupied(lanes: Lanes[Numbered], clerk: Clerk, ledger: str = "a") -> Numbered:
    """A place whose turn is at work, so that whoever comes now waits."""
    place = Numbered(0)
    before = len(clerk.at_work)
    lanes.submit(ledger, place)
    until(lambda: len(clerk.at_work) > before)
    return place


def test_a_lane_holds_so_many_and_refuses_the_next() -> None:
    clerk = Clerk()
    with lanes_of(clerk, waiting_max=3) as lanes:
        occupied(lanes, clerk)
        for number in range(3):
            lanes.submit("a", Numbered(number))

        with pytest.raises(Overloaded) as refusal:
            lanes.submit("a", Numbered(3))

        assert refusal.value.facts == {"ledger": "a", "waiting_max": "3"}
        lanes.submit("b", Numbered(0))


def test_a_turn_takes_who_waits_in_order_up_to_its_weight() -> None:
    clerk = Clerk()
    with lanes_of(clerk, weight_max=10) as lanes:
        occupied(lanes, clerk)
        places = [Numbered(number, weight) for number, weight in enumerate((4, 6, 1, 10, 99, 2))]
        for place in places:
            lanes.submit("a", place)
        clerk.let_all_go_on()

        assert answers_of(places) == [0, 1, 2, 3, 4, 5]

    # One that is heavier than a whole turn still goes, alone.
    assert [numbers for _, numbers in clerk.served[1:]] == [[0, 1], [2], [3], [4], [5]]


def test_a_lane_is_served_by_one_worker_at_a_time() -> None:
    clerk = Clerk()
    with lanes_of(clerk, workers=3) as lanes:
        places = [occupied(lanes, clerk)]
        for number in range(1, 4):
            places.append(Numbered(number))
            lanes.submit("a", places[-1])
        # Another lane's place came last: once it is at work, a free worker has passed over the first lane.
        occupied(lanes, clerk, "b")
        clerk.let_all_go_on()

        assert answers_of(places) == [0, 1, 2, 3]

    assert clerk.at_work_max == {"a": 1, "b": 1}


def test_lanes_are_served_in_order_of_arrival() -> None:
    clerk = Clerk()
    with lanes_of(clerk) as lanes:
        occupied(lanes, clerk)
        places = [Numbered(number) for number in range(3)]
        for ledger, place in zip("bcd", places, strict=True):
            lanes.submit(ledger, place)
        clerk.let_all_go_on()
        answers_of(places)

    assert [ledger for ledger, _ in clerk.served] == ["a", "b", "c", "d"]


def test_an_idle_lane_leaves_nothing_behind() -> None:
    clerk = Clerk()
    clerk.let_all_go_on()
    with lanes_of(clerk, workers=2) as lanes:
        places = [Numbered(number) for number in range(50)]
        for place in places:
            lanes.submit(f"ledger {place.number}", place)
        answers_of(places)

        # No caller can see it: every ledger that ever posted would stay in the server's memory.
        until(lambda: not lanes._lanes)


@pytest.mark.parametrize("ahead_from", [None, 1], ids=["small", "large"])
def test_a_worker_at_rest_holds_on_to_nobody_whom_it_served(ahead_from: int | None) -> None:
    clerk = Clerk()
    clerk.let_all_go_on()
    with lanes_of(clerk, ahead_from=ahead_from) as lanes:
        place = Numbered(1)
        held = weakref.ref(place)
        lanes.submit("a", place)
        assert place.wait() == 1
        del place

        until(lambda: held() is None)


def test_who_waits_is_served_before_the_workers_stop() -> None:
    clerk = Clerk()
    with lanes_of(clerk, weight_max=1) as lanes:
        places = [occupied(lanes, clerk), *(Numbered(number) for number in range(1, 4))]
        for place in places[1:]:
            lanes.submit("a", place)
        stopping = threading.Thread(target=lanes.stop, args=(PATIENCE_S,), name="stopping")
        stopping.start()
        until(lambda: is_stopping(lanes))
        clerk.let_all_go_on()

        assert answers_of(places) == [0, 1, 2, 3]
        stopping.join(PATIENCE_S)
        assert not stopping.is_alive()


def test_a_turn_that_fails_settles_everybody_and_the_lane_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    clerk = Clerk()
    clerk.fails_next = True
    with lanes_of(clerk) as lanes:
        first = occupied(lanes, clerk)
        after = Numbered(1)
        lanes.submit("a", after)
        clerk.let_all_go_on()

        until(lambda: first.is_settled)
        with pytest.raises(InvariantBroken):
            first.wait()
        assert answers_of([after]) == [1]

    assert "as the test asks" in caplog.text


class EarlyClerk(Clerk):
    """A worker that enters at once and finishes each turn when the test lets that one."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []
        self.may_finish = {1: threading.Event(), 2: threading.Event()}

    def serve(self, turn: Turn[Numbered]) -> None:
        """Settles the turn's one place."""
        (place,) = turn.places
        self.begun.append(place.number)
        turn.enter()
        assert self.may_finish[place.number].wait(PATIENCE_S)
        self.served.append((turn.ledger, [place.number]))
        place.settle(place.number)


def test_a_turn_that_begins_early_enters_after_the_one_before_has_left() -> None:
    clerk = EarlyClerk()
    with lanes_of(clerk, workers=2, ahead_from=1) as lanes:
        places = [Numbered(1), Numbered(2)]
        lanes.submit("a", places[0])
        until(lambda: clerk.begun == [1])
        lanes.submit("a", places[1])
        until(lambda: clerk.begun == [1, 2])
        clerk.may_finish[2].set()
        # It has all the time in the world, and must not use it.
        passed = threading.Event().wait(0.1) or places[1].is_settled
        clerk.may_finish[1].set()
        answers_of(places)

    assert not passed
    assert [numbers for _, numbers in clerk.served] == [[1], [2]]


def test_a_turn_waits_while_somebody_comes_and_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    clerk = Clerk()
    with joined_at_each_moment(monkeypatch, clerk, moments_max=3) as (lanes, came):
        occupied(lanes, clerk)
        for number in (8, 9):
            lanes.submit("a", Numbered(number))
        clerk.let_all_go_on()
        until(lambda: len(clerk.served) > 1)
        answers_of(list(came))

    assert clerk.served[1] == ("a", [8, 9, 0, 1, 2])


def test_a_caller_who_is_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment took 80 microseconds, as long as a round trip."""
    clerk = Clerk()
    clerk.let_all_go_on()
    with joined_at_each_moment(monkeypatch, clerk) as (lanes, came):
        for number in range(5):
            place = Numbered(number)
            lanes.submit("a", place)
            answers_of([place])

    assert came == []
    assert [numbers for _, numbers in clerk.served] == [[0], [1], [2], [3], [4]]


def test_after_company_others_are_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clerk = Clerk()
    with joined_at_each_moment(monkeypatch, clerk) as (lanes, came):
        occupied(lanes, clerk)
        for number in (8, 9):
            lanes.submit("a", Numbered(number))
        clerk.let_all_go_on()
        until(lambda: len(clerk.served) > 1 and all(place.is_settled for place in came))
        lanes.submit("b", Numbered(7))
        until(lambda: ("a", [1]) in clerk.served)

    assert clerk.served[1] == ("a", [8, 9, 0])
    assert ("b", [7]) in clerk.served


def test_who_worked_last_works_next() -> None:
    """Committers took turns, each with a cold session of its own: a tenth of a caller's time."""
    clerks = [Clerk() for _ in range(4)]
    waiting = iter(clerks)
    lanes: Lanes[Numbered] = Lanes("clerk", lambda: next(waiting), workers=4, weight_max=9, waiting_max=9)
    for clerk in clerks:
        clerk.let_all_go_on()
    lanes.start()
    try:
        for number in range(8):
            until(lambda: len(lanes._resting) == 4)
            place = Numbered(number)
            lanes.submit("a", place)
            answers_of([place])
    finally:
        lanes.stop(PATIENCE_S)

    assert sorted(len(clerk.served) for clerk in clerks) == [0, 0, 0, 8]


def test_whoever_comes_meanwhile_is_weighed_with_those_who_came_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clerk = Clerk()
    with joined_at_each_moment(monkeypatch, clerk, moments_max=8, weight_max=2) as (lanes, came):
        occupied(lanes, clerk)
        for number in (8, 9):
            lanes.submit("a", Numbered(number))
        clerk.let_all_go_on()
        until(lambda: len(came) == 6 and all(place.is_settled for place in came))

    assert max(len(numbers) for _, numbers in clerk.served) == 2
    assert [number for _, numbers in clerk.served for number in numbers] == [0, 8, 9, 0, 1, 2, 3, 4, 5]
