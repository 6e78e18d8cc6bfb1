"""Charges and payments the long way: one by one, in plain Python, as a bookkeeper would.

Shares no code with the service, and no method either: it goes through the payments one
after another and takes each from the oldest charge that is still open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DAY_US = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class Line:
    """One entry of the account; `reverses` is the sequence that its transaction reverses, 0 for none."""

    sequence: int
    index: int
    effective_time: int
    is_charge: bool
    amount: int
    reverses: int = 0


@dataclass
class Open:
    """A charge, what is left of it, and when that came to nothing."""

    sequence: int
    index: int
    effective_time: int
    amount: int
    remaining: int
    settled_at: int | None = None


def standing(lines: Sequence[Line], at: int, as_of: int) -> list[Line]:
    """The lines that count: recorded by a sequence, happened by a moment, and not taken back by both."""
    known = [one for one in lines if one.sequence <= at and one.effective_time <= as_of]
    taken_back = {one.reverses for one in known}
    # A reversal that happened before what it reverses has nothing to take back yet.
    return [one for one in known if not one.reverses and one.sequence not in taken_back]


def charges(lines: Sequence[Line], at: int, as_of: int) -> list[Open]:
    """Every charge in order, after every payment was taken from the oldest that was open."""
    in_order = sorted(
        standing(lines, at, as_of), key=lambda one: (one.effective_time, one.sequence, one.index)
    )
    opened = [
        Open(one.sequence, one.index, one.effective_time, one.amount, one.amount)
        for one in in_order
        if one.is_charge
    ]
    for payment in in_order:
        if payment.is_charge:
            continue
        left = payment.amount
        while left:
            oldest = next((one for one in opened if one.remaining), None)
            if oldest is None:
                break
            taken = min(left, oldest.remaining)
            oldest.remaining -= taken
            left -= taken
            if not oldest.remaining:
                oldest.settled_at = max(oldest.effective_time, payment.effective_time)
    return opened


def balance(lines: Sequence[Line], at: int, as_of: int) -> int:
    """What the charges are more than the payments."""
    return sum(one.amount if one.is_charge else -one.amount for one in standing(lines, at, as_of))


def overdue(lines: Sequence[Line], at: int, as_of: int, days: int) -> int:
    """What is left of the charges that are older than so many days."""
    return sum(
        one.remaining for one in charges(lines, at, as_of) if as_of - one.effective_time > days * DAY_US
    )
