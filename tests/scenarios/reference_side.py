"""The reference ledger as a side of scenarios. It knows nothing of the service."""

from __future__ import annotations

from oracle.forms import Refused
from oracle.peopled import Peopled
from scenarios.sides import START, Fields, Refusal


class ReferenceSide:
    """Every ledger of a scenario, in dicts and ints."""

    name = "the reference ledger"

    def __init__(self) -> None:
        self._ledgers = Peopled()
        self.now = START
        self.caller = ""

    def ask(self, method: str, fields: Fields) -> Fields:
        """The answer to a method. Raises Refusal."""
        self._ledgers.now, self._ledgers.caller = self.now, self.caller
        try:
            answer: Fields = self._ledgers.answer(method, fields)
        except Refused as refused:
            raise _refusal(refused) from None
        for one in answer.get("results", ()):
            one["status"] = one["status"] and _refusal(one["status"])
        return answer


def _refusal(refused: Refused) -> Refusal:
    return Refusal(refused.code, refused.reason, refused.facts, refused.fields)
