"""What a template may look like, judged once when a chart has it, never when it is used.

Of a sound template every name in a pattern is declared and of a type that fits. Whether
what it makes is balanced can often be proved too: `is_always_balanced`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ledger_server.domain import names
from ledger_server.domain.parameters import ITEMS_MAX, NUMBERS, Parameter, ParameterType
from ledger_server.domain.parameters import name_fault as parameter_name_fault
from ledger_server.domain.patterns import parsed, pattern_fault
from ledger_server.domain.refusals import Violation
from ledger_server.domain.templates import (
    GROUPS_MAX,
    PARAMETERS_MAX,
    PATTERNS_MAX,
    VERSION_MAX,
    WEIGHT_MAX,
    Allocation,
    EntryPattern,
    Template,
    name_fault,
)

_IN_ACCOUNTS = frozenset({ParameterType.UUID, ParameterType.INT, ParameterType.SLUG, ParameterType.TEXT})
# A UUID is longer than a code may be.
_IN_ASSETS = frozenset({ParameterType.INT, ParameterType.SLUG, ParameterType.TEXT})
_IN_METADATA = frozenset(ParameterType)


def template_faults(template: Template) -> list[Violation]:
    """Everything that is wrong with a template, by field below it; of a sound one nothing."""
    faults = list(_head_faults(template))
    faults += _parameter_faults(template)
    for index, entry in enumerate(template.entries):
        faults += _entry_faults(template, entry, f"entries[{index}]")
    faults += _metadata_faults(template)
    # What entries are together can be asked only once each is sound.
    return faults or list(_sharing_faults(template)) + list(_one_sided_faults(template))


def is_always_balanced(template: Template) -> bool:
    """Whether every transaction that a sound template makes is balanced, whatever it is given.

    False says only that it is not proved: where a caller gives a total and its parts,
    say, the total may be right. Then what he gives decides, and may be refused with
    UNBALANCED_TRANSACTION.
    """
    nets: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
    seen: set[Allocation] = set()
    for entry in template.entries:
        allocation = template.allocation(entry)
        if allocation is None:
            term = (entry.asset, entry.group, tuple(sorted(entry.factors)))
        elif allocation in seen:
            continue
        else:
            seen.add(allocation)
            term = (entry.asset, allocation.group, allocation.factors)
        nets[term] += 1 if entry.is_debit else -1
    return not any(nets.values())


def _head_faults(template: Template) -> Iterator[Violation]:
    fault = name_fault(template.name)
    if fault is not None:
        yield Violation("name", fault)
    if not 1 <= template.version <= VERSION_MAX:
        yield Violation("version", f"is {template.version}; it must be 1 to {VERSION_MAX}")
    fault = names.text_fault(template.kind, names.KIND_LENGTH_MAX)
    if fault is not None:
        yield Violation("kind", fault)
    if not 2 <= len(template.entries) <= PATTERNS_MAX:
        yield Violation("entries", f"has {len(template.entries)}; a template has 2 to {PATTERNS_MAX}")


def _parameter_faults(template: Template) -> Iterator[Violation]:
    """Names are unique over the whole template, so that a pattern's names have one meaning each."""
    taken: set[str] = set()
    count = len(template.parameters) + sum(len(group.parameters) for group in template.groups)
    if count > PARAMETERS_MAX:
        yield Violation("parameters", f"has {count} with those of its groups; at most {PARAMETERS_MAX}")
    yield from _declaration_faults(template.parameters, "parameters", taken)
    if len(template.groups) > GROUPS_MAX:
        yield Violation("groups", f"has {len(template.groups)}; at most {GROUPS_MAX} are allowed")
    groups: set[str] = set()
    for index, group in enumerate(template.groups):
        field = f"groups[{index}]"
        fault = parameter_name_fault(group.name)
        if fault is None and group.name in groups:
            fault = f"{group.name!r} is declared already"
        if fault is not None:
            yield Violation(f"{field}.name", fault)
        groups.add(group.name)
        if not 0 <= group.min_items <= ITEMS_MAX:
            yield Violation(f"{field}.min_items", f"is {group.min_items}; it must be 0 to {ITEMS_MAX}")
        if not group.parameters:
            yield Violation(f"{field}.parameters", "must be given, at least one")
        yield from _declaration_faults(group.parameters, f"{field}.parameters", taken)


def _declaration_faults(declared: tuple[Parameter, ...], field: str, taken: set[str]) -> Iterator[Violation]:
    for parameter in declared:
        fault = parameter_name_fault(parameter.name)
        if fault is None and parameter.name in taken:
            fault = f"{parameter.name!r} is declared already"
        if fault is not None:
            yield Violation(f"{field}[{parameter.name[:64]!r}]", fault)
        taken.add(parameter.name)


def _entry_faults(template: Template, entry: EntryPattern, field: str) -> Iterator[Violation]:
    if entry.group and all(group.name != entry.group for group in template.groups):
        yield Violation(f"{field}.group", f"{entry.group!r} is not declared")
        return
    known = template.within(entry.group)
    yield from _pattern_faults(entry.account, known, _IN_ACCOUNTS, f"{field}.account")
    yield from _pattern_faults(entry.asset, known, _IN_ASSETS, f"{field}.asset")
    if not 1 <= len(entry.factors) <= 2:
        yield Violation(f"{field}.factors", "must be one parameter, or the product of two")
        return
    kinds = []
    for name in entry.factors:
        fault = _use_fault(name, known, NUMBERS)
        if fault is not None:
            yield Violation(f"{field}.factors", fault)
        elif name in known:
            kinds.append(known[name].type)
    if kinds == [ParameterType.AMOUNT, ParameterType.AMOUNT]:
        yield Violation(f"{field}.factors", "multiplies two amounts; one factor must be an INT")
    if isinstance(entry.weight, str):
        fault = _use_fault(entry.weight, known, NUMBERS)
    elif entry.weight is not None and not 1 <= entry.weight <= WEIGHT_MAX:
        fault = f"is {entry.weight}; it must be 1 to {WEIGHT_MAX}"
    else:
        fault = None
    if fault is not None:
        yield Violation(f"{field}.weight", fault)


def _metadata_faults(template: Template) -> Iterator[Violation]:
    """Metadata stands once, so its patterns have the parameters that stand once."""
    metadata = template.metadata or {}
    for path, fault in names.metadata_faults(dict.fromkeys(metadata, "")):
        yield Violation(f"metadata{path}", fault)
    known = template.within("")
    for key, value in metadata.items():
        yield from _pattern_faults(value, known, _IN_METADATA, f"metadata[{key[:50]!r}]")


def _pattern_faults(
    text: str, known: dict[str, Parameter], fitting: frozenset[ParameterType], field: str
) -> Iterator[Violation]:
    fault = pattern_fault(text)
    if fault is not None:
        yield Violation(field, fault)
        return
    pattern = parsed(text)
    faults = [_use_fault(name, known, fitting) for name in pattern.names]
    if not any(faults):
        # As the shortest of values would fill it.
        filled = pattern.filled(dict.fromkeys(pattern.names, "0"))
        if fitting is _IN_ACCOUNTS:
            faults.append(names.path_fault(filled))
        elif fitting is _IN_ASSETS:
            faults.append(names.asset_code_fault(filled))
        else:
            faults.append(names.text_fault(filled, names.METADATA_VALUE_LENGTH_MAX))
    for found in faults:
        if found is not None:
            yield Violation(field, found)


def _use_fault(name: str, known: dict[str, Parameter], fitting: frozenset[ParameterType]) -> str | None:
    if name not in known:
        return f"names the parameter {name[:50]!r}, which is not declared here"
    if known[name].type not in fitting:
        kinds = ", ".join(sorted(kind.name for kind in fitting))
        return f"uses the {known[name].type.name} {name!r}, where only {kinds} fit"
    return None


def _sharing_faults(template: Template) -> Iterator[Violation]:
    """Shares of one total are in one asset, and there always are some."""
    minimum = {group.name: group.min_items for group in template.groups} | {"": 1}
    always: set[Allocation] = set()
    for entry in template.entries:
        allocation = template.allocation(entry)
        if allocation is not None and (allocation.group or minimum[entry.group]):
            always.add(allocation)
    outer = template.within("")
    for index, entry in enumerate(template.entries):
        allocation = template.allocation(entry)
        if allocation is None or allocation.group:
            continue
        if any(name not in outer for name in parsed(entry.asset).names):
            yield Violation(f"entries[{index}].asset", "differs from item to item, while the total is one")
        if allocation not in always:
            fault = f"divides a total among items of {entry.group!r}, of which there may be none"
            yield Violation(f"entries[{index}].weight", fault)


def _one_sided_faults(template: Template) -> Iterator[Violation]:
    """An asset that is named outright, and only ever on one side, is never balanced."""
    if any(parsed(entry.asset).names for entry in template.entries):
        return
    sides: dict[str, set[bool]] = {}
    for entry in template.entries:
        sides.setdefault(entry.asset, set()).add(entry.is_debit)
    for asset, found in sides.items():
        if len(found) == 1:
            side = "debited" if True in found else "credited"
            yield Violation("entries", f"{asset} is only {side}; it can never be balanced")
