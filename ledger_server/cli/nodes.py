"""Nodes of a YAML file, each taken as it is written; every fault names its line."""

import re
from collections.abc import Iterator
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode


class ChartFault(Exception):
    """What is wrong with the file, with the line where it is."""

    def __init__(self, line: int, description: str) -> None:
        super().__init__(f"line {line}: {description}")


def fault_at(node: Node, description: str) -> ChartFault:
    """A fault with the line that a node begins on."""
    return ChartFault(node.start_mark.line + 1, description)


def items(node: Node | None, what: str) -> Iterator[tuple[ScalarNode, Node]]:
    """The pairs of a mapping, each key once; none where nothing is given."""
    if node is None or (isinstance(node, ScalarNode) and node.tag.endswith(":null")):
        return
    if not isinstance(node, MappingNode):
        raise fault_at(node, f"{what} must be a mapping")
    seen = set()
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            raise fault_at(key, f"a name in {what} must be a text")
        if key.value in seen:
            raise fault_at(key, f"{key.value!r} stands twice in {what}")
        seen.add(key.value)
        yield key, value


def fields(node: Node, what: str, *names: str) -> dict[str, Node]:
    """A mapping by its keys, which are among the names."""
    found = {}
    for key, value in items(node, what):
        if key.value not in names:
            raise fault_at(key, f"{what} has no field {key.value!r}; it has {', '.join(names)}")
        found[key.value] = value
    return found


def listed(node: Node | None, what: str) -> list[Node]:
    """A list; an empty one where nothing is given."""
    if node is None:
        return []
    if not isinstance(node, SequenceNode):
        raise fault_at(node, f"{what} must be a list")
    return list(node.value)


def text(node: Node, what: str) -> str:
    """A scalar as it is written."""
    if not isinstance(node, ScalarNode):
        raise fault_at(node, f"{what} must be a text")
    return str(node.value)


def integer(node: Node, what: str, most: int) -> int:
    """A whole number between -most and most."""
    written = text(node, what)
    if re.fullmatch(r"-?[0-9]{1,40}", written) is None or abs(int(written)) > most:
        raise fault_at(node, f"{what} must be a whole number, not {written!r}")
    return int(written)


def truth(node: Node | None, what: str) -> bool:
    """True or false; false where nothing is given."""
    if node is None:
        return False
    written = text(node, what)
    if written not in ("true", "false"):
        raise fault_at(node, f"{what} must be true or false, not {written!r}")
    return written == "true"


def enum(node: Node, what: str, kinds: Any, prefix: str) -> Any:
    """A value of an enum of the contract, by its name without the prefix."""
    written = text(node, what)
    names = [
        name.removeprefix(prefix)
        for name in kinds.DESCRIPTOR.values_by_name
        if not name.endswith("_UNSPECIFIED")
    ]
    if written.upper() not in names:
        raise fault_at(node, f"{what} must be one of {', '.join(names)}, not {written!r}")
    return kinds.Value(prefix + written.upper())
