"""Everything that is logged while a block runs, at every level, whoever logs it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

# psycopg sets a level of its own.
_LOGGERS = ("", "psycopg")


@contextmanager
def logged(*formatters: logging.Formatter) -> Iterator[list[StringIO]]:
    """What is logged, once for each formatter."""
    texts = [StringIO() for _ in formatters]
    handlers = [logging.StreamHandler(text) for text in texts]
    for handler, formatter in zip(handlers, formatters, strict=True):
        handler.setFormatter(formatter)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    for handler in handlers:
        loggers[0].addHandler(handler)
    try:
        yield texts
    finally:
        for handler in handlers:
            loggers[0].removeHandler(handler)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
