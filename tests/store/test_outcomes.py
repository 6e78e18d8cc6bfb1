"""What an error says of a commit, as one table: SQLSTATE proves less than it seems."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from ledger_server.store.outcomes import NotCommitted, Outcome, outcome_of

NOT_COMMITTED, UNKNOWN = Outcome.NOT_COMMITTED, Outcome.UNKNOWN

OUTCOMES = [
    # Rolled back for certain, and the same batch may be tried again.
    ("40001", NOT_COMMITTED, True),
    ("40P01", NOT_COMMITTED, True),
    ("55P03", NOT_COMMITTED, True),
    ("0A000", NOT_COMMITTED, True),
    # Rolled back for certain, and the same batch would fail again.
    ("23505", NOT_COMMITTED, False),
    ("23503", NOT_COMMITTED, False),
    ("23514", NOT_COMMITTED, False),
    ("23P01", NOT_COMMITTED, False),
    ("22003", NOT_COMMITTED, False),
    ("25P02", NOT_COMMITTED, False),
    ("40002", NOT_COMMITTED, False),
    ("42501", NOT_COMMITTED, False),
    ("42P01", NOT_COMMITTED, False),
    ("44000", NOT_COMMITTED, False),
    ("P0001", NOT_COMMITTED, False),
    # The commit may stand: completion unknown, connection failures, I/O and internal errors,
    # no resources, a cancel or an ending server while the commit record was being flushed.
    ("40003", UNKNOWN, False),
    ("08006", UNKNOWN, False),
    ("08007", UNKNOWN, False),
    ("53100", UNKNOWN, False),
    ("53200", UNKNOWN, False),
    ("57014", UNKNOWN, False),
    ("57P01", UNKNOWN, False),
    ("57P02", UNKNOWN, False),
    ("57P03", UNKNOWN, False),
    ("57P05", UNKNOWN, False),
    ("58030", UNKNOWN, False),
    ("58P01", UNKNOWN, False),
    ("XX000", UNKNOWN, False),
    ("XX001", UNKNOWN, False),
]


def failure(state: str) -> psycopg.Error:
    """An error of this SQLSTATE, of the class psycopg raises for it."""
    try:
        kind = errors.lookup(state)
    except KeyError:
        kind = type("Other", (psycopg.DatabaseError,), {"sqlstate": state})
    assert kind.sqlstate == state
    return kind(state)


@pytest.mark.parametrize(("state", "outcome", "is_retryable"), OUTCOMES)
def test_an_sqlstate_says_what_became_of_the_commit(state: str, outcome: Outcome, is_retryable: bool) -> None:
    error = failure(state)

    assert outcome_of(error, connection_lost=False) is outcome
    assert NotCommitted(error).retryable is is_retryable


@pytest.mark.parametrize(("state", "outcome", "is_retryable"), OUTCOMES)
def test_with_a_lost_connection_nothing_is_certain(state: str, outcome: Outcome, is_retryable: bool) -> None:
    assert outcome_of(failure(state), connection_lost=True) is UNKNOWN


@pytest.mark.parametrize("kind", [psycopg.OperationalError, psycopg.InterfaceError, psycopg.DatabaseError])
def test_an_error_without_sqlstate_is_unknown(kind: type[psycopg.Error]) -> None:
    assert outcome_of(kind("server closed the connection unexpectedly"), connection_lost=False) is UNKNOWN


def test_every_sqlstate_that_psycopg_knows_is_unknown_unless_its_class_proves_a_rollback() -> None:
    """Operator intervention, resources, connections, system and internal errors are never proof."""
    states = {
        kind.sqlstate
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, psycopg.Error) and kind.sqlstate
    }

    for state in states:
        if state[:2] in ("08", "53", "54", "57", "58", "F0", "HV", "XX", "72"):
            assert outcome_of(failure(state), connection_lost=False) is UNKNOWN, state
    assert len(states) > 200
