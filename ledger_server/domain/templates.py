"""Templates: named and versioned patterns that become the entries of a transaction.

A template declares typed parameters, and groups of them that a caller repeats, an item
for each line of an order, say. Its entries have parameters in account, asset and amount;
its metadata has them in values. An amount is

    one factor             a parameter
    two factors            their product: quantity times unit price
    either, with a weight  a share of it

The shares of one total, on one side and in one asset, add up to the total exactly (see
`allocation`); where the total is an item's, within each item. Nothing else can be said: there
are no conditions, no constants, no nested groups. What a template may look like is judged
once, by `template_faults`; what it becomes with given parameters is `expanding`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from ledger_server.domain.chain import framed
from ledger_server.domain.parameters import Parameter

NAME_LENGTH_MAX = 64
VERSION_MAX = 2**31 - 1
# Of one template, with those of its groups.
PARAMETERS_MAX = 64
GROUPS_MAX = 8
PATTERNS_MAX = 32
# Fits 63 bits.
WEIGHT_MAX = 10**18 - 1
# Of one chart, every version counted.
TEMPLATES_MAX = 256

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_.][A-Za-z0-9]+)*", re.ASCII)


class Group(NamedTuple):
    """Parameters that a caller gives once for each item; at least `min_items` times."""

    name: str
    parameters: tuple[Parameter, ...]
    min_items: int = 1


class EntryPattern(NamedTuple):
    """What becomes an entry, or one for each item of a group.

    `account` and `asset` are patterns. The amount is the product of one or two `factors`,
    which are names of parameters; with a `weight`, a number or a parameter's name, it is a
    share of that. `group` is empty for what stands once.
    """

    account: str
    is_debit: bool
    factors: tuple[str, ...]
    asset: str
    group: str = ""
    weight: int | str | None = None


class Allocation(NamedTuple):
    """What shares have in common that add up to one total; `group` where the total is an item's."""

    is_debit: bool
    asset: str
    factors: tuple[str, ...]
    group: str


@dataclass(frozen=True, slots=True)
class Template:
    """A template, as a chart has it. `kind` is that of the transactions it makes."""

    name: str
    version: int
    parameters: tuple[Parameter, ...]
    entries: tuple[EntryPattern, ...]
    groups: tuple[Group, ...] = ()
    kind: str = ""
    metadata: Mapping[str, str] | None = None

    def in_order(self) -> Template:
        """The same template with its declarations by name: their order says nothing."""
        groups = (group._replace(parameters=tuple(sorted(group.parameters))) for group in self.groups)
        return replace(
            self,
            parameters=tuple(sorted(self.parameters)),
            groups=tuple(sorted(groups)),
            metadata=self.metadata or None,
        )

    def within(self, group: str) -> dict[str, Parameter]:
        """The parameters that a pattern of this group may name, by name."""
        named = {one.name: one for one in self.parameters}
        for each in self.groups:
            if each.name == group:
                named.update((one.name, one) for one in each.parameters)
        return named

    def allocation(self, entry: EntryPattern) -> Allocation | None:
        """What the entry's shares belong to; None where it has no weight."""
        if entry.weight is None:
            return None
        own = {one.name for group in self.groups if group.name == entry.group for one in group.parameters}
        group = entry.group if own.intersection(entry.factors) else ""
        return Allocation(entry.is_debit, entry.asset, tuple(sorted(entry.factors)), group)


def name_fault(name: str) -> str | None:
    """What is wrong with a template's name (letters and digits joined by '-', '_' or '.'), or None."""
    if len(name) > NAME_LENGTH_MAX:
        return f"has {len(name)} characters; at most {NAME_LENGTH_MAX} are allowed"
    if not name:
        return "must be given"
    if _is_name(name):
        return None
    return f"{name!r} is not letters and digits joined by single '-', '_' or '.', beginning with a letter"


@lru_cache(maxsize=1024)
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def canonical(template: Template) -> bytes:
    """A template as a hash covers it; docs/chain.md has the layout."""
    metadata = template.metadata or {}
    parts = [framed(template.name), _u32(template.version), framed(template.kind)]
    parts.append(_declared(template.parameters))
    parts.append(_u32(len(template.groups)))
    for group in sorted(template.groups):
        parts += (framed(group.name), _u32(group.min_items), _declared(group.parameters))
    parts.append(_u32(len(template.entries)))
    for entry in template.entries:
        parts += (b"\x01" if entry.is_debit else b"\x02", framed(entry.account), framed(entry.asset))
        parts += (framed(entry.group), _u32(len(entry.factors)), *map(framed, entry.factors))
        if entry.weight is None:
            parts.append(b"\x00")
        elif isinstance(entry.weight, int):
            parts.append(b"\x01" + entry.weight.to_bytes(8, "big"))
        else:
            parts.append(b"\x02" + framed(entry.weight))
    parts.append(_u32(len(metadata)))
    for key in sorted(metadata):
        parts += (framed(key), framed(metadata[key]))
    return b"".join(parts)


def _declared(parameters: Iterable[Parameter]) -> bytes:
    ordered = sorted(parameters)
    return _u32(len(ordered)) + b"".join(framed(one.name) + bytes((one.type,)) for one in ordered)


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")
