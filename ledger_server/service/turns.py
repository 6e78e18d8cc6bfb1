"""A turn: the places of one lane that one worker serves together, and its order among the lane's turns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ledger_server.service.places import Place

PlaceT = TypeVar("PlaceT", bound=Place[Any])


class Turn(Generic[PlaceT]):
    """The places of one lane that one worker serves together."""

    __slots__ = ("_gate", "_is_followed", "_let_next", "has_entered", "is_alone", "ledger", "places")

    def __init__(
        self, ledger: str, is_alone: bool, let_next: Callable[[], None], is_followed: Callable[[bool], bool]
    ) -> None:
        self.ledger = ledger
        self.places: list[PlaceT] = []
        # No turn of this lane is before this one any more.
        self.is_alone = is_alone
        self.has_entered = False
        self._let_next = let_next
        self._is_followed = is_followed
        self._gate = threading.Lock()
        if not is_alone:
            self._gate.acquire()

    def wait(self) -> None:
        """Waits until the turn before has left."""
        with self._gate:
            self.is_alone = True

    def enter(self) -> None:
        """Waits until the turn before has left, and lets the next one begin; once entered, does nothing."""
        if not self.has_entered:
            self.wait()
            self.has_entered = True
            self._let_next()

    def close(self) -> None:
        """The next turn, unless it has begun, begins only when this one has left."""
        self.has_entered = False

    def is_followed(self, *, at_work: bool = False) -> bool:
        """Whether the next turn may begin now, or has begun; with `at_work`, whether it has."""
        return self._is_followed(at_work)

    def open(self) -> None:
        """The turn before has left."""
        self._gate.release()
