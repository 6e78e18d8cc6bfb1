"""Transactions and entries as arrays of rows in PostgreSQL's binary format.

An array is: dimensions, a null flag, the element's type, length, lower bound, then
each element behind its length (array_send in PostgreSQL's arrayfuncs.c). A row is:
how many columns, then each column's type, length and value (record_send in
rowtypes.c). A numeric is base 10,000 digits, the first one's weight, sign and scale
(numeric_send in numeric.c). The columns are those of migrations/0002_rows_and_probes.sql
and 0014_full_rows.sql.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from ledger_server.domain.transactions import Transaction
from ledger_server.store import json_texts
from ledger_server.store.template_rows import parameters_json

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
# A column's type and length, one piece where its length is always the same: each value that
# `pack` is given costs time.
_INT2_FIELD, _INT4_FIELD, _INT8_FIELD = _field(_INT2, 2), _field(_INT4, 4), _field(_INT8, 8)
_TIME_FIELD, _BOOL_FIELD = _field(_TIMESTAMPTZ, 8), _field(_BOOL, 1)
_NO_KEY = _TEXT_TAG + _NULL
_EMPTY_TEXT = _TEXT_TAG + _length(0)
_NOT_REVERSING = Struct(">I").pack(_INT8) + _NULL

# A transaction's twelve columns, or eighteen, the first of them its sequence.
_TRANSACTION, _FULL_TRANSACTION = _length(12) + _INT8_FIELD, _length(18) + _INT8_FIELD
_sequence = Struct(">12sq").pack
_times = Struct(">8sq8s?").pack
_number = Struct(">8sq").pack
# The version of jsonb's binary format stands before its text.
_jsonb = Struct(">IiB").pack
_SALT_FIELD, _HASH_FIELD = _field(_BYTEA, 16), _field(_BYTEA, 32)
_salt_and_hash = Struct(">8s16s8s32s").pack
# The six columns of a full row that most transactions leave empty, as far as they do.
_FORCED, _NOT_FORCED = _BOOL_FIELD + b"\x01", Struct(">I").pack(_BOOL) + _NULL
_UNNUMBERED = _TEXT_TAG + _NULL + Struct(">I").pack(_INT8) + _NULL
_NO_PARAMETERS = Struct(">I").pack(_JSONB) + _NULL
_BY_NO_TEMPLATE = _TEXT_TAG + _NULL + Struct(">I").pack(_INT4) + _NULL + _NO_PARAMETERS
_version = Struct(">8si").pack

# An entry's seven columns, the first of them its account; and everything before its two numerics.
_ENTRY = _length(7) + _INT8_FIELD
_entry = Struct(">i12sq8si8sq8sh8sh").pack
_ENTRY_BYTES = 4 + (8 + 8) + (8 + 4) + (8 + 8) + (8 + 2) + (8 + 2)

_NEGATIVE = 0x4000
# What stands before the digits of a numeric of so many, by its sign.
_numeric_head = Struct(">IihhHH").pack
_ONE_DIGIT = {sign: _numeric_head(_NUMERIC, 10, 1, 0, sign, 0) for sign in (0, _NEGATIVE)}
_TWO_DIGITS = {sign: _numeric_head(_NUMERIC, 12, 2, 1, sign, 0) for sign in (0, _NEGATIVE)}
_one_digit = Struct(">16sH").pack
_two_digits = Struct(">16sHH").pack


def transactions(run: Sequence[Transaction], row_type: int, *, are_full: bool = False) -> bytes:
    """The transactions as an array of ledger.transaction_row, or of ledger.full_transaction_row.

    The type's number is given.
    """
    parts = [_array(1, 0, row_type, len(run), 1)]
    columns = _FULL_TRANSACTION if are_full else _TRANSACTION
    for record in run:
        key, description, external_ref = record.idempotency_key, record.description, record.external_ref
        metadata = json_texts.pairs(record.metadata or {}).encode()
        row = b"".join(
            (
                _sequence(columns, record.sequence),
                _text(key) if key else _NO_KEY,
                _text_again(record.kind),
                _times(
                    _TIME_FIELD, record.effective_time - _PG_EPOCH, _BOOL_FIELD, record.effective_time_given
                ),
                _text_again(record.created_by),
                _number(_INT8_FIELD, record.reverses) if record.reverses else _NOT_REVERSING,
                _text(description) if description else _EMPTY_TEXT,
                _jsonb(_JSONB, len(metadata) + 1, 1),
                metadata,
                _text(external_ref) if external_ref else _EMPTY_TEXT,
                _salt_and_hash(_SALT_FIELD, record.salt, _HASH_FIELD, record.hash),
                _more(record) if are_full else b"",
            )
        )
        parts += (_length(len(row)), row)
    return b"".join(parts)


def _more(record: Transaction) -> bytes:
    """The last six columns of a full row."""
    forced = _FORCED if record.forced else _NOT_FORCED
    number = _text(record.series) + _number(_INT8_FIELD, record.number) if record.number else _UNNUMBERED
    used = record.template
    if used is None:
        return forced + number + _BY_NO_TEMPLATE
    template = _template(used.name, used.version)
    if used.parameters is None:
        return forced + number + template + _NO_PARAMETERS
    given = parameters_json(used.parameters).encode()
    return b"".join((forced, number, template, _jsonb(_JSONB, len(given) + 1, 1), given))


@lru_cache(maxsize=1024)
def _template(name: str, version: int) -> bytes:
    return _text(name) + _version(_INT4_FIELD, version)


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
                    _ENTRY,
                    account.account_id,
                    _INT4_FIELD,
                    asset.asset_id,
                    _INT8_FIELD,
                    sequence,
                    _INT2_FIELD,
                    index,
                    _INT2_FIELD,
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


@lru_cache(maxsize=1024)
def _text_again(value: str) -> bytes:
    """The same for what comes with every record: kinds, principals."""
    return _text(value)


def _numeric(value: int) -> bytes:
    """A whole number as a column of type numeric."""
    sign = 0
    if value < 0:
        sign, value = _NEGATIVE, -value
    if value < 10_000:
        return _one_digit(_ONE_DIGIT[sign], value)
    if value < 100_000_000:
        return _two_digits(_TWO_DIGITS[sign], value // 10_000, value % 10_000)
    digits = []
    while value:
        value, digit = divmod(value, 10_000)
        digits.append(digit)
    count = len(digits)
    head = _numeric_head(_NUMERIC, 8 + 2 * count, count, count - 1, sign, 0)
    return head + Struct(f">{count}H").pack(*reversed(digits))
