"""What is asked and answered about charges: what remains of them, and what is overdue."""

from __future__ import annotations

from typing import NamedTuple

DAYS_DEFAULT = 30
DAYS_MAX = 3_650
# What one call examines at most: accounts by name, and entries of all of them together.
ACCOUNTS_MAX = 10_000
ENTRIES_MAX = 50_000


class Moment(NamedTuple):
    """Of when a report is: `at` a sequence, 0 for now; `as_of` microseconds, None for now."""

    at: int
    as_of: int | None


class Charge(NamedTuple):
    """A charge in minor units, what remains of it, and when it was settled (None: it is not)."""

    sequence: int
    line: int
    effective_time: int
    amount: int
    remaining: int
    settled_at: int | None


class OverdueBalance(NamedTuple):
    """An account with something overdue, its balance, and its oldest charge of which something remains."""

    account: str
    overdue: int
    balance: int
    oldest_unpaid: Charge


class Accounts(NamedTuple):
    """Which accounts a report is of: one, or those at or below a path; `start` is the first name to look at.

    An empty `start` means from the beginning.
    """

    name: str
    is_one: bool
    start: str = ""


class OverduePage(NamedTuple):
    """Overdue balances, where to go on (None at the end), and of when they are; see Moment."""

    balances: list[OverdueBalance]
    go_on: str | None
    at: int
    as_of: int


class ChargePage(NamedTuple):
    """Charges in their order, whether more follow, and of when they are; see Moment."""

    charges: list[Charge]
    has_more: bool
    at: int
    as_of: int
