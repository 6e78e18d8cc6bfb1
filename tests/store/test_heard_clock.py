"""The database's clock between two looks at it."""

from __future__ import annotations

from ledger_server.store.heard_clock import HeardClock


def test_what_passes_here_is_added_to_what_was_said_for_a_second() -> None:
    here = [100.0]
    clock = HeardClock(lambda: here[0])
    never = clock.now()

    clock.hear(5_000_000)
    times = []
    for passed in (0.0, 0.25, 0.5, 0.25, 3_600.0):
        here[0] += passed
        times.append(clock.now())
    clock.hear(4_000_000)

    assert never is None
    assert times == [5_000_000, 5_250_000, 5_750_000, None, None]
    # Its last word counts, also where it was set back.
    assert clock.now() == 4_000_000
