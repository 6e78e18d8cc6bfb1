"""What the database said of a caller, remembered for a second, and never what it was before a change here."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

# A change that another process made is seen after this long.
REMEMBERED_S = 1.0
# From this age on one caller asks again, while the others go on with what is known.
ASKED_AGAIN_S = 0.5
REMEMBERED_MAX = 10_000

PlaceT = TypeVar("PlaceT", bound=Hashable)
ValueT = TypeVar("ValueT")


@dataclass(slots=True)
class _Known(Generic[ValueT]):
    """What was answered when the database was asked, by the monotonic clock."""

    value: ValueT | None
    asked_at: float
    is_asked_again: bool = False


class Remembered(Generic[PlaceT, ValueT]):
    """Answers of `ask`, by what was asked for. Safe to share between threads.

    `keeps_absence` says whether None is remembered too: not where strangers choose what
    is asked for, and could push out what is there.
    """

    def __init__(
        self,
        ask: Callable[[PlaceT], ValueT | None],
        *,
        keeps_absence: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._keeps_absence = keeps_absence
        self._clock = clock
        self._known: OrderedDict[PlaceT, _Known[ValueT]] = OrderedDict()
        # Rises with each change here: what was asked before it is not remembered after it.
        self._changes = 0
        # Critical section: the memory and the count; never held while the database is asked.
        self._lock = Lock()

    def get(self, place: PlaceT) -> ValueT | None:
        """What is there, at most a second old; None where nothing is. Raises what `ask` raises."""
        now = self._clock()
        with self._lock:
            known = self._known.get(place)
            if known is not None and now < known.asked_at + REMEMBERED_S:
                if known.is_asked_again or now < known.asked_at + ASKED_AGAIN_S:
                    return known.value
                known.is_asked_again = True
            changes = self._changes
        try:
            value = self._ask(place)
        except BaseException:
            if known is not None:
                known.is_asked_again = False
            raise
        with self._lock:
            self._known.pop(place, None)
            if changes == self._changes and (value is not None or self._keeps_absence):
                self._known[place] = _Known(value, now)
                if len(self._known) > REMEMBERED_MAX:
                    self._known.popitem(last=False)
        return value

    def forget(self, place: PlaceT) -> None:
        """It may have changed: the next who asks is told what it is now."""
        with self._lock:
            self._changes += 1
            self._known.pop(place, None)

    def __len__(self) -> int:
        """How many answers are remembered."""
        return len(self._known)
