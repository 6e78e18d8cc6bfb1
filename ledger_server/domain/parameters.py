"""Parameters of templates: what is declared, what a caller gives, and what each type takes.

Every value is text, on the wire as here, so that none ever passes through a float. A
type has one spelling for each value: what is the same is equal byte for byte, which is
what retries are compared by and what a record's hash covers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from itertools import chain
from struct import Struct
from typing import NamedTuple

from ledger_server.domain import names
from ledger_server.domain.amounts import amount_fault
from ledger_server.domain.chain import framed_again

NAME_LENGTH_MAX = 64
SLUG_LENGTH_MAX = 64
# Below 2**64, so that every language has a type for it.
INT_DIGITS_MAX = 19
# Each item makes at least one entry where it is of any use, and a transaction has 1,000.
ITEMS_MAX = 1_000
# Of all names and values together: a thousand items of two or three short values each.
BYTES_MAX = 32 * 1024

_u32 = Struct(">I").pack
_NO_ITEMS = _u32(0)

_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_SLUG = re.compile(rf"[a-z0-9](?:[a-z0-9_-]{{0,{SLUG_LENGTH_MAX - 2}}}[a-z0-9])?", re.ASCII)
_INT = re.compile(rf"0|[1-9][0-9]{{0,{INT_DIGITS_MAX - 1}}}", re.ASCII)


class ParameterType(IntEnum):
    """What a value may look like; the numbers are the wire's and the chain's."""

    # 8-4-4-4-12 hexadecimal digits in lower case.
    UUID = 1
    # A whole number, not negative, of at most 19 digits.
    INT = 2
    # 1-64 of a-z, 0-9, '-' and '_', with a letter or digit at both ends.
    SLUG = 3
    # 1-255 characters, not blank.
    TEXT = 4
    # Positive minor units of at most 38 digits.
    AMOUNT = 5


# Whether a text is a value, of the types whose values are words: letters, digits, '-' and '_'.
WORDS = {
    ParameterType.UUID: _UUID.fullmatch,
    ParameterType.INT: _INT.fullmatch,
    ParameterType.SLUG: _SLUG.fullmatch,
}
NUMBERS = frozenset({ParameterType.INT, ParameterType.AMOUNT})


class Parameter(NamedTuple):
    """A parameter that a template, or a group of it, takes."""

    name: str
    type: ParameterType


class Item(NamedTuple):
    """One item of a repeated group, as given."""

    group: str
    values: Mapping[str, str]


class Parameters(NamedTuple):
    """What a caller gives a template: values by name, and the items of its groups in order."""

    values: Mapping[str, str]
    items: tuple[Item, ...] = ()

    def size_bytes(self) -> int:
        """The bytes of all names and values; see BYTES_MAX."""
        size = _pairs_bytes(self.values)
        for item in self.items:
            size += len(item.group.encode()) + _pairs_bytes(item.values)
        return size


NOTHING = Parameters({})


def canonical(given: Parameters) -> bytes:
    """Given parameters as a hash covers them: values in bytewise order of name, items in order."""
    if not given.items:
        return _pairs(given.values) + _NO_ITEMS
    parts = [_pairs(given.values), _u32(len(given.items))]
    for item in given.items:
        parts += (framed_again(item.group), _pairs(item.values))
    return b"".join(parts)


def size_faults(given: Parameters) -> list[tuple[str, str]]:
    """What is too much of given parameters, as (field, fault): judged before they meet their template."""
    faults = []
    if len(given.items) > ITEMS_MAX:
        faults.append(("items", f"has {len(given.items)}; at most {ITEMS_MAX} are allowed"))
    # Nearly all are far below it, whatever their characters.
    is_small = not given.items and 4 * sum(map(len, chain.from_iterable(given.values.items()))) <= BYTES_MAX
    size = 0 if is_small else given.size_bytes()
    if size > BYTES_MAX:
        faults.append(("parameters", f"have {size} bytes with the items; at most {BYTES_MAX} are allowed"))
    return faults


def name_fault(name: str) -> str | None:
    """What is wrong with the name of a parameter or group ([a-z][a-z0-9_]*, at most 64), or None."""
    if _NAME.fullmatch(name) and len(name) <= NAME_LENGTH_MAX:
        return None
    return f"{name[:50]!r} is not a lower-case word of at most {NAME_LENGTH_MAX} letters, digits and '_'"


def value_fault(kind: ParameterType, text: str) -> str | None:
    """What is wrong with a value of this type, or None."""
    if kind is ParameterType.AMOUNT:
        return amount_fault(text)
    if not text:
        return "must be given"
    if kind is ParameterType.INT:
        if _INT.fullmatch(text):
            return None
        what = f"a whole number of at most {INT_DIGITS_MAX} digits, not negative, without leading zeros"
    elif kind is ParameterType.SLUG:
        if _SLUG.fullmatch(text):
            return None
        what = f"1-{SLUG_LENGTH_MAX} of a-z, 0-9, '-' and '_', with a letter or digit at both ends"
    elif kind is ParameterType.UUID:
        if _UUID.fullmatch(text):
            return None
        what = "a UUID in lower case with hyphens"
    else:
        return "is blank" if text.isspace() else names.text_fault(text)
    return f"{text[:50]!r} is not {what}"


def segment_fault(text: str) -> str | None:
    """What keeps a text from being a part of one segment of an account's name, or None."""
    return "holds ':', which separates segments" if ":" in text else names.path_fault(text)


def _pairs(values: Mapping[str, str]) -> bytes:
    count, names = _framed_names(tuple(values))
    parts = [count]
    for name, frame in names:
        text = values[name].encode()
        parts += (frame, _u32(len(text)), text)
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _framed_names(given: tuple[str, ...]) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """How many names there are, and each with its frame in bytewise order: the same for all of a template."""
    # UTF-8 sorts as code points do.
    return _u32(len(given)), tuple((name, framed_again(name)) for name in sorted(given))


def _pairs_bytes(values: Mapping[str, str]) -> int:
    return sum(len(name.encode()) + len(value.encode()) for name, value in values.items())
