"""Idempotency keys in order of time: the layout of a UUID of version 7, made without a lock."""

import itertools
import random
import time
from collections.abc import Callable

_COUNTER_MASK = (1 << 24) - 1


class Keys:
    """Makes keys that no other caller makes and that sort by the millisecond of their making.

    48 bits of time, 24 bits that count this maker's keys, 48 random bits. Safe to
    share between threads: counting and drawing are one step each.
    """

    def __init__(
        self,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        random_bits: Callable[[int], int] | None = None,
    ) -> None:
        # A generator of its own, seeded by the system: the program's may be seeded with a constant.
        self._random_bits = random_bits or random.Random().getrandbits
        self._now_ns = now_ns
        self._counter = itertools.count(self._random_bits(20))

    def new(self) -> str:
        """A key of 36 characters that was never given before."""
        milliseconds = self._now_ns() // 1_000_000
        count = next(self._counter) & _COUNTER_MASK
        return (
            f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7{count >> 12:03x}-8{count & 0xFFF:03x}"
            f"-{self._random_bits(48):012x}"
        )
