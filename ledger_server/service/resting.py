"""Threads without work: who lay down last gets up first.

What it needs is still in the processor's caches, and what its database session needs
is too; taking turns would leave each of them cold. For one caller that was a tenth of
the time of a post.
"""

from __future__ import annotations

import threading


class Resting:
    """Threads that rest until they are woken, each behind a gate of its own.

    Everything but `wait` is called with the `lock` held under which work is handed out.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._gates: list[threading.Lock] = []

    def lie_down(self) -> threading.Lock:
        """A gate for the thread that calls, which must `wait` behind it as soon as the lock is free."""
        gate = threading.Lock()
        gate.acquire()
        self._gates.append(gate)
        return gate

    def wake_one(self) -> None:
        """Wakes who lay down last, if anybody rests."""
        if self._gates:
            self._gates.pop().release()

    def wake_all(self) -> None:
        """Wakes everybody."""
        while self._gates:
            self.wake_one()

    def wait(self, gate: threading.Lock, timeout_s: float) -> bool:
        """Rests behind the gate; whether it was woken, and did not wake up by itself."""
        if gate.acquire(timeout=timeout_s):
            return True
        with self._lock:
            if gate in self._gates:
                self._gates.remove(gate)
                return False
        # Woken in the very last moment.
        return True

    def __len__(self) -> int:
        """How many rest."""
        return len(self._gates)
