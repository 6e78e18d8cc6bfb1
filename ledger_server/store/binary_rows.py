"""Transactions and entries as arrays of rows in PostgreSQL's binary format.

An array is: dimensions, a null flag, the element's type, length, lower bound, then
each element behind its length (array_send in PostgreSQL's arrayfuncs.c). A row is:
how many columns, then each column's type, length and value (record_send in
rowtypes.c). A numeric is base 10,000 digits, the first one's weight, sign and scale
(numeric_send in numeric.c). The columns are those of migrations/0002_rows_and_probes.sql.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from ledger_server.domain.transactions import Transaction
from ledger_server.store import json_texts

# Types by their numbers, which never change (pg_type.dat).
_BOOL, _BYTEA, _INT8, _INT2, _INT4, _TEXT = 16, 17, 20, 21, 23, 25
_TIMESTAMPTZ, _NUMERIC, _JSONB = 1184, 1700, 3802
# PostgreSQL counts time from 2000-01-01, in microseconds.
_PG_EPOCH = 946_684_800_000_000

_array = Struct(">iiIii").pack
_length = Struct(">i").pack
_field = Struct(">Ii").pack
_TEXT_TAG = Struct(">I").pack(_TEXT)
_NULL = b"\xff\xff\xff\xff"
_NO_KEY = _TEXT_TAG + _NULL
_EMPTY_TEXT = _TEXT_TAG + _length(0)
_NOT_REVERSING = Struct(">I").pack(_INT8) + _NULL

_sequence = Struct(">iIiq").pack
_times = Struct(">IiqIi?").pack
_number = Struct(">Iiq").pack
_salt_and_hash = Struct(">Ii16sIi32s").pack

# Everything of an entry before its two numerics.
_entry = Struct(">iiIiqIiiIiqIihIih").pack
_ENTRY_BYTES = 4 + (8 + 8) + (8 + 4) + (8 + 8) + (8 + 2) + (8 + 2)

_one_digit = Struct(">IihhHHH").pack
_two_digits = Struct(">IihhHHHH").pack
_NEGATIVE = 0x4000


def transactions(run: Sequence[Transaction], row_type: int) -> bytes:
    """The transactions as an array of ledger.transaction_row, whose type number is given."""
    parts = [_array(1, 0, row_type, len(run), 1)]
    for record in run:
        key = record.idempotency_key
        metadata = json_texts.pairs(record.metadata or {}).encode()
        row = b"".join(
            (
                _sequence(12, _INT8, 8, record.sequence),
                _text(key) if key else _NO_KEY,
                _text(record.kind),
                _times(
                    _TIMESTAMPTZ, 8, record.effective_time - _PG_EPOCH, _BOOL, 1, record.effective_time_given
                ),
                _text(record.created_by),
                _number(_INT8, 8, record.reverses) if record.reverses else _NOT_REVERSING,
                _text(record.description or ""),
                _field(_JSONB, len(metadata) + 1),
                # The version of jsonb's binary format.
                b"\x01",
                metadata,
                _text(record.external_ref or ""),
                _salt_and_hash(_BYTEA, 16, record.salt, _BYTEA, 32, record.hash),
            )
        )
        parts += (_length(len(row)), row)
    return b"".join(parts)


def entries(run: Sequence[Transaction], row_type: int) -> bytes:
    """The entries of the transactions as an array of ledger.entry_row, whose type number is given."""
    parts = [b""]
    count = 0
    for record in run:
        sequence = record.sequence
        for index, (account, is_debit, amount, asset, balance_after) in enumerate(record.entries):
            number, balance = _numeric(amount), _numeric(balance_after)
            parts += (
                _entry(
                    _ENTRY_BYTES + len(number) + len(balance),
                    7,
                    _INT8,
                    8,
                    account.account_id,
                    _INT4,
                    4,
                    asset.asset_id,
                    _INT8,
                    8,
                    sequence,
                    _INT2,
                    2,
                    index,
                    _INT2,
                    2,
                    1 if is_debit else 2,
                ),
                number,
                balance,
            )
            count += 1
    parts[0] = _array(1, 0, row_type, count, 1)
    return b"".join(parts)


def _text(value: str) -> bytes:
    if not value:
        return _EMPTY_TEXT
    encoded = value.encode()
    return _TEXT_TAG + _length(len(encoded)) + encoded


def _numeric(value: int) -> bytes:
    """A whole number as a column of type numeric."""
    sign = 0
    if value < 0:
        sign, value = _NEGATIVE, -value
    if value < 10_000:
        return _one_digit(_NUMERIC, 10, 1, 0, sign, 0, value)
    if value < 100_000_000:
        return _two_digits(_NUMERIC, 12, 2, 1, sign, 0, value // 10_000, value % 10_000)
    digits = []
    while value:
        value, digit = divmod(value, 10_000)
        digits.append(digit)
    count = len(digits)
    return Struct(f">IihhHH{count}H").pack(
        _NUMERIC, 8 + 2 * count, count, count - 1, sign, 0, *reversed(digits)
    )
