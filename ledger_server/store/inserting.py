"""Records to rows: the two write paths, chosen by size.

Few transactions go as arrays of one statement each for transactions and entries;
many go by COPY BINARY into temporary tables of the session and from there into the
journal, because PostgreSQL refuses COPY FROM under row security.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from ledger_server.domain.accounts import AccountVersion, AssetRecord
from ledger_server.domain.transactions import Transaction
from ledger_server.store import rows
from ledger_server.store.sql import statements

_SQL = statements("lane")

# From this many transactions COPY into session temp tables is cheaper than
# arrays; see docs/performance.md.
STAGED_FROM = 32

# In the columns' order in lane.sql.
_TRANSACTION_TYPES = ["int8", "int8", "text", "text", "timestamptz", "bool", "timestamptz"]
_TRANSACTION_TYPES += ["text", "int8", "text", "jsonb", "text", "bytea", "bytea"]
_ENTRY_TYPES = ["int8", "int8", "int4", "int2", "int8", "int2", "int2", "numeric", "numeric"]


def insert(
    connection: Connection[Any], kind: type, run: list[Any], ledger_id: int, asset_ids: Mapping[str, int]
) -> None:
    """Writes one run of records of one kind by arrays: the small write path."""
    record_time = rows.moment(run[0].record_time)
    if kind is Transaction:
        _insert_transactions(connection, run, ledger_id, record_time)
    elif kind is AccountVersion:
        _insert_accounts(connection, run, ledger_id, record_time, asset_ids)
    else:
        _insert_assets(connection, run, ledger_id, record_time)


def _insert_transactions(
    connection: Connection[Any], run: list[Transaction], ledger_id: int, record_time: Any
) -> None:
    connection.execute(
        _SQL.insert_transactions,
        {
            "ledger_id": ledger_id,
            "record_time": record_time,
            "sequences": [record.sequence for record in run],
            "keys": [record.idempotency_key or None for record in run],
            "kinds": [record.kind for record in run],
            "effective_times": [rows.moment(record.effective_time) for record in run],
            "effective_times_given": [record.effective_time_given for record in run],
            "created_by": [record.created_by for record in run],
            "reverses": [record.reverses or None for record in run],
            "descriptions": [record.description for record in run],
            "metadata": [rows.metadata_json(record.metadata or {}) for record in run],
            "external_refs": [record.external_ref for record in run],
            "salts": [record.salt for record in run],
            "hashes": [record.hash for record in run],
        },
    )
    lines = [(record.sequence, index, entry) for record in run for index, entry in enumerate(record.entries)]
    connection.execute(
        _SQL.insert_entries,
        {
            "ledger_id": ledger_id,
            "account_ids": [entry.account.account_id for _, _, entry in lines],
            "asset_ids": [entry.asset.asset_id for _, _, entry in lines],
            "sequences": [sequence for sequence, _, _ in lines],
            "indexes": [index for _, index, _ in lines],
            "sides": [1 if entry.is_debit else 2 for _, _, entry in lines],
            "amounts": [str(entry.amount) for _, _, entry in lines],
            "balances": [str(entry.balance_after) for _, _, entry in lines],
        },
    )


def _insert_accounts(
    connection: Connection[Any],
    run: list[AccountVersion],
    ledger_id: int,
    record_time: Any,
    asset_ids: Mapping[str, int],
) -> None:
    connection.execute(
        _SQL.insert_accounts,
        {
            "ledger_id": ledger_id,
            "record_time": record_time,
            "account_ids": [record.account.account_id for record in run],
            "versions": [record.version for record in run],
            "sequences": [record.sequence for record in run],
            "names": [record.account.name for record in run],
            "types": [int(record.account.type) for record in run],
            "limits": [rows.limits_json(record.limits, asset_ids) for record in run],
            "metadata": [rows.metadata_json(record.metadata or {}) for record in run],
            "created_by": [record.created_by for record in run],
            "salts": [record.salt for record in run],
            "hashes": [record.hash for record in run],
        },
    )


def _insert_assets(
    connection: Connection[Any], run: list[AssetRecord], ledger_id: int, record_time: Any
) -> None:
    connection.execute(
        _SQL.insert_assets,
        {
            "ledger_id": ledger_id,
            "record_time": record_time,
            "asset_ids": [record.asset.asset_id for record in run],
            "codes": [record.asset.code for record in run],
            "scales": [record.asset.scale for record in run],
            "sequences": [record.sequence for record in run],
            "created_by": [record.created_by for record in run],
            "hashes": [record.hash for record in run],
        },
    )


def copy(connection: Connection[Any], ledger_id: int, run: list[Transaction]) -> None:
    """Copies one run of transactions to the stage: the large write path."""
    record_time = rows.moment(run[0].record_time)
    cursor = connection.cursor()
    with cursor.copy(_SQL.copy_transactions) as copy:
        copy.set_types(_TRANSACTION_TYPES)
        write = copy.write_row
        for record in run:
            write(
                (
                    ledger_id,
                    record.sequence,
                    record.idempotency_key or None,
                    record.kind,
                    rows.moment(record.effective_time) if record.effective_time_given else record_time,
                    record.effective_time_given,
                    record_time,
                    record.created_by,
                    record.reverses or None,
                    record.description,
                    Jsonb(record.metadata, rows.metadata_json),
                    record.external_ref,
                    record.salt,
                    record.hash,
                )
            )
    with cursor.copy(_SQL.copy_entries) as copy:
        copy.set_types(_ENTRY_TYPES)
        write = copy.write_row
        for record in run:
            sequence = record.sequence
            for index, (account, is_debit, amount, asset, balance_after) in enumerate(record.entries):
                write(
                    (
                        ledger_id,
                        account.account_id,
                        asset.asset_id,
                        0,
                        sequence,
                        index,
                        1 if is_debit else 2,
                        amount,
                        balance_after,
                    )
                )


def stage(connection: Connection[Any]) -> None:
    """Makes the session's staging tables; once per connection."""
    connection.execute(_SQL.stage)
    connection.execute(_SQL.stage_entries)
