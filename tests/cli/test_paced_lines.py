"""An outage does not fill the log, and hides no line of anybody else."""

from __future__ import annotations

import logging

from ledger_server.cli.paced_lines import PACE_S, PacedLines

POOL = "psycopg.pool"
ERROR = "error connecting in %r: %s"


def record(at: float, message: str = ERROR, name: str = POOL) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, "pool.py", 1, message, ("reads", "refused"), None)
    made.created = at
    return made


def test_a_message_is_logged_once_in_its_pace() -> None:
    paced = PacedLines(POOL)

    logged = [paced.filter(record(100 + step * PACE_S / 8)) for step in range(17)]

    assert [step for step, is_logged in enumerate(logged) if is_logged] == [0, 8, 16]


def test_another_message_and_another_logger_are_logged_at_once() -> None:
    paced = PacedLines(POOL)
    paced.filter(record(100))

    assert paced.filter(record(100, message="reconnection attempt in pool %r failed after %s sec"))
    assert all(paced.filter(record(100, name="ledger_server.service.lanes")) for _ in range(3))


def test_a_clock_that_is_set_back_silences_nothing() -> None:
    paced = PacedLines(POOL)
    paced.filter(record(100))

    assert paced.filter(record(50))
    assert not paced.filter(record(50.5))
