"""What became of a database transaction: committed, not committed, or unknown.

A lost connection before COMMIT and one after it look the same from here, and so
does an I/O error while the commit record is flushed. So an error at or after
BEGIN is NOT_COMMITTED only where its SQLSTATE proves it; everything else is
UNKNOWN and is resolved by looking, under the lane lock, never guessed.
"""

from __future__ import annotations

from enum import Enum

import psycopg


class Outcome(Enum):
    """What became of a commit. UNKNOWN is resolved under the lane lock, never guessed."""

    NOT_COMMITTED = "not committed"
    UNKNOWN = "unknown"


class HeadMoved(Exception):
    """The head is not the one the books were read at; nothing was written."""


class NotCommitted(Exception):
    """The database refused the batch; nothing was written. `retryable`: 40001, 40P01 and the like."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(str(error).partition("\n")[0])
        self.sqlstate = error.sqlstate
        self.constraint = error.diag.constraint_name
        self.retryable = error.sqlstate in _RETRYABLE


class CommitUnknown(Exception):
    """The connection or the database failed where the commit may already stand.

    `sequence` and `record_hash` are of the batch's last record: whether that record
    stands at that sequence decides. Its hash covers all before it; the first one could
    be the same asset, created by somebody else.
    """

    def __init__(self, error: psycopg.Error, sequence: int, record_hash: bytes) -> None:
        super().__init__(str(error).partition("\n")[0])
        self.sequence = sequence
        self.record_hash = record_hash


class DatabaseLost(Exception):
    """The database did not answer where nothing can have been written, or where that does no harm."""


# lock_not_available: a lane lock was not to be had within lock_timeout.
LOCK_TIMEOUT = "55P03"
# Serialization failure, deadlock, lock not available, and a plan made stale by a
# migration: the same batch may be decided and written again.
_RETRYABLE = frozenset({"40001", "40P01", LOCK_TIMEOUT, "0A000"})
# Classes of SQLSTATE that say for certain that the transaction was rolled back
# when they come before or as the answer to COMMIT: data exceptions, constraints,
# transaction state, rollbacks, privileges, syntax, lock not available.
_CERTAIN_CLASSES = frozenset(
    {"0A", "21", "22", "23", "25", "26", "28", "2F", "34", "40", "42", "44", "55", "P0"}
)
# 40003: statement completion unknown.
_UNCERTAIN = frozenset({"40003"})


def outcome_of(error: psycopg.Error, *, connection_lost: bool) -> Outcome:
    """What an error at or after BEGIN says of the commit. SQLSTATE on COMMIT is not proof by itself."""
    state = error.sqlstate
    if connection_lost or state is None or state in _UNCERTAIN or state[:2] not in _CERTAIN_CLASSES:
        return Outcome.UNKNOWN
    return Outcome.NOT_COMMITTED


def failure(error: psycopg.Error, *, connection_lost: bool) -> NotCommitted | DatabaseLost:
    """What to raise for a database transaction that may be tried again whatever became of it."""
    if outcome_of(error, connection_lost=connection_lost) is Outcome.NOT_COMMITTED:
        return NotCommitted(error)
    return DatabaseLost(str(error).partition("\n")[0])
