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
from ledger_server.domain.plain_lines import PlainLines, is_plain
from ledger_server.domain.refusals import AmountInvalid, AmountOverflow, ValidationFailed, Violation
from ledger_server.domain.templates import Allocation, EntryPattern, Template
from ledger_server.domain.transactions import ENTRIES_MAX, EntryDraft

# Where a request has its template; what is wrong with parameters is told below it.
FIELD = "template"


class _Values(NamedTuple):
    """What the names in a pattern stand for: texts, and those of them that are numbers."""

    texts: Mapping[str, str]
    numbers: Mapping[str, int]


class _Taken(NamedTuple):
    """Parameters given together, once or in each item; and those of them that are numbers."""

    declared: Mapping[str, Parameter]
    numbers: tuple[str, ...]

    def values(self, given: Mapping[str, str]) -> _Values:
        """What was given, when it is without fault."""
        return _Values(given, {name: int(given[name]) for name in self.numbers})


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
        self._once = _taken(template.parameters)
        self._groups = {group.name: _taken(group.parameters) for group in template.groups}
        self._accounts = [parsed(entry.account) for entry in template.entries]
        self._assets = [parsed(entry.asset) for entry in template.entries]
        self._metadata = {key: parsed(value) for key, value in (template.metadata or {}).items()}
        self._allocations = [template.allocation(entry) for entry in template.entries]
        self._patterns = list(
            zip(template.entries, self._accounts, self._assets, self._allocations, strict=True)
        )
        self._plain = PlainLines(template) if is_plain(template) else None
        self._constant_metadata = _constant(self._metadata)
        # A zero makes no amount, and a ':' no segment; only a text could hold one.
        self._factors = {name for entry in template.entries for name in entry.factors}
        every = [*template.parameters, *(one for group in template.groups for one in group.parameters)]
        texts = {one.name for one in every if one.type is ParameterType.TEXT}
        self._segments = {name for account in self._accounts for name in account.names} & texts

    def expand(self, given: Parameters) -> tuple[tuple[EntryDraft, ...], dict[str, str]]:
        """The entries and the metadata of a transaction.

        Raises ValidationFailed or AmountInvalid with every violation of the parameters
        but their size, which is judged before (`parameters.size_faults`), and
        AmountOverflow where an amount would need more than 38 digits. The entries may be
        out of balance, which is for whoever makes a draft of them to say.
        """
        entries = None
        if self._plain is not None and not given.items:
            entries = self._plain.entries(given.values)
        if entries is None:
            entries = self._entries(self._scopes(given))
        if self._constant_metadata is not None and 2 <= len(entries) <= ENTRIES_MAX:
            return entries, self._constant_metadata
        metadata = {key: pattern.filled(given.values) for key, pattern in self._metadata.items()}
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
        outer = self._once.values(given.values)
        scopes = {"": [outer], **{name: [] for name in self._groups}}
        for item in given.items:
            inner = self._groups[item.group].values(item.values)
            scopes[item.group].append(
                _Values({**outer.texts, **inner.texts}, {**outer.numbers, **inner.numbers})
            )
        return scopes

    def _faults(self, given: Parameters) -> Iterator[tuple[Violation, bool]]:
        """Every violation, and whether it is an amount's."""
        yield from self._value_faults(self._once.declared, given.values, f"{FIELD}.parameters")
        counts = dict.fromkeys(self._groups, 0)
        for index, item in enumerate(given.items):
            field = f"{FIELD}.items[{index}]"
            if item.group not in counts:
                takes = f"the template has {_listed(self._groups)}"
                yield Violation(f"{field}.group", f"{item.group[:50]!r} is no group; {takes}"), False
                continue
            counts[item.group] += 1
            declared = self._groups[item.group].declared
            yield from self._value_faults(declared, item.values, f"{field}.parameters")
        for group in self.template.groups:
            if counts[group.name] < group.min_items:
                fault = (
                    f"has {counts[group.name]} of {group.name!r}; at least {group.min_items} must be given"
                )
                yield Violation(f"{FIELD}.items", fault), False

    def _value_faults(
        self, declared: Mapping[str, Parameter], values: Mapping[str, str], field: str
    ) -> list[tuple[Violation, bool]]:
        faults = []
        for name, kind in declared.values():
            fault = value_fault(kind, values.get(name, ""))
            if fault is None and name in self._factors and values[name] == "0":
                fault = "is zero; amounts are positive"
            if fault is None and name in self._segments:
                fault = segment_fault(values[name])
            if fault is not None:
                faults.append((Violation(f"{field}.{name}", fault), kind is ParameterType.AMOUNT))
        # Where each of those declared is there, more of them are none.
        if faults or len(values) > len(declared):
            for name in values:
                if name not in declared:
                    fault = f"has {name[:50]!r}, which is no parameter; there are {_listed(declared)}"
                    faults.append((Violation(field, fault), False))
        return faults

    # entries -----------------------------------------------------------------------------

    def _entries(self, scopes: Mapping[str, Sequence[_Values]]) -> tuple[EntryDraft, ...]:
        lines: list[_Line] = []
        amounts: list[int] = []
        # The lines that share one total, with their weights; and the total.
        sharing: dict[_Shared, list[tuple[int, int]]] = {}
        totals: dict[_Shared, int] = {}
        faults: list[tuple[Violation, bool]] = []
        for place, (entry, accounts, assets, allocation) in enumerate(self._patterns):
            for index, values in enumerate(scopes[entry.group]):
                account = _name(accounts, values, names.path_fault, place, faults)
                asset = _name(assets, values, names.asset_code_fault, place, faults)
                amount = _product(entry, values)
                if amount > AMOUNT_MAX:
                    raise self._too_large(place)
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
        sides = [entry.is_debit for entry in self.template.entries]
        sums: dict[_Line, int] = {}
        for line, amount in zip(lines, amounts, strict=True):
            if amount:
                sums[line] = sums.get(line, 0) + amount
                if sums[line] > AMOUNT_MAX:
                    raise self._too_large(line.place)
        return tuple(EntryDraft(one.account, sides[one.place], sums[one], one.asset) for one in sums)

    def _too_large(self, place: int) -> AmountOverflow:
        name = self.template.name
        return AmountOverflow(
            f"entry {place} of template {name!r} would need more than 38 digits", template=name, entry=place
        )


def _taken(parameters: Sequence[Parameter]) -> _Taken:
    numbers = tuple(one.name for one in parameters if one.type in NUMBERS)
    return _Taken({one.name: one for one in parameters}, numbers)


def _constant(metadata: Mapping[str, Pattern]) -> dict[str, str] | None:
    """Sound metadata that has no names in it; else None."""
    texts = {key: pattern.literals[0] for key, pattern in metadata.items() if not pattern.names}
    return texts if len(texts) == len(metadata) and not names.metadata_faults(texts) else None


def _number(weight: int | str | None, values: _Values) -> int:
    return values.numbers[weight] if isinstance(weight, str) else weight or 0


def _product(entry: EntryPattern, values: _Values) -> int:
    factors, numbers = entry.factors, values.numbers
    amount = numbers[factors[0]]
    return amount * numbers[factors[1]] if len(factors) == 2 else amount


def _name(
    pattern: Pattern,
    values: _Values,
    fault_of: Callable[[str], str | None],
    place: int,
    faults: list[tuple[Violation, bool]],
) -> str:
    if not pattern.names:
        return pattern.literals[0]
    name = pattern.filled(values.texts)
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
