"""The denominator of writes: the journal's columns and indexes without anything that guards them.

Plain copies of ledger.transactions and ledger.entries, with no triggers, row
security, foreign keys or checks, written by the superuser in the same cluster.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from typing import Any

import psycopg

_CREATE = """
create schema bench;
create table bench.transactions (like ledger.transactions including indexes);
create table bench.entries (like ledger.entries including indexes);
create schema bench_encoded;
create table bench_encoded.transactions (like ledger.transactions including indexes);
create table bench_encoded.entries (like ledger.entries including indexes);
create table bench.heads (ledger_id bigint primary key, sequence bigint not null, hash bytea not null);
insert into bench.heads values (0, 1, decode(repeat('00', 32), 'hex'));
"""
_LEDGER = (
    "select ledger_id, sequence from ledger.directory join ledger.heads using (ledger_id) where name = %s"
)
# The bare transaction of one post: the head, one transaction, two entries, durable.
_MOVE_HEAD = "update bench.heads set sequence = %s, hash = %s where ledger_id = 0"
_INSERT_TRANSACTION = (
    "insert into bench.transactions (ledger_id, sequence, idempotency_key, kind, effective_time,"
    " effective_time_given, record_time, created_by, description, metadata, external_ref, salt, hash)"
    " values (0, %s, %s, 'transfer', now(), false, now(), 'anonymous', '', '{\"order\": \"1234\"}', '',"
    " %s, %s)"
)
_INSERT_ENTRIES = (
    "insert into bench.entries (ledger_id, account_id, asset_id, layer, sequence, index, side, amount,"
    " balance_after) values (0, %s, 1, 0, %s, 0, 1, 5, 5), (0, %s, 1, 0, %s, 1, 2, 5, -5)"
)


def create(database: str) -> None:
    """Makes the tables."""
    with psycopg.connect(database) as connection:
        connection.execute(_CREATE)


def ledger_id_and_head(connection: psycopg.Connection[Any], ledger: str) -> tuple[int, int]:
    """The ledger's id and its newest sequence."""
    row = connection.execute(_LEDGER, (ledger,)).fetchone()
    assert row is not None
    return row[0], row[1]


def head(database: str, ledger: str) -> int:
    """The ledger's newest sequence."""
    with psycopg.connect(database) as connection:
        return ledger_id_and_head(connection, ledger)[1]


def one_transaction(database: str) -> Callable[[], None]:
    """A call that commits one bare transaction: prepared statements, one round trip."""
    connection = psycopg.connect(database, autocommit=True, prepare_threshold=0)
    # Beyond whatever an earlier run has written.
    row = connection.execute("select sequence from bench.heads where ledger_id = 0").fetchone()
    assert row is not None
    sequences = count(row[0] + 1)

    def commit() -> None:
        sequence, record_hash = next(sequences), os.urandom(32)
        account = sequence * 7_919 % 10_000
        with connection.pipeline() as pipeline:
            connection.execute("begin")
            connection.execute(_MOVE_HEAD, (sequence, record_hash))
            connection.execute(
                _INSERT_TRANSACTION, (sequence, record_hash.hex(), record_hash[:16], record_hash)
            )
            connection.execute(_INSERT_ENTRIES, (account, sequence, 9_999 - account, sequence))
            connection.execute("commit")
            pipeline.sync()

    return commit
