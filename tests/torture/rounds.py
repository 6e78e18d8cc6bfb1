"""The kinds of faults, how often each is tried, and one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torture import cut_commits, filling, killing, pausing, power, straining, syncing
from torture.processes import Stuck
from torture.rows import Missing, Row
from torture.run import Run

PLACES = len(killing.FAILPOINTS)
_log = logging.getLogger(__name__)

SIZES = ("quick", "ci", "full")


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault, and its `n` in half a minute, in continuous integration, and for a release."""

    name: str
    strike: Callable[[Run, Row], None]
    quick: int
    ci: int
    full: int
    leaves_unknown: bool = False

    def n(self, size: str) -> int:
        """How often."""
        return int(getattr(self, size))


FAULTS = (
    Fault("kill -9 server", killing.server, 1, 15, 300, leaves_unknown=True),
    Fault("kill -9 backend", killing.backend, 1, 5, 100),
    Fault("kill -9 postmaster", killing.postmaster, 1, 5, 50),
    Fault("failpoints", killing.failpoints, PLACES, 3 * PLACES, 20 * PLACES, leaves_unknown=True),
    Fault("COMMIT never sent", cut_commits.never_sent, 2, 20, 500),
    Fault("answer to COMMIT lost", cut_commits.answer_lost, 2, 20, 500),
    Fault("half-open at COMMIT", cut_commits.half_open, 0, 2, 20),
    Fault("two servers", killing.two_servers, 1_200, 5_000, 300_000, leaves_unknown=True),
    Fault("SIGSTOP server", pausing.server, 0, 4, 40),
    Fault("SIGSTOP backend", pausing.backend, 1, 3, 30),
    Fault("SIGSTOP postmaster", pausing.postmaster, 0, 3, 30),
    Fault("slow connection", straining.delays, 0, 300, 3_000),
    Fault("split messages", straining.pieces, 200, 2_000, 50_000),
    Fault("slow fsync", syncing.slow, 0, 3, 30),
    Fault("failing fsync", syncing.failing, 0, 3, 50),
    Fault("tables' disk full", filling.tables, 0, 2, 20),
    Fault("log's disk full", filling.write_ahead_log, 0, 2, 20),
    Fault("power cut", power.cut, 0, 1, 30, leaves_unknown=True),
    Fault("power cut, control", power.control, 0, 1, 30),
)
NAMES = tuple(fault.name for fault in FAULTS)


class Rounds:
    """Kinds of faults, each with its load and its judgement; all that the size has unless some are named."""

    def __init__(
        self,
        size: str,
        seed: int,
        *,
        only: Sequence[str] = (),
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._size = size
        self._seed = seed
        self._only = only
        self._say = say

    def run(self) -> Iterator[Row]:
        """One row after the other."""
        with Run(self._seed) as run:
            for fault in FAULTS:
                n = fault.n(self._size)
                if fault.name in self._only or (n and not self._only):
                    self._say(fault.name)
                    # Who names a fault that this size leaves out wants it tried.
                    yield _row(run, fault, n or fault.ci)


def _row(run: Run, fault: Fault, n: int) -> Row:
    row = Row(fault.name, n, leaves_unknown=fault.leaves_unknown, what=fault.strike.__doc__ or "")
    try:
        fault.strike(run, row)
    except Missing as missing:
        row.n, row.skipped, row.skipping_fails_ci = 0, str(missing), missing.fails_ci
    except Stuck as stuck:
        row.violations.append(f"stuck: {stuck}")
    except Exception as error:
        # The other faults' hours are not thrown away with it.
        _log.exception("the round of %r ended early", fault.name)
        row.violations.append(f"the round ended early: {type(error).__name__}: {error}")
    return row
