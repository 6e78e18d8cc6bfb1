"""Protobuf's wire format by hand: a message as a tree of fields, which may be bent before it is written.

Written apart from the protobuf library, because that one writes nothing that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)


@dataclass(slots=True)
class Field:
    """One field as it stands on the wire; `kind` is what the contract says of it."""

    number: int
    wire: int
    value: int | bytes | Tree
    kind: FieldDescriptor | None = None


# Bytes among the fields are written as they are.
Tree: TypeAlias = "list[Field | bytes]"
Place: TypeAlias = tuple[Tree, int]


def varint(value: int, padding: int = 0) -> bytes:
    """A number below 2**64 (a negative one as its 64 bits), with so many bytes more than it needs."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if padding:
        out[-1] |= 0x80
        out += b"\x80" * (padding - 1) + b"\x00"
    return bytes(out)


def tag(number: int, wire: int) -> bytes:
    """A field's number and wire type."""
    return varint(number << 3 | wire)


def encode(tree: Tree) -> bytes:
    """The fields' bytes, in their order."""
    return b"".join(item if isinstance(item, bytes) else encode_field(item) for item in tree)


def encode_field(field: Field) -> bytes:
    """A field with its tag."""
    return tag(field.number, field.wire) + payload(field)


def payload(field: Field) -> bytes:
    """A field without its tag."""
    if field.wire == VARINT:
        assert isinstance(field.value, int)
        return varint(field.value)
    data = encode(field.value) if isinstance(field.value, list) else field.value
    assert isinstance(data, bytes)
    return varint(len(data)) + data if field.wire == LENGTH else data


def decode(data: bytes, shape: Descriptor) -> Tree:
    """The fields of a well-formed message."""
    fields: Tree = []
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, wire = key >> 3, key & 7
        kind = shape.fields_by_number.get(number)
        value: int | bytes | Tree
        if wire == VARINT:
            value, at = _read_varint(data, at)
        elif wire == LENGTH:
            size, at = _read_varint(data, at)
            inner = data[at : at + size]
            at += size
            value = decode(inner, kind.message_type) if kind is not None and kind.message_type else inner
        else:
            size = 8 if wire == FIXED64 else 4
            value = data[at : at + size]
            at += size
        fields.append(Field(number, wire, value, kind))
    return fields


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def places(tree: Tree) -> Iterator[tuple[Field, Place]]:
    """Every field of the tree, with the list it stands in and its index."""
    for index, item in enumerate(tree):
        if isinstance(item, Field):
            yield item, (tree, index)
            if isinstance(item.value, list):
                yield from places(item.value)


def branches(tree: Tree) -> Iterator[Tree]:
    """Every message of the tree, the whole first."""
    yield tree
    for item in tree:
        if isinstance(item, Field) and isinstance(item.value, list):
            yield from branches(item.value)
