"""The database's clock between two looks at it: its last word, and what has passed here since."""

from __future__ import annotations

import time
from collections.abc import Callable

# How old its last word may be. What passes within a second is the same by both clocks to within
# a fraction of a millisecond; a clock that is set meanwhile is noticed after this long.
HEARD_WITHIN_S = 1.0


class HeardClock:
    """What one session heard of the database's clock. Used by one thread at a time.

    Its word was on its way when it was heard, so `now` is behind the database by the
    time of that way, and not ahead of it.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._said, self._heard_at = 0, float("-inf")

    def hear(self, said: int) -> None:
        """The database has said just now what time it is, in microseconds."""
        self._said, self._heard_at = said, self._monotonic()

    def now(self) -> int | None:
        """The database's time in microseconds; None where its last word is too old."""
        passed = self._monotonic() - self._heard_at
        return self._said + int(passed * 1_000_000) if passed < HEARD_WITHIN_S else None
