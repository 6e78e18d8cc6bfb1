"""The rows of a journal as they lie in the tables, not yet known to be sound."""

from __future__ import annotations

from typing import NamedTuple


class StoredHead(NamedTuple):
    """A row of ledger.heads."""

    sequence: int
    hash: bytes
    record_time: int
    filled: int
    owing_from: int | None
    account_id_max: int
    asset_id_max: int
    has_limits: bool
    has_shut: bool
    chart_version: int


class StoredLedger(NamedTuple):
    """A row of ledger.ledgers."""

    sequence: int
    record_time: int
    created_by: str
    description: str | None
    salt: bytes
    hash: bytes
    details_digest: bytes | None


class StoredAsset(NamedTuple):
    """A row of ledger.assets."""

    sequence: int
    asset_id: int
    code: str
    scale: int
    record_time: int
    created_by: str
    hash: bytes


class StoredAccount(NamedTuple):
    """A row of ledger.accounts; limits and metadata as JSON text."""

    sequence: int
    account_id: int
    version: int
    name: str
    type: int
    status: int
    limits: str | None
    metadata: str | None
    record_time: int
    created_by: str
    salt: bytes
    hash: bytes
    details_digest: bytes | None


class StoredTransaction(NamedTuple):
    """A row of ledger.transactions; JSON as text, no key, series and template as "", other absences as 0."""

    sequence: int
    kind: str
    idempotency_key: str
    effective_time: int
    effective_time_given: bool
    record_time: int
    created_by: str
    description: str | None
    metadata: str | None
    external_ref: str | None
    reverses: int
    salt: bytes
    hash: bytes
    details_digest: bytes | None
    forced: bool
    series: str
    number: int
    template: str
    template_version: int
    parameters: str | None


class StoredMember(NamedTuple):
    """A row of ledger.members."""

    sequence: int
    principal: str
    version: int
    status: int
    roles: list[int]
    account_prefixes: list[str]
    record_time: int
    created_by: str
    hash: bytes


class StoredChart(NamedTuple):
    """A row of ledger.charts; the chart as JSON text."""

    sequence: int
    version: int
    chart: str
    name_patterns: list[str | None]
    record_time: int
    created_by: str
    hash: bytes


class StoredEntry(NamedTuple):
    """A row of ledger.entries; amounts as digits."""

    sequence: int
    line: int
    account_id: int
    asset_id: int
    layer: int
    side: int
    amount: str
    balance_after: str


StoredRecord = StoredLedger | StoredAsset | StoredAccount | StoredMember | StoredChart | StoredTransaction
