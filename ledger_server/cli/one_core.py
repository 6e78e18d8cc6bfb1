"""One core: where a process of the service stays, with all of its threads.

One thread of a Python process runs at a time. Left to themselves its threads are spread
over the cores all the same, and whenever one of them lets go of the interpreter's lock,
another core is woken for the next: of 64 callers' posts that was half of the service's
CPU, and half of its rate. On one core the next thread runs when the one before waits;
and, scheduled as batch work is (sched(7)), not sooner: a thread that is woken does not
take the core from the one that woke it, which has the lock that it needs.

Where others need that core more than another one, the process moves there. The other
cores are for the database, for callers, and for more processes: `--workers`.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

# How often it is looked whether another core is better: never in step with another process that looks too.
_LOOK_S = (1.0, 3.0)
_FIRST_LOOK_S = 0.1
# By how much less others must use another core, in parts of one, to make it worth moving.
_WORTH_MOVING = 0.25
# Cores that others use alike.
_ALIKE = 0.05


def cores() -> frozenset[int]:
    """The cores that this process may use; none where the system does not tell."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def better(core: int | None, used: Mapping[int, float]) -> frozenset[int]:
    """The cores to choose from, by what others use of each, in parts of it: `core` unless it pays to move."""
    least = min(used.values())
    if core is not None and used.get(core, 2.0) <= least + _WORTH_MOVING:
        return frozenset([core])
    return frozenset(one for one, part in used.items() if part <= least + _ALIKE)


def busy_seconds(stat: str) -> dict[int, float]:
    """How long each core has been busy, by the text of /proc/stat (proc_stat(5))."""
    found = {}
    for line in stat.splitlines():
        name, _, figures = line.partition(" ")
        if name.startswith("cpu") and name != "cpu":
            # user, nice, system, idle, iowait, irq, softirq, steal; guests are in the first two.
            ticks = [int(one) for one in figures.split()[:8]]
            found[int(name[3:])] = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    return found


class OneCore:
    """Keeps the process on one of the cores it may use; does nothing where it has no choice."""

    def __init__(self, allowed: frozenset[int] | None = None, stat: Path = Path("/proc/stat")) -> None:
        self.core: int | None = None
        self._cores = cores() if allowed is None else allowed
        self._stat = stat
        self._seen: tuple[float, float, dict[int, float]] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="core", daemon=True)

    def start(self) -> None:
        """Finds a core, and looks for a better one from time to time."""
        if len(self._cores) > 1 and self._stat.exists():
            self._thread.start()

    def stop(self) -> None:
        """Stays where it is."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Moves the process where others use less, by what they used since the last look."""
        now, own = time.monotonic(), time.process_time()
        busy = busy_seconds(self._stat.read_text())
        seen, self._seen = self._seen, (now, own, busy)
        if seen is None:
            return
        elapsed = max(now - seen[0], 1e-3)
        used = {one: (busy[one] - seen[2].get(one, 0.0)) / elapsed for one in self._cores if one in busy}
        if self.core in used:
            used[self.core] -= (own - seen[1]) / elapsed
        if used:
            self.core = random.choice(sorted(better(self.core, used)))
            self._gather()

    def _gather(self) -> None:
        """Brings every thread to the core; those that a thread starts later are there from the first."""
        assert self.core is not None
        for task in os.listdir("/proc/self/task"):
            # It may have ended meanwhile, and a sandbox may forbid one or the other.
            with suppress(OSError):
                os.sched_setaffinity(int(task), {self.core})
            with suppress(OSError):
                os.sched_setscheduler(int(task), os.SCHED_BATCH, os.sched_param(0))

    def _run(self) -> None:
        pause_s = 0.0
        while not self._ended.wait(pause_s):
            # What cannot be read or set just now stays as it is.
            with suppress(OSError, ValueError):
                self.look()
            pause_s = random.uniform(*_LOOK_S) if self.core is not None else _FIRST_LOOK_S
