"""What a scenario's lines stand on: a side, the ledger they are in, the decimals of its assets."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scenarios.language import Fault
from scenarios.sides import Fields, Side

# Of an amount: its digits before and behind the point.
_AMOUNT = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Stage:
    """One scenario as it goes on."""

    side: Side
    folder: Path
    ledger: str = ""
    scales: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))

    def go_to(self, ledger: str) -> None:
        """The lines from here on are in this ledger, which is created where it is not there."""
        self.side.ask("CreateLedger", {"name": ledger})
        self.ledger = ledger

    def ask(self, method: str, **fields: object) -> Fields:
        """The answer of this ledger to a method. Raises Refusal."""
        return self.side.ask(method, {"ledger": self.ledger, **fields})

    def scale(self, asset: str) -> int:
        """An asset's decimals; none of one that no line has named."""
        return self.scales[self.ledger].get(asset, 0)

    def minor_units(self, amount: str, asset: str) -> str:
        """An amount as the wire has it. Raises Fault where it has other decimals than its asset."""
        found, scale = _AMOUNT.fullmatch(amount), self.scale(asset)
        if found is None:
            raise Fault(f"{amount!r} is no amount")
        sign, whole, decimals = found[1], found[2], found[3] or ""
        if len(decimals) != scale:
            raise Fault(f"{amount} of {asset} must have {scale} decimals")
        return str(int(sign + whole + decimals))

    def shown(self, minor_units: str, asset: str) -> str:
        """An amount with its asset's decimals."""
        scale, number = self.scale(asset), int(minor_units)
        digits = str(abs(number)).zfill(scale + 1)
        whole = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
        return "-" * (number < 0) + whole


def seconds(text: str) -> tuple[int, int]:
    """A time of a scenario, as a request has it: UTC."""
    try:
        at = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise Fault(f"{text!r} is no time: 2026-01-31 or 2026-01-31T09:30:00") from None
    return (at - _BEGINNING) // timedelta(seconds=1), 0


def time_text(micros: int) -> str:
    """A time of an answer as scenarios write it."""
    at = _BEGINNING + timedelta(microseconds=micros)
    return at.replace(tzinfo=None).isoformat()
