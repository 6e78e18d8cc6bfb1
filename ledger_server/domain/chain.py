"""The chain: what each record's hash covers, byte for byte.

    hash      = SHA-256(version ‖ ledger ‖ sequence ‖ previous hash ‖ SHA-256(canonical))
    canonical = record kind ‖ record_time ‖ created_by ‖ the kind's fields in fixed order

Strings are UTF-8 behind a 4-byte big-endian length, integers big-endian of fixed
width, never JSON and never protobuf bytes: both have more than one spelling for
the same content. What may later be erased (description, metadata, external_ref)
enters only as `details digest = SHA-256(salt ‖ details)`, so that a record still
verifies after redaction. docs/chain.md says it well enough to be written again in
another language; tests hold golden vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from struct import Struct

VERSION = b"\x01"
# What the first record chains to.
GENESIS = bytes(32)

_LEDGER = b"\x01"
_ASSET = b"\x02"
_ACCOUNT = b"\x03"
_TRANSACTION = b"\x04"
_MEMBER = b"\x05"
_CHART = b"\x06"

_u32 = Struct(">I").pack
# An empty string, framed; and an empty list.
_EMPTY = _u32(0)
_u64 = Struct(">Q").pack
_i64 = Struct(">q").pack
# effective_time, flags, reverses.
_times = Struct(">qBQ").pack
# The flags, beside the one that the caller gave the effective_time.
_FORCED = 2
OPENS_ACCOUNTS = 4
MADE_BY_TEMPLATE = 8
NUMBERED = 16

# Side and layer of a posted entry, as one prefix of its frame.
POSTED_DEBIT = b"\x01\x00"
POSTED_CREDIT = b"\x02\x00"


def framed(text: str) -> bytes:
    """A string as the chain writes it: its UTF-8 length in 4 bytes, then the bytes."""
    data = text.encode()
    return _u32(len(data)) + data


@lru_cache(maxsize=1024)
def framed_again(text: str) -> bytes:
    """The same for what comes with every record: kinds, principals, keys of metadata."""
    return framed(text)


def frames(parts: Iterable[bytes]) -> bytes:
    """A list as the chain writes it: how many in 4 bytes, then each."""
    listed = list(parts)
    return _u32(len(listed)) + b"".join(listed)


def limits_frame(limits: Iterable[tuple[str, int | None, int | None]]) -> bytes:
    """Limits by asset code in bytewise order, each bound behind a flag."""
    parts = []
    for code, *bounds in sorted(limits, key=lambda limit: limit[0].encode()):
        part = framed(code)
        for bound in bounds:
            part += b"\x00" if bound is None else b"\x01" + bound.to_bytes(16, "big", signed=True)
        parts.append(part)
    return frames(parts)


def record_hash(ledger_framed: bytes, sequence: int, previous: bytes, canonical: bytes) -> bytes:
    """The hash of a record, chained to the one before it."""
    return sha256(VERSION + ledger_framed + _u64(sequence) + previous + sha256(canonical).digest()).digest()


def details_digest(
    salt: bytes, description: str, metadata: Mapping[str, str], external_ref: str, parameters: bytes = b""
) -> bytes:
    """The salted digest of what may be erased from a record; `parameters` are what its template was given."""
    parts = [salt, framed(description) if description else _EMPTY, _u32(len(metadata))]
    # UTF-8 sorts as code points do, so the keys need not be encoded first.
    for key in sorted(metadata) if len(metadata) > 1 else metadata:
        parts += (framed_again(key), framed(metadata[key]))
    parts += (framed(external_ref) if external_ref else _EMPTY, parameters)
    return sha256(b"".join(parts)).digest()


def ledger_canonical(record_time: int, created_by: str, digest: bytes) -> bytes:
    """A ledger's first record; its name is in every hash already."""
    return _LEDGER + _i64(record_time) + framed(created_by) + digest


def asset_canonical(record_time: int, created_by: str, code_framed: bytes, scale: int) -> bytes:
    """An asset's creation."""
    return _ASSET + _i64(record_time) + framed(created_by) + code_framed + bytes((scale,))


def account_canonical(
    record_time: int,
    created_by: str,
    name_framed: bytes,
    account_type: int,
    version: int,
    limits: Iterable[tuple[str, int | None, int | None]],
    digest: bytes,
    status: int = 1,
) -> bytes:
    """An account's opening or change: limits by asset code in bytewise order, each bound behind a flag.

    Its status stands behind what an opening has, which is always of an open account.
    """
    return b"".join(
        (
            _ACCOUNT,
            _i64(record_time),
            framed(created_by),
            name_framed,
            bytes((account_type,)),
            _u32(version),
            limits_frame(limits),
            digest,
            bytes((status,)) if version > 1 else b"",
        )
    )


def transaction_canonical(
    record_time: int,
    created_by: str,
    idempotency_key: str,
    kind: str,
    effective_time: int,
    effective_time_given: bool,
    reverses: int,
    digest: bytes,
    entries: list[bytes],
    forced: bool = False,
    more_flags: int = 0,
    more: bytes = b"",
) -> bytes:
    """A transaction; each entry is framed by `decide` as it makes it (see `entry_frame`).

    `more` is what each of `more_flags` stands for, in order of the flags.
    """
    flags = effective_time_given | _FORCED if forced else effective_time_given | more_flags
    return b"".join(
        (
            _TRANSACTION,
            _i64(record_time),
            framed_again(created_by),
            framed(idempotency_key) if idempotency_key else _EMPTY,
            framed_again(kind),
            _times(effective_time, flags, reverses),
            digest,
            _u32(len(entries)),
            *entries,
            more,
        )
    )


def opened_frame(
    name_framed: bytes, account_type: int, limits: Iterable[tuple[str, int | None, int | None]]
) -> bytes:
    """An account that a transaction opens."""
    return name_framed + bytes((account_type,)) + limits_frame(limits)


@lru_cache(maxsize=1024)
def template_frame(name: str, version: int) -> bytes:
    """The template that made a transaction; what it was given is under the details digest."""
    return framed_again(name) + _u32(version)


def number_frame(series: str, number: int) -> bytes:
    """The number that a transaction has in its series."""
    return framed(series) + _u64(number)


def member_canonical(
    record_time: int,
    created_by: str,
    principal: str,
    version: int,
    roles: Sequence[int],
    account_prefixes: Sequence[str],
) -> bytes:
    """A membership's beginning, change or end: roles by number, prefixes in bytewise order."""
    return b"".join(
        (
            _MEMBER,
            _i64(record_time),
            framed(created_by),
            framed(principal),
            _u32(version),
            _u32(len(roles)),
            bytes(roles),
            _u32(len(account_prefixes)),
            *map(framed, account_prefixes),
        )
    )


def chart_canonical(
    record_time: int, created_by: str, version: int, lists: Iterable[Iterable[bytes]]
) -> bytes:
    """A version of the chart: its lists, each part framed as docs/chain.md says."""
    return b"".join(
        (_CHART, _i64(record_time), framed(created_by), _u32(version), *(frames(parts) for parts in lists))
    )


def entry_frame(account_framed: bytes, is_debit: bool, amount: int, asset_framed: bytes) -> bytes:
    """One posted entry: side, layer 0, account, the amount in 16 bytes, asset."""
    return (
        (POSTED_DEBIT if is_debit else POSTED_CREDIT)
        + account_framed
        + amount.to_bytes(16, "big")
        + asset_framed
    )
