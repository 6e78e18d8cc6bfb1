"""Balance reads, coalesced as commits are: one query for all who wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ledger_server.domain.reads import BalanceAnswer, BalanceAsk
from ledger_server.domain.refusals import DatabaseUnavailable, ledger_not_found
from ledger_server.service.places import Place
from ledger_server.service.turns import Turn
from ledger_server.store.database import Database
from ledger_server.store.outcomes import DatabaseLost
from ledger_server.store.reading import Reading


class BalancesAnswer(NamedTuple):
    """The answers to a place's asks, and the sequence they reflect."""

    sequence: int
    answers: list[BalanceAnswer]


class BalancePlace(Place[BalancesAnswer]):
    """A caller's asks in a read lane."""

    __slots__ = ("asks",)

    def __init__(self, asks: Sequence[BalanceAsk]) -> None:
        super().__init__(len(asks))
        self.asks = asks


class BalanceReader:
    """Serves read lanes on one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def serve(self, turn: Turn[BalancePlace]) -> None:
        """Answers every place from one query."""
        ledger, places = turn.ledger, turn.places
        try:
            ledger_id = self._database.ledger_id(ledger)
            if ledger_id is None:
                for place in places:
                    place.settle(ledger_not_found(ledger))
                return
            with self._database.reading() as connection:
                sequence, answers = Reading(connection, ledger_id).balances(
                    [ask for place in places for ask in place.asks]
                )
        except DatabaseLost:
            for place in places:
                place.settle(DatabaseUnavailable("the database does not answer; try again"))
            return
        offset = 0
        for place in places:
            place.settle(BalancesAnswer(sequence, answers[offset : offset + len(place.asks)]))
            offset += len(place.asks)

    def idle(self) -> None:
        """Nothing to look after: connections are the pool's."""

    def close(self) -> None:
        """Nothing to give back."""
