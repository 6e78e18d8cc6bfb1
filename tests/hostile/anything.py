"""A request of any shape, drawn from its descriptor: for methods that nobody has written a call for."""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hostile.ground import LEDGERS

_DEPTH_MAX = 4
_TEXTS = ("cash", "sales", "customers:1", "USD", "somebody", "valid-origin-1", "valid:7", "the 7th")
_NUMBERS = (0, 1, 2, 9, 50)
# 2096: later than any test.
_LATER_S = 4_000_000_000
_NOW_S = 1_700_000_000


def anything(draw: Random, shape: Descriptor, depth: int = 0) -> Message:
    """A well-formed message: its ledger is one that there is, the rest is likely to mean something."""
    message: Message = GetMessageClass(shape)()
    if shape.full_name in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
        seconds = (_LATER_S, _NOW_S, 0) if shape.name == "Timestamp" else (1, 60, 86_400)
        message.seconds = draw.choice(seconds)  # type: ignore[attr-defined]
        return message
    chosen = {draw.choice(oneof.fields).name for oneof in shape.oneofs}
    for field in shape.fields:
        is_left_out = field.containing_oneof is not None and field.name not in chosen
        if is_left_out or (field.name != "ledger" and (depth >= _DEPTH_MAX or draw.random() < 0.3)):
            continue
        _fill(draw, message, field, depth)
    return message


def _fill(draw: Random, message: Message, field: FieldDescriptor, depth: int) -> None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        name = draw.choice(_TEXTS)
        getattr(message, field.name).update({name: _value(draw, kind.fields_by_name["value"])})
    elif field.is_repeated:
        many = getattr(message, field.name)
        for _ in range(draw.choice([1, 1, 2, 3])):
            many.append(anything(draw, kind, depth + 1) if kind else _value(draw, field))
    elif kind is not None:
        getattr(message, field.name).CopyFrom(anything(draw, kind, depth + 1))
    else:
        setattr(message, field.name, _value(draw, field))


def _value(draw: Random, field: FieldDescriptor) -> Any:
    if field.name == "ledger":
        return draw.choice(LEDGERS)
    if field.name == "page_token":
        return ""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        text = draw.choice(_TEXTS)
        return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return draw.choice([value.number for value in field.enum_type.values])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return draw.random() < 0.5
    return draw.choice(_NUMBERS)
