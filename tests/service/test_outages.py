"""A database that is away for a while: callers are told so, and it is used again as soon as it is back."""

from __future__ import annotations

import time
from collections.abc import Callable

from callers import Refused, Teller, answer_of
from clusters import Database
from faults import faulty_server

# Pauses of 1, 2 and 4 s would be in the last one still, and have 2 s to go.
AWAY_S = 5.0
BACK_MAX_S = 1.5


def test_a_database_that_was_away_is_used_again_as_soon_as_it_is_back(database: Database) -> None:
    """The pause between two tries to connect doubled each time: after an hour away, minutes more."""
    with faulty_server(database) as faulty:
        teller = Teller.open(faulty.server)
        teller.post("cash", "wallet", 1)
        faulty.proxy.cut_all()
        away_until = time.monotonic() + AWAY_S
        while time.monotonic() < away_until:
            assert isinstance(answer_of(lambda: teller.balance("cash")), Refused)
        faulty.proxy.is_refusing = False

        back = time.monotonic()
        _ask_until_answered(lambda: teller.balance("cash"))
        _ask_until_answered(lambda: teller.post("cash", "wallet", 1, key="after"))

        assert time.monotonic() - back < BACK_MAX_S


def _ask_until_answered(ask: Callable[[], object]) -> None:
    while isinstance(answer_of(ask), Refused):
        time.sleep(0.01)
