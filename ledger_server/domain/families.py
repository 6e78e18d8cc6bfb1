"""Patterns of account names: what they look like, which names match, and whether two of them meet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ledger_server.domain.accounts import AccountType
from ledger_server.domain.charts import PARAMETER_NAME_LENGTH_MAX, Family, ParameterType
from ledger_server.domain.names import path_fault

_PARAMETER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
# Python and PostgreSQL read these alike.
_SHAPES = {
    ParameterType.UUID: "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    ParameterType.INT: "(?:0|[1-9][0-9]{0,18})",
    ParameterType.SLUG: "[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?",
}
_MATCHES = {kind: re.compile(shape) for kind, shape in _SHAPES.items()}
# What has no spelling in common.
_APART = {
    frozenset({ParameterType.UUID, ParameterType.INT}),
}


def parameter_name(segment: str) -> str | None:
    """The name of the parameter that a pattern's segment is; None for a literal one."""
    found = _PARAMETER.fullmatch(segment)
    return found[1] if found else None


def parameter_names(pattern: str) -> list[str]:
    """The parameters of a pattern, in their order."""
    return [name for segment in pattern.split(":") if (name := parameter_name(segment)) is not None]


def pattern_fault(pattern: str) -> str | None:
    """What is wrong with a pattern: a path of literal segments and `{parameters}`, each named once."""
    fault = path_fault(pattern)
    if fault is not None:
        return fault
    for segment in pattern.split(":"):
        if parameter_name(segment) is None and ("{" in segment or "}" in segment):
            return (
                f"has the segment {segment!r}; a parameter is a whole segment, {{name}}, of a-z, 0-9 and '_'"
            )
    names = parameter_names(pattern)
    if len(set(names)) < len(names):
        return "names a parameter twice"
    if any(len(name) > PARAMETER_NAME_LENGTH_MAX for name in names):
        return f"has a parameter whose name is longer than {PARAMETER_NAME_LENGTH_MAX} characters"
    return None


def meeting(one: Family, other: Family) -> bool:
    """Whether some name matches both patterns."""
    mine, others = one.pattern.split(":"), other.pattern.split(":")
    return len(mine) == len(others) and all(
        _segments_meet(one.parameters, first, other.parameters, second)
        for first, second in zip(mine, others, strict=True)
    )


def _segments_meet(
    mine: Mapping[str, ParameterType], first: str, others: Mapping[str, ParameterType], second: str
) -> bool:
    left, right = parameter_name(first), parameter_name(second)
    if left is None and right is None:
        return first == second
    if left is None:
        return _MATCHES[others[right or ""]].fullmatch(first) is not None
    if right is None:
        return _MATCHES[mine[left]].fullmatch(second) is not None
    return frozenset({mine[left], others[right]}) not in _APART


def expression(family: Family) -> str:
    """A regular expression, for PostgreSQL too, of the whole names that match; without anchors."""
    segments = []
    for segment in family.pattern.split(":"):
        name = parameter_name(segment)
        segments.append(_quoted(segment) if name is None else _SHAPES[family.parameters[name]])
    return ":".join(segments)


def _quoted(literal: str) -> str:
    return "".join(
        character if character.isalnum() or character in "_-" else "\\" + character for character in literal
    )


def expressions_by_type(families: Iterable[Family]) -> list[str | None]:
    """For each account type in order of number, what the names of its accounts match; None for none."""
    by_type: dict[AccountType, list[str]] = {kind: [] for kind in AccountType}
    for family in families:
        by_type[family.type].append(expression(family))
    return [f"^(?:{'|'.join(found)})$" if found else None for found in by_type.values()]


class _Node:
    """A place in the tree of patterns, after some segments."""

    __slots__ = ("family", "literals", "parameters")

    def __init__(self) -> None:
        self.family: Family | None = None
        self.literals: dict[str, _Node] = {}
        self.parameters: dict[ParameterType, _Node] = {}


class Families:
    """Finds the family of an account's name, segment by segment; books remember what was found."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._root = _Node()
        for family in families:
            self._add(family)

    def of(self, name: str) -> Family | None:
        """The family that the name matches; at most one does."""
        nodes = [self._root]
        for segment in name.split(":"):
            nodes = [following for node in nodes for following in _following(node, segment)]
            if not nodes:
                return None
        return next((node.family for node in nodes if node.family is not None), None)

    def _add(self, family: Family) -> None:
        node = self._root
        for segment in family.pattern.split(":"):
            name = parameter_name(segment)
            if name is None:
                node = node.literals.setdefault(segment, _Node())
            else:
                node = node.parameters.setdefault(family.parameters[name], _Node())
        node.family = family


def _following(node: _Node, segment: str) -> list[_Node]:
    found = [node.literals[segment]] if segment in node.literals else []
    for kind, following in node.parameters.items():
        if _MATCHES[kind].fullmatch(segment):
            found.append(following)
    return found
