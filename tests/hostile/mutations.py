"""One fault in a valid message: each mutation changes one thing, or answers None.

Bits and edges alike: a field that is missing, doubled, of another type, of a value
that nobody means; lengths that lie; names and tokens of other calls.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hostile.ground import LEDGERS, ORIGINS, Ground
from hostile.values import AMOUNTS, NOT_UTF8, NUMBERS, TEXTS
from hostile.wire import (
    FIXED32,
    FIXED64,
    GROUP,
    GROUP_END,
    LENGTH,
    VARINT,
    Field,
    Place,
    branches,
    decode,
    encode,
    encode_field,
    payload,
    places,
    tag,
    varint,
)

from ledger_server.rpc.page_tokens import page_token

# A doubled field may make a message grow up to this.
_BYTES_MAX = 2 << 20
_AMOUNTS = {"amount", "balance_min", "balance_max"}
_LEDGER_NAMES = {"ledger"}


class Bending:
    """A valid message, and what one fault in it may be made of."""

    def __init__(self, draw: Random, ground: Ground, message: Message) -> None:
        self.draw = draw
        self.ground = ground
        self.message = message
        self.data = message.SerializeToString(deterministic=True)
        self.tree = decode(self.data, message.DESCRIPTOR)

    def place(self, is_wanted: Callable[[Field], bool] = lambda field: True) -> tuple[Field, Place] | None:
        """A field that is wanted, anywhere in the tree, and where it stands."""
        found = [(field, place) for field, place in places(self.tree) if is_wanted(field)]
        return self.draw.choice(found) if found else None

    def put(self, place: Place, *raw: bytes) -> bytes:
        """The message with these bytes in the place of a field."""
        tree, index = place
        tree[index : index + 1] = raw
        return encode(self.tree)

    def insert(self, raw: bytes) -> bytes:
        """The message with bytes more between the fields of any of its messages."""
        branch = self.draw.choice(list(branches(self.tree)))
        branch.insert(self.draw.randint(0, len(branch)), raw)
        return encode(self.tree)

    def text(self, names: set[str], data: bytes) -> bytes | None:
        """The message with another text in a field of one of these names, or there for the first time."""
        found = self.place(lambda field: field.kind is not None and field.kind.name in names)
        if found is not None:
            field, place = found
            return self.put(place, tag(field.number, LENGTH) + varint(len(data)) + data)
        for kind in self.message.DESCRIPTOR.fields:
            if kind.name in names:
                return self.data + tag(kind.number, LENGTH) + varint(len(data)) + data
        return None


Mutation = Callable[[Bending], bytes | None]


def _is_text(field: Field) -> bool:
    return field.kind is not None and field.kind.type == FieldDescriptor.TYPE_STRING


def _is_varint(field: Field) -> bool:
    return field.wire == VARINT


# fields -------------------------------------------------------------------------------------


def a_field_dropped(bending: Bending) -> bytes | None:
    found = bending.place()
    return found and bending.put(found[1])


def a_field_doubled(bending: Bending) -> bytes | None:
    found = bending.place()
    if found is None:
        return None
    raw = encode_field(found[0])
    times = bending.draw.choice([2] * 20 + [3] * 20 + [25, 1_001, 9_000, 200_000])
    return bending.put(found[1], raw * min(times, _BYTES_MAX // len(raw) + 1))


def fields_in_another_order(bending: Bending) -> bytes | None:
    branch = bending.draw.choice(list(branches(bending.tree)))
    bending.draw.shuffle(branch)
    return encode(bending.tree)


def a_message_in_two_parts(bending: Bending) -> bytes | None:
    """Legal: a parser merges them."""
    found = bending.place(lambda field: isinstance(field.value, list) and len(field.value) > 1)
    if found is None or not isinstance(found[0].value, list):
        return None
    field, (tree, index) = found
    assert isinstance(field.value, list)
    half = len(field.value) // 2
    parts = (Field(field.number, LENGTH, field.value[:half]), Field(field.number, LENGTH, field.value[half:]))
    tree[index : index + 1] = parts
    return encode(bending.tree)


def an_unknown_field(bending: Bending) -> bytes | None:
    number = bending.draw.choice([14, 15, 16, 99, 999, 18_999, 19_000, 2**29 - 1])
    raw = bending.draw.choice(
        [
            tag(number, VARINT) + b"\x01",
            tag(number, LENGTH) + b"\x03abc",
            tag(number, FIXED32) + b"\0" * 4,
            tag(number, FIXED64) + b"\xff" * 8,
            tag(number, GROUP) + tag(1, VARINT) + b"\x05" + tag(number, GROUP_END),
        ]
    )
    return bending.insert(raw)


def a_field_without_number(bending: Bending) -> bytes | None:
    return bending.insert(bending.draw.choice([b"\x00\x00", b"\x02\x00", b"\x07", b"\x06\x01", b"\x0c"]))


def a_deep_nest(bending: Bending) -> bytes | None:
    """Groups in groups, or lengths in lengths: as deep as a parser may be led."""
    depth = bending.draw.choice([20, 99, 101, 10_000, 300_000])
    if bending.draw.random() < 0.5:
        is_closed = bending.draw.random() < 0.5
        return bending.insert(tag(77, GROUP) * depth + tag(77, GROUP_END) * depth * is_closed)
    raw = b""
    for _ in range(min(depth, 2_000)):
        raw = tag(bending.draw.randint(1, 9), LENGTH) + varint(len(raw)) + raw
    return bending.insert(raw)


def a_huge_map(bending: Bending) -> bytes | None:
    """Metadata with more keys than it may have."""
    shapes = [bending.message.DESCRIPTOR]
    shapes += [kind.message_type for kind in shapes[0].fields if kind.message_type]
    for shape in shapes:
        if "metadata" not in shape.fields_by_name:
            continue
        number = shape.fields_by_name["metadata"].number
        count = bending.draw.choice([65, 65, 1_000, 40_000])
        pairs = (b"\x0a\x05%05d\x12\x01v" % one for one in range(count))
        raw = b"".join(tag(number, LENGTH) + varint(len(pair)) + pair for pair in pairs)
        if shape is shapes[0]:
            return bending.data + raw
        outer = next(kind.number for kind in shapes[0].fields if kind.message_type is shape)
        return bending.data + tag(outer, LENGTH) + varint(len(raw)) + raw
    return None


# values -------------------------------------------------------------------------------------


def a_number_at_its_edge(bending: Bending) -> bytes | None:
    number = bending.draw.choice(NUMBERS)
    found = bending.place(_is_varint)
    if found is not None:
        return bending.put(found[1], tag(found[0].number, VARINT) + varint(number))
    kinds = [kind for kind in bending.message.DESCRIPTOR.fields if kind.type in _VARINTS]
    if not kinds:
        return None
    return bending.data + tag(bending.draw.choice(kinds).number, VARINT) + varint(number)


_VARINTS = {
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_BOOL,
    FieldDescriptor.TYPE_ENUM,
}


def an_enum_that_is_none(bending: Bending) -> bytes | None:
    kinds = [kind for kind in bending.message.DESCRIPTOR.fields if kind.type == FieldDescriptor.TYPE_ENUM]
    found = bending.place(
        lambda field: field.kind is not None and field.kind.type == FieldDescriptor.TYPE_ENUM
    )
    number = varint(bending.draw.choice([-1, 3, 6, 99, 2**31 - 1, -(2**31), 2**40]))
    if found is not None:
        return bending.put(found[1], tag(found[0].number, VARINT) + number)
    return bending.data + tag(kinds[0].number, VARINT) + number if kinds else None


def a_text_nobody_means(bending: Bending) -> bytes | None:
    found = bending.place(_is_text)
    if found is None:
        return None
    data = bending.draw.choice(TEXTS).encode()
    return bending.put(found[1], tag(found[0].number, LENGTH) + varint(len(data)) + data)


def a_text_that_is_none(bending: Bending) -> bytes | None:
    found = bending.place(_is_text)
    if found is None:
        return None
    data = bending.draw.choice(NOT_UTF8)
    return bending.put(found[1], tag(found[0].number, LENGTH) + varint(len(data)) + data)


def a_long_name(bending: Bending) -> bytes | None:
    """Never the same twice, so that nobody who remembers names forgets it."""
    found = bending.place(_is_text)
    if found is None:
        return None
    data = b"%016x" % bending.draw.getrandbits(64) * bending.draw.choice([20, 100, 1_000])
    return bending.put(found[1], tag(found[0].number, LENGTH) + varint(len(data)) + data)


def an_amount_nobody_means(bending: Bending) -> bytes | None:
    found = bending.place(lambda field: field.kind is not None and field.kind.name in _AMOUNTS)
    if found is None:
        return None
    data = bending.draw.choice(AMOUNTS).encode()
    return bending.put(found[1], tag(found[0].number, LENGTH) + varint(len(data)) + data)


# the wire -----------------------------------------------------------------------------------


def another_wire_type(bending: Bending) -> bytes | None:
    found = bending.place()
    if found is None:
        return None
    field, place = found
    wire = bending.draw.choice([one for one in range(8) if one != field.wire])
    body = payload(field) if bending.draw.random() < 0.5 else bending.draw.randbytes(9)
    return bending.put(place, tag(field.number, wire) + body)


def another_number(bending: Bending) -> bytes | None:
    """A field in the place of its neighbour."""
    found = bending.place()
    if found is None:
        return None
    field, place = found
    number = max(1, field.number + bending.draw.choice([-2, -1, 1, 2]))
    return bending.put(place, tag(number, field.wire) + payload(field))


def cut_off(bending: Bending) -> bytes | None:
    return bending.data[: bending.draw.randrange(len(bending.data))] if bending.data else None


def a_bit_flipped(bending: Bending) -> bytes | None:
    if not bending.data:
        return None
    data = bytearray(bending.data)
    data[bending.draw.randrange(len(data))] ^= 1 << bending.draw.randrange(8)
    return bytes(data)


def a_length_that_lies(bending: Bending) -> bytes | None:
    found = bending.place(lambda field: field.wire == LENGTH)
    if found is None:
        return None
    field, place = found
    data = encode(field.value) if isinstance(field.value, list) else field.value
    assert isinstance(data, bytes)
    size = bending.draw.choice([0, len(data) + 1, len(data) * 2 + 1, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1])
    return bending.put(place, tag(field.number, LENGTH) + varint(size) + data)


def a_varint_too_long(bending: Bending) -> bytes | None:
    """A tag, a length or a number with more bytes than it needs, or than any may have."""
    found = bending.place()
    if found is None:
        return None
    field, place = found
    padding = bending.draw.choice([1, 3, 9, 10, 40])
    key = field.number << 3 | field.wire
    if field.wire == VARINT and bending.draw.random() < 0.5:
        assert isinstance(field.value, int)
        return bending.put(place, varint(key) + varint(field.value, padding))
    return bending.put(place, varint(key, padding) + payload(field))


# other calls --------------------------------------------------------------------------------


def another_ledger(bending: Bending) -> bytes | None:
    vault = bending.ground.vault
    names = [
        LEDGERS[1],
        LEDGERS[0],
        vault[:-1],
        vault.upper(),
        vault + ":",
        vault + " ",
        vault + "\0",
        vault.partition(":")[0],
        "nobody",
        "1",
        "fuzz:a' or name like 'vault%",
        "%",
    ]
    return bending.text(_LEDGER_NAMES, bending.draw.choice(names).encode())


def another_page_token(bending: Bending) -> bytes | None:
    """Of another list, of the vault's, damaged, or forged for this very request."""
    if "page_token" not in bending.message.DESCRIPTOR.fields_by_name:
        return None
    draw = bending.draw
    ours = draw.choice(list(bending.ground.tokens.values()))
    places_forged: list[int | str] = [
        draw.choice([-1, 0, 1, 50, 2**31, 2**32, 2**63 - 1, 2**63, "", "cash", "a\x00b", "\ud800", "资" * 99])
        for _ in range(draw.randint(0, 4))
    ]
    try:
        forged = page_token(bending.message, *places_forged)
    except UnicodeEncodeError:
        forged = page_token(bending.message, 2**63 - 1, 2**63 - 1)
    token = draw.choice(
        [
            ours,
            draw.choice(bending.ground.vault_tokens),
            ours[:-3],
            ours[::-1],
            ours + "=",
            "资" + ours,
            "A" * 100_000,
            forged,
            forged,
            forged,
            page_token(bending.message, *[0] * 20_000),
        ]
    )
    return bending.text({"page_token"}, token.encode())


def a_name_of_another_call(bending: Bending) -> bytes | None:
    number = bending.draw.randrange(ORIGINS)
    names = [f"vault-key-{number}", "safe", f"bent-origin-{number}", f"bent-batch-{number}", "wallet", "USD"]
    names += ["customers", "bent-key-3", "fuzz:b"]
    fields = {"idempotency_key", "account", "name", "account_prefix", "prefix", "asset", "code", "service"}
    fields |= {"external_ref", "kind", "file_by_filename", "file_containing_symbol"}
    return bending.text(fields, bending.draw.choice(names).encode())


MUTATIONS: tuple[Mutation, ...] = (
    a_field_dropped,
    a_field_doubled,
    fields_in_another_order,
    a_message_in_two_parts,
    an_unknown_field,
    a_field_without_number,
    a_deep_nest,
    a_huge_map,
    a_number_at_its_edge,
    an_enum_that_is_none,
    a_text_nobody_means,
    a_text_that_is_none,
    a_long_name,
    an_amount_nobody_means,
    another_wire_type,
    another_number,
    cut_off,
    a_bit_flipped,
    a_length_that_lies,
    a_varint_too_long,
    another_ledger,
    another_page_token,
    a_name_of_another_call,
)


def bent(draw: Random, ground: Ground, message: Message) -> tuple[str, bytes]:
    """The message with one fault: its name, and the bytes."""
    for mutation in draw.sample(MUTATIONS, len(MUTATIONS)):
        bending = Bending(draw, ground, message)
        data = mutation(bending)
        if data is not None and data != bending.data:
            return mutation.__name__.replace("_", " "), data
    raise AssertionError("an unknown field can be put into any message")
