"""How the service logs: a line with the time, and of an exception what it is and where, never what it says.

What is in the books is for those who may read them, and a log is read by others. What we
write ourselves names ledgers, sequences, constraints and counts; the words of an exception
may quote anything, a row that PostgreSQL refused or the text that could not be read.
"""

from __future__ import annotations

import copy
import logging
import traceback
from types import TracebackType

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LogLines(logging.Formatter):
    """Formats records; exceptions without their words, with the code's own lines."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the exception below it."""
        # A record keeps how another handler has written its exception, or ours for that one.
        ours = copy.copy(record)
        ours.exc_text = None
        return super().format(ours)

    def formatException(self, ei: ExceptionInfo) -> str:
        """Every exception of the chain, the first cause first: its type, and where it passed."""
        chain: list[BaseException] = []
        error = ei[1]
        while error is not None and error not in chain:
            chain.append(error)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nwhich led to\n".join(map(_told, reversed(chain)))


def _told(error: BaseException) -> str:
    places = "".join(traceback.format_tb(error.__traceback__))
    kind = type(error)
    told = f"{kind.__module__}.{kind.__qualname__}"
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate:
        # PostgreSQL's own names for what it refused (psycopg, Diagnostic).
        diagnostic = getattr(error, "diag", error)
        constraint = getattr(diagnostic, "constraint_name", None) or getattr(diagnostic, "constraint", None)
        told += f" (sqlstate={sqlstate} constraint={constraint})"
    return f"{places}{told}"
