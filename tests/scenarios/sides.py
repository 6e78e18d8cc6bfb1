"""What a scenario is played on: something that answers methods of the contract, or refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

Fields = dict[str, Any]

# After every real time, so that a ledger's own beginning is never later: 2100-01-01.
START = 4_102_444_800 * 10**6


@dataclass
class Refusal(Exception):
    """A no: the name of its code, its reason, the facts, and the fields at fault."""

    code: str
    reason: str
    facts: dict[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] = ()


class Side(Protocol):
    """The reference or the service.

    `now` is its clock, in microseconds; `caller` the member who calls, empty while nobody is asked.
    """

    name: str
    now: int
    caller: str

    def ask(self, method: str, fields: Fields) -> Fields:
        """The answer to a method, all its fields by name. Raises Refusal.

        A refused operation of a batch has its Refusal as `status`.
        """
