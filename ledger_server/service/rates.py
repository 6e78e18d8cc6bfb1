"""Rates: how much somebody is given a second, and how much may be saved up. Pure but for the clock.

A name has a bucket. It fills at so much a second, up to the burst; what is done takes
its weight out of it. Something heavier than the burst waits for a full bucket and
leaves a debt, so that a batch of any size goes through, and is paid for. Over any
time nobody is given more than rate x time + burst + the heaviest thing.

All that is kept of a bucket is when it will be full. A full one is kept no longer than
it must be, and of more names than `names_max` the one that was not seen for longest
is forgotten: its bucket is full when it comes again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

NAMES_MAX = 10_000


class Rates:
    """Buckets by name, of `per_second` and `burst`, both at least 1. Safe to share between threads."""

    def __init__(
        self,
        per_second: int,
        burst: int,
        *,
        names_max: int = NAMES_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.per_second = per_second
        self.burst = burst
        self._names_max = names_max
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def take(self, name: str, weight: int) -> float:
        """Takes the weight and answers 0; or takes nothing, and answers in how many seconds it would pass."""
        # Critical section: some arithmetic and a dictionary.
        with self._lock:
            now = self._clock()
            full_at = max(now, self._full_at.get(name, now))
            wait_s = full_at - now - (self.burst - min(weight, self.burst)) / self.per_second
            # A thousand millionth of a second is no reason to come again.
            if wait_s > 1e-9:
                return wait_s
            self._full_at[name] = full_at + weight / self.per_second
            self._full_at.move_to_end(name)
            if len(self._full_at) > self._names_max:
                self._full_at.popitem(last=False)
            return 0.0

    def __len__(self) -> int:
        """How many names are remembered."""
        return len(self._full_at)
