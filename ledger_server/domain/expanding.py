"""Expanding: what a template becomes with given parameters.

    given parameters ──► judged, every violation at once ──► lines ──► shares ──► entries

A pattern makes one line, or one for each item of its group. Lines of one pattern that
name the same account and asset are one entry with their sum, at the place of the first:
an order that lists a product twice moves its stock once. A share of nothing makes no
entry. The entries are then judged as if the caller had sent them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ledger_server.domain import names
from ledger_server.domain.allocation import shares
from ledger_server.domain.amounts import AMOUNT_MAX
from ledger_server.domain.parameters import (
    NUMBERS,
    Parameter,
    Parameters,
    ParameterType,
    segment_fault,
    value_fault,
)
from ledger_server.domain.patterns import Pattern, parsed
from ledger_server.domain.refusals import AmountInvalid, AmountOverflow, ValidationFailed, Violation
from ledger_server.domain.templates import Allocation, EntryPattern, Template
from ledger_server.domain.transactions import ENTRIES_MAX, EntryDraft

# Where a request has its template; what is wrong with parameters is told below it.
FIELD = "template"


class _Values(NamedTuple):
    """What the names in a pattern stand for: texts, and those of them that are numbers."""

    texts: dict[str, str]
    numbers: dict[str, int]


class _Line(NamedTuple):
    place: int
    account: str
    asset: str


# Shares of one total: the allocation, and the item where the total is an item's.
_Shared = tuple[Allocation, int | None]


class Expander:
    """A template made ready: its `template_faults` are none. Safe to share between threads."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self._declared = {one.name: one for one in template.parameters}
        self._groups = {group.name: {one.name: one for one in group.parameters} for group in template.groups}
        self._accounts = [parsed(entry.account) for entry in template.entries]
        self._assets = [parsed(entry.asset) for entry in template.entries]
        self._metadata = {key: parsed(value) for key, value in (template.metadata or {}).items()}
        self._allocations = [template.allocation(entry) for entry in template.entries]
        # A zero makes no amount, and a ':' no segment.
        self._factors = {name for entry in template.entries for name in entry.factors}
        self._segments = {name for account in self._accounts for name in account.names}

    def expand(self, given: Parameters) -> tuple[tuple[EntryDraft, ...], dict[str, str]]:
        """The entries and the metadata of a transaction.

        Raises ValidationFailed or AmountInvalid with every violation of the parameters
        but their size, which is judged before (`parameters.size_faults`), and
        AmountOverflow where an amount would need more than 38 digits. The entries may be
        out of balance, which is for whoever makes a draft of them to say.
        """
        scopes = self._scopes(given)
        entries = self._entries(scopes)
        metadata = {key: pattern.filled(scopes[""][0].texts) for key, pattern in self._metadata.items()}
        faults = [f"make metadata that {fault}" for _, fault in names.metadata_faults(metadata)]
        if not 2 <= len(entries) <= ENTRIES_MAX:
            faults.append(f"make {len(entries)} entries; a transaction has 2 to {ENTRIES_MAX}")
        if faults:
            raise _refusal([(Violation(f"{FIELD}.parameters", fault), False) for fault in faults])
        return entries, metadata

    # parameters --------------------------------------------------------------------------

    def _scopes(self, given: Parameters) -> dict[str, list[_Values]]:
        """The values for each group's items in order, and under "" those for what stands once."""
        faults = list(self._faults(given))
        if faults:
            raise _refusal(faults)
        outer = _values(self._declared, given.values)
        scopes = {"": [outer]} | {name: [] for name in self._groups}
        for item in given.items:
            inner = _values(self._groups[item.group], item.values)
            scopes[item.group].append(_Values(outer.texts | inner.texts, outer.numbers | inner.numbers))
        return scopes

    def _faults(self, given: Parameters) -> Iterator[tuple[Violation, bool]]:
        """Every violation, and whether it is an amount's."""
        yield from self._value_faults(self._declared, given.values, f"{FIELD}.parameters")
        counts = dict.fromkeys(self._groups, 0)
        for index, item in enumerate(given.items):
            field = f"{FIELD}.items[{index}]"
            if item.group not in counts:
                takes = f"the template has {_listed(self._groups)}"
                yield Violation(f"{field}.group", f"{item.group[:50]!r} is no group; {takes}"), False
                continue
            counts[item.group] += 1
            yield from self._value_faults(self._groups[item.group], item.values, f"{field}.parameters")
        for group in self.template.groups:
            if counts[group.name] < group.min_items:
                fault = (
                    f"has {counts[group.name]} of {group.name!r}; at least {group.min_items} must be given"
                )
                yield Violation(f"{FIELD}.items", fault), False

    def _value_faults(
        self, declared: Mapping[str, Parameter], values: Mapping[str, str], field: str
    ) -> Iterator[tuple[Violation, bool]]:
        for name, parameter in declared.items():
            fault = value_fault(parameter.type, values.get(name, ""))
            if fault is None and name in self._factors and values[name] == "0":
                fault = "is zero; amounts are positive"
            if fault is None and name in self._segments:
                fault = segment_fault(values[name])
            if fault is not None:
                yield Violation(f"{field}.{name}", fault), parameter.type is ParameterType.AMOUNT
        for name in values:
            if name not in declared:
                fault = f"has {name[:50]!r}, which is no parameter; there are {_listed(declared)}"
                yield Violation(field, fault), False

    # entries -----------------------------------------------------------------------------

    def _entries(self, scopes: Mapping[str, Sequence[_Values]]) -> tuple[EntryDraft, ...]:
        lines: list[_Line] = []
        amounts: list[int] = []
        # The lines that share one total, with their weights; and the total.
        sharing: dict[_Shared, list[tuple[int, int]]] = {}
        totals: dict[_Shared, int] = {}
        faults: list[tuple[Violation, bool]] = []
        for place, entry in enumerate(self.template.entries):
            for index, values in enumerate(scopes[entry.group]):
                account = _name(self._accounts[place], values, names.path_fault, place, faults)
                asset = _name(self._assets[place], values, names.asset_code_fault, place, faults)
                amount = self._within(_product(entry, values), place)
                allocation = self._allocations[place]
                if allocation is not None:
                    key = (allocation, index if allocation.group else None)
                    weight = _number(entry.weight, values)
                    sharing.setdefault(key, []).append((len(lines), weight))
                    totals[key] = amount
                lines.append(_Line(place, account, asset))
                amounts.append(amount)
        for key, shared in sharing.items():
            weights = [weight for _, weight in shared]
            if not any(weights):
                fault = f"divide {' times '.join(key[0].factors)} by weights that are all zero"
                faults.append((Violation(f"{FIELD}.parameters", fault), False))
                continue
            for (line, _), share in zip(shared, shares(totals[key], weights), strict=True):
                amounts[line] = share
        if faults:
            raise _refusal(faults)
        return self._summed(lines, amounts)

    def _summed(self, lines: Sequence[_Line], amounts: Sequence[int]) -> tuple[EntryDraft, ...]:
        sums: dict[_Line, int] = {}
        for line, amount in zip(lines, amounts, strict=True):
            if amount:
                sums[line] = self._within(sums.get(line, 0) + amount, line.place)
        sides = [entry.is_debit for entry in self.template.entries]
        return tuple(EntryDraft(one.account, sides[one.place], sums[one], one.asset) for one in sums)

    def _within(self, amount: int, place: int) -> int:
        if amount > AMOUNT_MAX:
            name = self.template.name
            raise AmountOverflow(
                f"entry {place} of template {name!r} would need more than 38 digits",
                template=name,
                entry=place,
            )
        return amount


def _values(declared: Mapping[str, Parameter], values: Mapping[str, str]) -> _Values:
    numbers = {name: int(values[name]) for name, one in declared.items() if one.type in NUMBERS}
    return _Values(dict(values), numbers)


def _number(weight: int | str | None, values: _Values) -> int:
    return values.numbers[weight] if isinstance(weight, str) else weight or 0


def _product(entry: EntryPattern, values: _Values) -> int:
    amount = 1
    for name in entry.factors:
        amount *= values.numbers[name]
    return amount


def _name(
    pattern: Pattern,
    values: _Values,
    fault_of: Callable[[str], str | None],
    place: int,
    faults: list[tuple[Violation, bool]],
) -> str:
    name = pattern.filled(values.texts)
    if pattern.names:
        fault = fault_of(name)
        if fault is not None:
            said = f"make the name {name[:50]!r} in entry {place} of the template, which {fault}"
            faults.append((Violation(f"{FIELD}.parameters", said), False))
    return name


def _refusal(faults: Sequence[tuple[Violation, bool]]) -> ValidationFailed | AmountInvalid:
    first, _ = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    kind = AmountInvalid if all(is_amounts for _, is_amounts in faults) else ValidationFailed
    violations = tuple(violation for violation, _ in faults)
    return kind(f"{first.field}: {first.description}{more}", violations=violations)


def _listed(declared: Mapping[str, object]) -> str:
    return ", ".join(declared) or "none"
