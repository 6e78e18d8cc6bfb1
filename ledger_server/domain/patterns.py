"""Patterns: text with the names of parameters in braces, "customers:{customer}:credit"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from ledger_server.domain.parameters import name_fault

LENGTH_MAX = 255

# What stands in braces, or a brace that has no other.
_BRACED = re.compile(r"\{([^{}]*)\}")


class Pattern(NamedTuple):
    """A text pattern: literals around the names, one more of them than of names."""

    literals: tuple[str, ...]
    names: tuple[str, ...]

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with each name's value in its place."""
        literals, names = self.literals, self.names
        if not names:
            return literals[0]
        if len(names) == 1:
            return literals[0] + values[names[0]] + literals[1]
        parts = [literals[0]]
        for name, literal in zip(names, literals[1:], strict=True):
            parts += (values[name], literal)
        return "".join(parts)


@lru_cache(maxsize=4096)
def parsed(text: str) -> Pattern:
    """A pattern whose `pattern_fault` is None."""
    pieces = _BRACED.split(text)
    return Pattern(tuple(pieces[::2]), tuple(pieces[1::2]))


def pattern_fault(text: str, length_max: int = LENGTH_MAX) -> str | None:
    """What is wrong with a pattern's braces or length, or None."""
    if not text:
        return "must be given"
    if len(text) > length_max:
        return f"has {len(text)} characters; at most {length_max} are allowed"
    pieces = _BRACED.split(text)
    if any("{" in literal or "}" in literal for literal in pieces[::2]):
        return "has a brace without its other half; braces stand around the names of parameters only"
    for name in pieces[1::2]:
        fault = name_fault(name)
        if fault is not None:
            return f"names a parameter in braces: {fault}"
    return None
