"""What is wrong with the account sets of a chart: each fault with the field it is in. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from graphlib import CycleError, TopologicalSorter

from ledger_server.domain import names
from ledger_server.domain.sets import SET_MEMBERS_MAX, SET_NAME_LENGTH_MAX, AccountSet

Faults = list[tuple[str, str]]
# A longer cycle is named by its beginning.
_CYCLE_NAMES_MAX = 8


def sets_faults(sets: Sequence[AccountSet]) -> Faults:
    """What is wrong with sets, as (field, fault); a cycle is named once, where it begins."""
    places: dict[str, int] = {}
    faults: Faults = []
    for index, one in enumerate(sets):
        field = f"sets[{index}]"
        fault = set_name_fault(one.name)
        if fault is None and one.name in places:
            fault = f"{one.name!r} is named twice"
        _note(faults, f"{field}.name", fault)
        places.setdefault(one.name, index)
    for index, one in enumerate(sets):
        faults += _set_faults(one, f"sets[{index}]", places)
    if not faults:
        cycle = _cycle(sets)
        if cycle:
            shown = cycle if len(cycle) <= _CYCLE_NAMES_MAX else [*cycle[:_CYCLE_NAMES_MAX], "…"]
            faults.append((f"sets[{places[cycle[0]]}].sets", f"hold themselves: {' > '.join(shown)}"))
    return faults


def set_name_fault(name: str) -> str | None:
    """What is wrong with a set's name: one segment of a path, 1-64 characters."""
    fault = names.path_fault(name)
    if fault is None and (":" in name or len(name) > SET_NAME_LENGTH_MAX):
        fault = f"is not one segment of at most {SET_NAME_LENGTH_MAX} characters"
    return fault


def _set_faults(one: AccountSet, field: str, known: dict[str, int]) -> Faults:
    faults: Faults = []
    count = len(one.accounts) + len(one.prefixes) + len(one.sets)
    if not 0 < count <= SET_MEMBERS_MAX:
        return [(field, f"has {count} members; 1 to {SET_MEMBERS_MAX} are allowed")]
    lists: tuple[tuple[str, Sequence[str], Callable[[str], str | None]], ...] = (
        ("accounts", one.accounts, _path_fault),
        ("prefixes", one.prefixes, _path_fault),
        ("sets", one.sets, lambda name: None if name in known else f"{name[:64]!r} is no set of the chart"),
    )
    for name, members, fault_of in lists:
        for index, member in enumerate(members):
            _note(faults, f"{field}.{name}[{index}]", fault_of(member))
        if len(set(members)) < len(members):
            faults.append((f"{field}.{name}", "names one twice"))
    _note(faults, f"{field}.description", names.text_fault(one.description))
    return faults


def _path_fault(path: str) -> str | None:
    fault = names.path_fault(path)
    if fault is None and ("{" in path or "}" in path):
        # It would be an account of this very name, and mean nothing.
        fault = "has a brace; a set names accounts and prefixes, no patterns"
    return fault


def _cycle(sets: Sequence[AccountSet]) -> list[str]:
    """Sets of which each holds the next, the last one the first; none where there is no cycle."""
    try:
        TopologicalSorter({one.name: one.sets for one in sets}).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found[::-1]
    return []


def _note(faults: Faults, field: str, fault: str | None) -> None:
    if fault is not None:
        faults.append((field, fault))
