"""Account sets of a chart: accounts named together, by name, by prefix, and by other sets.

Sets may share members and name each other, as long as no set comes to hold itself. What
is reached on several ways is there once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

SETS_MAX = 256
# Accounts, prefixes and sets together.
SET_MEMBERS_MAX = 256
SET_NAME_LENGTH_MAX = 64


@dataclass(frozen=True, slots=True)
class AccountSet:
    """Accounts under one name: `accounts` by name, `prefixes` with all at or below them, `sets` by name.

    A prefix is the leading segments of account paths, as a membership's account prefixes
    are. What it names need not be there.
    """

    name: str
    accounts: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    description: str = ""

    def in_order(self) -> AccountSet:
        """The set with each of its lists in bytewise order."""
        return replace(
            self,
            accounts=tuple(sorted(self.accounts, key=str.encode)),
            prefixes=tuple(sorted(self.prefixes, key=str.encode)),
            sets=tuple(sorted(self.sets, key=str.encode)),
        )


class Reach(NamedTuple):
    """Which accounts are meant, each once.

    No name lies at or below a prefix, and no prefix below another one: what adds them all
    up counts nothing twice.
    """

    names: tuple[str, ...]
    prefixes: tuple[str, ...]


def reach_of(sets: Iterable[AccountSet], name: str) -> Reach | None:
    """Every account that a set reaches, through other sets too; None where there is no such set."""
    by_name = {one.name: one for one in sets}
    if name not in by_name:
        return None
    names: set[str] = set()
    prefixes: set[str] = set()
    met, waiting = {name}, [name]
    while waiting:
        one = by_name[waiting.pop()]
        names.update(one.accounts)
        prefixes.update(one.prefixes)
        unmet = set(one.sets) - met
        met |= unmet
        waiting += unmet
    widest = {prefix for prefix in prefixes if prefixes.isdisjoint(_above(prefix))}
    rest = {one for one in names if one not in widest and widest.isdisjoint(_above(one))}
    return Reach(tuple(sorted(rest, key=str.encode)), tuple(sorted(widest, key=str.encode)))


def _above(path: str) -> Iterator[str]:
    """The paths that a path lies below, itself not among them."""
    end = path.find(":")
    while end >= 0:
        yield path[:end]
        end = path.find(":", end + 1)
