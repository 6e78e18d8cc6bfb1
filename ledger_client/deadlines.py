"""How long a caller waits at most."""

import math

# Who says "for ever" is given a day: timers and gRPC cannot count to infinity.
DEADLINE_MAX_S = 86_400.0


def bounded(deadline_s: float) -> float:
    """The deadline in seconds, at most DEADLINE_MAX_S; raises TypeError or ValueError for no number."""
    if isinstance(deadline_s, bool) or not isinstance(deadline_s, int | float):
        raise TypeError(f"deadline_s is a number of seconds, not {deadline_s!r}")
    if math.isnan(deadline_s):
        raise ValueError("deadline_s is not a number")
    return min(deadline_s, DEADLINE_MAX_S)
