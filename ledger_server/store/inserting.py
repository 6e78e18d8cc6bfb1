"""Records to rows: a run of records of one kind is one statement, two for transactions.

Transactions and entries go as arrays of rows in binary, whatever their number: as
cheap for PostgreSQL as COPY into a stage and a copy from there (which row security
would make necessary), and one round trip with everything else. Accounts and assets
are few and go as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from ledger_server.domain.accounts import AccountVersion, AssetRecord
from ledger_server.domain.audit import Act
from ledger_server.domain.charts import ChartVersion
from ledger_server.domain.decisions import Record
from ledger_server.domain.families import expressions_by_type
from ledger_server.domain.members import MemberVersion
from ledger_server.domain.transactions import Transaction
from ledger_server.store import binary_rows, rows
from ledger_server.store.chart_rows import chart_json
from ledger_server.store.roundtrip import RoundTrip
from ledger_server.store.sql import Statement, statements

_SQL = statements("lane")


class RowTypes(NamedTuple):
    """The numbers that this database gave to the types of rows."""

    transaction_row: int
    full_transaction_row: int
    entry_row: int


class Insert(NamedTuple):
    """One statement that inserts the rows of many records."""

    statement: Statement
    rows: bytes | str


def inserts(
    records: Sequence[Record], asset_ids: Mapping[str, int], types: RowTypes, acts: Sequence[Act] = ()
) -> list[Insert]:
    """What writes the records, in order, and what the audit tells of them behind."""
    made = []
    for kind, group in groupby(records, type):
        run: list[Any] = list(group)
        if kind is Transaction:
            made += _transactions(run, types, asset_ids)
        elif kind is AccountVersion:
            made.append(Insert(_SQL.insert_accounts, json.dumps([_account(one, asset_ids) for one in run])))
        elif kind is MemberVersion:
            made.append(Insert(_SQL.insert_members, json.dumps([_member(one) for one in run])))
        elif kind is ChartVersion:
            made.append(Insert(_SQL.insert_charts, json.dumps([_chart(one) for one in run])))
        else:
            made.append(Insert(_SQL.insert_assets, json.dumps([_asset(one) for one in run])))
    if acts:
        made.append(Insert(_SQL.insert_audit_events, json.dumps([_event(one) for one in acts])))
    return made


def _transactions(run: Sequence[Transaction], types: RowTypes, asset_ids: Mapping[str, int]) -> list[Insert]:
    """Transactions, the accounts that they open, their entries."""
    are_full = any(record.forced or record.number or record.template for record in run)
    statement = _SQL.insert_full_transactions if are_full else _SQL.insert_transactions
    row_type = types.full_transaction_row if are_full else types.transaction_row
    heads = Insert(statement, binary_rows.transactions(run, row_type, are_full=are_full))
    opened = [_account(version, asset_ids) for record in run for version in record.opened]
    between = [Insert(_SQL.insert_opened_accounts, json.dumps(opened))] if opened else []
    return [heads, *between, Insert(_SQL.insert_entries, binary_rows.entries(run, types.entry_row))]


def send(trip: RoundTrip, insert: Insert, ledger_id: int, record_time: int) -> None:
    """Queues a statement that `inserts` made."""
    parameters = {"ledger_id": ledger_id, "rows": insert.rows}
    if "record_time" in insert.statement.parameters:
        parameters["record_time"] = rows.moment(record_time).isoformat()
    trip.ask(insert.statement, **parameters)


def _account(record: AccountVersion, asset_ids: Mapping[str, int]) -> dict[str, Any]:
    return {
        "account_id": record.account.account_id,
        "version": record.version,
        "sequence": record.sequence,
        "name": record.account.name,
        "type": int(record.account.type),
        "status": int(record.status),
        "limits": rows.limits(record.limits, asset_ids),
        "metadata": record.metadata or {},
        "created_by": record.created_by,
        "salt": record.salt.hex(),
        "hash": record.hash.hex(),
    }


def _asset(record: AssetRecord) -> dict[str, Any]:
    return {
        "asset_id": record.asset.asset_id,
        "code": record.asset.code,
        "scale": record.asset.scale,
        "sequence": record.sequence,
        "created_by": record.created_by,
        "hash": record.hash.hex(),
    }


def _member(record: MemberVersion) -> dict[str, Any]:
    return {
        "principal": record.principal,
        "version": record.version,
        "status": 1 if record.is_present else 2,
        "roles": [int(role) for role in record.roles],
        "account_prefixes": list(record.account_prefixes),
        "sequence": record.sequence,
        "created_by": record.created_by,
        "hash": record.hash.hex(),
    }


def _chart(record: ChartVersion) -> dict[str, Any]:
    families = record.chart.families
    return {
        "version": record.version,
        "chart": chart_json(record.chart),
        "name_patterns": expressions_by_type(families) if families else [],
        "sequence": record.sequence,
        "created_by": record.created_by,
        "hash": record.hash.hex(),
    }


def _event(act: Act) -> dict[str, Any]:
    return {
        "actor": act.caller.principal,
        "means": act.caller.means.value,
        "peer": act.caller.peer,
        "action": act.action,
        "subject": act.subject,
        "sequence": act.sequence,
        "count": act.times,
    }
