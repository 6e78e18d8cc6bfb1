"""Rows to domain values and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger_server.domain.accounts import Account, AccountStatus, AccountVersion, Asset, AssetRecord, Limit
from ledger_server.domain.members import MemberVersion, Role
from ledger_server.domain.reads import AccountEntry
from ledger_server.domain.transactions import Entry, Transaction
from ledger_server.store.template_rows import template_use

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# A JSON string; three times as fast as json.dumps of the mapping, which is the hot path.


def micros(moment: datetime) -> int:
    """A timestamptz as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """Microseconds since 1970 as a timestamptz."""
    return _EPOCH + timedelta(microseconds=microseconds)


def asset_record(row: Any) -> AssetRecord:
    """A row of ledger.assets."""
    asset_id, code, scale, sequence, record_time, created_by, record_hash = row
    return AssetRecord(
        Asset.of(asset_id, code, scale), sequence, micros(record_time), created_by, bytes(record_hash)
    )


def account_entry(row: Any) -> AccountEntry:
    """An account's entry, with what its transaction says."""
    (
        sequence,
        index,
        side,
        amount,
        code,
        balance_after,
        kind,
        effective_time,
        record_time,
        description,
    ) = row
    return AccountEntry(
        sequence,
        index,
        side == 1,
        int(amount),
        code,
        int(balance_after),
        kind,
        micros(effective_time),
        micros(record_time),
        description,
    )


def account_version(row: Any, codes: Mapping[int, str]) -> AccountVersion:
    """A row of ledger.accounts; `codes` names the assets of its limits."""
    (
        account_id,
        name,
        account_type,
        version,
        limits,
        metadata,
        sequence,
        record_time,
        created_by,
        salt,
        record_hash,
        digest,
        status,
    ) = row
    named = {codes[int(asset_id)]: _limit(bounds) for asset_id, bounds in (limits or {}).items()}
    return AccountVersion(
        Account.of(account_id, name, account_type),
        version,
        {code: named[code] for code in sorted(named, key=str.encode)},
        metadata,
        sequence,
        micros(record_time),
        created_by,
        bytes(salt),
        bytes(record_hash),
        None if digest is None else bytes(digest),
        AccountStatus(status),
    )


def member_version(row: Any) -> MemberVersion:
    """A row of ledger.members."""
    principal, version, roles, account_prefixes, sequence, record_time, created_by, record_hash = row
    return MemberVersion(
        principal,
        version,
        tuple(Role(role) for role in roles),
        tuple(account_prefixes),
        sequence,
        micros(record_time),
        created_by,
        bytes(record_hash),
    )


def _limit(bounds: Mapping[str, str]) -> Limit:
    low, high = bounds.get("balance_min"), bounds.get("balance_max")
    return Limit(None if low is None else int(low), None if high is None else int(high))


def limits(limits: Mapping[str, Limit], asset_ids: Mapping[str, int]) -> dict[str, dict[str, str]] | None:
    """An account's limits as ledger.accounts keeps them: by asset id, bounds as strings."""
    if not limits:
        return None
    return {
        str(asset_ids[code]): {
            name: str(bound)
            for name, bound in (("balance_min", limit.balance_min), ("balance_max", limit.balance_max))
            if bound is not None
        }
        for code, limit in limits.items()
    }


def transaction(row: Any, entries: tuple[Entry, ...], reversed_by: int = 0) -> Transaction:
    """A row of ledger.transactions with its entries."""
    (
        sequence,
        kind,
        key,
        effective_time,
        effective_time_given,
        record_time,
        created_by,
        description,
        metadata,
        external_ref,
        reverses,
        salt,
        record_hash,
        digest,
        forced,
        series,
        number,
        template,
        template_version,
        parameters,
    ) = row
    return Transaction(
        sequence,
        kind,
        key or "",
        entries,
        micros(effective_time),
        effective_time_given,
        micros(record_time),
        created_by,
        description,
        metadata,
        external_ref,
        reverses,
        bytes(salt),
        bytes(record_hash),
        reversed_by,
        None if digest is None else bytes(digest),
        forced,
        (),
        series or "",
        number or 0,
        template_use(template, template_version, parameters),
    )
