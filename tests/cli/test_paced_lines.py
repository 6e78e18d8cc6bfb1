"""An outage does not fill the log, and hides no line of anybody else."""

from __future__ import annotations

import logging

import pytest

from ledger_server.cli.paced_lines import PACE_S, PacedLines
from ledger_server.cli.serve import log_to_stderr

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


def test_the_service_logs_an_outage_at_that_pace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    log_to_stderr()

    for _ in range(3):
        logging.getLogger(POOL).warning(ERROR, "reads", "refused")
        logging.getLogger("ledger_server.service").warning("another line")

    logged = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in logged if POOL in line] == [
        "error connecting in 'reads': refused"
    ]
    assert len([line for line in logged if "another line" in line]) == 3
