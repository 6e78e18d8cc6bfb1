"""When the call that this thread works for must be answered: known to whatever waits on its behalf.

A caller who has left changes nothing: what was submitted is committed all the same,
by threads that know no deadline. Only the caller's own thread stops waiting, and is
free for others.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from math import inf

from ledger_server.domain.refusals import DeadlineExceeded

_ends_at: ContextVar[float] = ContextVar("ends_at", default=inf)


def begin(within_s: float) -> None:
    """From now on the call has so many seconds. Work without a call has as many as it likes."""
    _ends_at.set(time.monotonic() + within_s)


def left_s() -> float | None:
    """How long may still be waited, at least 0; None where nobody waits for an answer."""
    ends_at = _ends_at.get()
    return None if ends_at == inf else max(0.0, ends_at - time.monotonic())


def passed() -> DeadlineExceeded:
    """What a caller is told whose time is over before the answer was there."""
    return DeadlineExceeded(
        "the call's time was over before it was answered; a write may be recorded or not:"
        " ask again with the same key",
        same_key_retry="true",
    )
