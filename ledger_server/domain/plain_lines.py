"""What nearly every template makes of nearly all that it is given, in few steps.

A template without groups and shares makes one line of each pattern. Whatever is out of
the ordinary makes nothing here, and is left to who says what is wrong with it
(`expanding.Expander`).
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger_server.domain import names
from ledger_server.domain.amounts import AMOUNT_MAX
from ledger_server.domain.parameters import WORDS, ParameterType, segment_fault, value_fault
from ledger_server.domain.patterns import Pattern, parsed
from ledger_server.domain.templates import Template
from ledger_server.domain.transactions import EntryDraft, entry_draft

# One word of each type.
_SAMPLES = {
    ParameterType.UUID: "00000000-0000-0000-0000-000000000000",
    ParameterType.INT: "0",
    ParameterType.SLUG: "a",
}


class _Naming:
    """An account's name with values in it. Never changed."""

    def __init__(self, pattern: Pattern, types: Mapping[str, ParameterType]) -> None:
        self._pattern = pattern
        self._kinds = [(name, types[name]) for name in pattern.names]
        self._is_word = WORDS.get(self._kinds[0][1]) if _is_sound_with_a_word(pattern, types) else None
        self._name, self._before, self._after = pattern.names[0], pattern.literals[0], pattern.literals[1]

    def account(self, values: Mapping[str, str]) -> str:
        """The name. Raises ValueError where a value is not of its type, or this is no account's name."""
        if self._is_word is not None:
            text = values[self._name]
            account = self._before + text + self._after
            if self._is_word(text) is None or len(account) > names.NAME_LENGTH_MAX:
                raise ValueError
            return account
        account = self._pattern.filled(values)
        faults = [
            value_fault(kind, values[name]) or segment_fault(values[name]) for name, kind in self._kinds
        ]
        if any(faults) or names.path_fault(account) is not None:
            raise ValueError
        return account


def _is_sound_with_a_word(pattern: Pattern, types: Mapping[str, ParameterType]) -> bool:
    """Whether one word in the pattern makes a sound name, whatever word it is: if it is not too long."""
    word = _SAMPLES.get(types[pattern.names[0]]) if len(pattern.names) == 1 else None
    if word is None or not all(map(str.isascii, pattern.literals)):
        return False
    return names.path_fault(pattern.filled({pattern.names[0]: word})) is None


class PlainLines:
    """The lines of a template that `is_plain`. Never changed."""

    def __init__(self, template: Template) -> None:
        types = dict(template.parameters)
        accounts = [parsed(entry.account) for entry in template.entries]
        factors = {name for entry in template.entries for name in entry.factors}
        in_accounts = {name for account in accounts for name in account.names}
        self._count = len(types)
        self._factors = [one for one in template.parameters if one.name in factors]
        # What stands in an account's name is judged with it.
        self._others = [one for one in template.parameters if one.name not in factors | in_accounts]
        self._lines = [
            (_Naming(account, types) if account.names else None, entry, entry.factors[0], entry.factors[1:])
            for entry, account in zip(template.entries, accounts, strict=True)
        ]

    def entries(self, values: Mapping[str, str]) -> tuple[EntryDraft, ...] | None:
        """The entries; None where something is wrong with the values, or may be."""
        if len(values) != self._count:
            return None
        try:
            return self._made(values)
        except (KeyError, ValueError):
            return None

    def _made(self, values: Mapping[str, str]) -> tuple[EntryDraft, ...]:
        numbers = {}
        for name, kind in self._factors:
            text = values[name]
            if text == "0" or value_fault(kind, text) is not None:
                raise ValueError
            numbers[name] = int(text)
        for name, kind in self._others:
            if value_fault(kind, values[name]) is not None:
                raise ValueError
        lines = []
        for naming, entry, factor, more in self._lines:
            account = naming.account(values) if naming is not None else entry.account
            amount = numbers[factor]
            if more:
                amount *= numbers[more[0]]
                if amount > AMOUNT_MAX:
                    raise ValueError
            lines.append(entry_draft((account, entry.is_debit, amount, entry.asset)))
        return tuple(lines)


def is_plain(template: Template) -> bool:
    """Whether each of a sound template's patterns is one line, in an asset that it names."""
    return not template.groups and all(
        entry.weight is None and not parsed(entry.asset).names for entry in template.entries
    )
