"""What nearly every template makes of nearly all that it is given, in few steps.

A template without groups and shares makes one line of each pattern. Whatever is out of
the ordinary makes nothing here, and is left to who says what is wrong with it
(`expanding.Expander`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ledger_server.domain import names
from ledger_server.domain.amounts import AMOUNT_MAX
from ledger_server.domain.parameters import WORDS, ParameterType, segment_fault, value_fault
from ledger_server.domain.patterns import Pattern, parsed
from ledger_server.domain.templates import EntryPattern, Template
from ledger_server.domain.transactions import EntryDraft, entry_draft

# One word of each type.
_SAMPLES = {
    ParameterType.UUID: "00000000-0000-0000-0000-000000000000",
    ParameterType.INT: "0",
    ParameterType.SLUG: "a",
}


class _Line(NamedTuple):
    """What one pattern makes: its account's name with values in it, and its amount."""

    # Where one word makes the name, what tells such a word, and the name around it.
    is_word: Callable[[str], object] | None
    name: str
    before: str
    after: str
    # Where anything else makes it; None where it is the same whatever is given, and what it is then.
    pattern: Pattern | None
    fixed: str
    is_debit: bool
    factor: str
    more: tuple[str, ...]
    asset: str


def _is_sound_with_a_word(pattern: Pattern, types: Mapping[str, ParameterType]) -> bool:
    """Whether one word in the pattern makes a sound name, whatever word it is: if it is not too long."""
    word = _SAMPLES.get(types[pattern.names[0]]) if len(pattern.names) == 1 else None
    if word is None or not all(map(str.isascii, pattern.literals)):
        return False
    return names.path_fault(pattern.filled({pattern.names[0]: word})) is None


def _line(entry: EntryPattern, types: Mapping[str, ParameterType]) -> _Line:
    pattern = parsed(entry.account)
    is_word, name, before, after = None, "", "", ""
    if pattern.names and _is_sound_with_a_word(pattern, types):
        name, (before, after) = pattern.names[0], pattern.literals
        is_word = WORDS[types[name]]
    factor, *more = entry.factors
    return _Line(
        is_word,
        name,
        before,
        after,
        pattern if pattern.names else None,
        entry.account,
        entry.is_debit,
        factor,
        tuple(more),
        entry.asset,
    )


class PlainLines:
    """The lines of a template that `is_plain`. Never changed."""

    def __init__(self, template: Template) -> None:
        self._types = dict(template.parameters)
        factors = {name for entry in template.entries for name in entry.factors}
        in_accounts = {name for entry in template.entries for name in parsed(entry.account).names}
        self._factors = [one for one in template.parameters if one.name in factors]
        # What stands in an account's name is judged with it.
        self._others = [one for one in template.parameters if one.name not in factors | in_accounts]
        self._lines = [_line(entry, self._types) for entry in template.entries]

    def entries(self, values: Mapping[str, str]) -> tuple[EntryDraft, ...] | None:
        """The entries; None where something is wrong with the values, or may be."""
        if len(values) != len(self._types):
            return None
        try:
            numbers = {}
            for name, kind in self._factors:
                text = values[name]
                if value_fault(kind, text) is not None or text == "0":
                    return None
                numbers[name] = int(text)
            for name, kind in self._others:
                if value_fault(kind, values[name]) is not None:
                    return None
            lines = []
            for is_word, name, before, after, pattern, fixed, is_debit, factor, more, asset in self._lines:
                if is_word is not None:
                    text = values[name]
                    account = before + text + after
                    if is_word(text) is None or len(account) > names.NAME_LENGTH_MAX:
                        return None
                else:
                    account = fixed if pattern is None else self._account(pattern, values)
                amount = numbers[factor]
                if more:
                    amount *= numbers[more[0]]
                    if amount > AMOUNT_MAX:
                        return None
                lines.append(entry_draft((account, is_debit, amount, asset)))
        except (KeyError, ValueError):
            return None
        return tuple(lines)

    def _account(self, pattern: Pattern, values: Mapping[str, str]) -> str:
        """The name of an account. Raises ValueError where a value is not of its type, or this is no name."""
        account = pattern.filled(values)
        faults = [
            value_fault(self._types[name], values[name]) or segment_fault(values[name])
            for name in pattern.names
        ]
        if any(faults) or names.path_fault(account) is not None:
            raise ValueError
        return account


def is_plain(template: Template) -> bool:
    """Whether each of a sound template's patterns is one line, in an asset that it names."""
    return not template.groups and all(
        entry.weight is None and not parsed(entry.asset).names for entry in template.entries
    )
