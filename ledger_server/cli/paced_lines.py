"""What is said over and over while the database is away is logged once in a second.

The pool tries to connect several times a second and warns each time; an outage of ten
minutes would be thousands of lines, in which others are not found.
"""

from __future__ import annotations

import logging

PACE_S = 1.0


class PacedLines(logging.Filter):
    """For a handler: lets each message of this logger through once in PACE_S, all others as they are."""

    def __init__(self, logger: str) -> None:
        super().__init__(logger)
        # By message, before its arguments: when it was let through. A library has few.
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        if not super().filter(record):
            return True
        said = self._said.get(str(record.msg))
        if said is not None and 0 <= record.created - said < PACE_S:
            return False
        self._said[str(record.msg)] = record.created
        return True
