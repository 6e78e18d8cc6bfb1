"""Rows as they lie in the tables, to domain values: the reading half of a replay.

Raises ValueError, KeyError and their like for what nobody wrote so; the replay
knows which record that was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ledger_server.domain import chain
from ledger_server.domain.accounts import (
    Account,
    AccountChangeDraft,
    AccountDraft,
    AccountStatus,
    AccountType,
    AccountVersion,
    Asset,
    Limit,
)
from ledger_server.domain.members import MemberDraft, MemberVersion, Role
from ledger_server.domain.transactions import Entry, Transaction
from ledger_server.service.replayed_templates import given_of, template_of
from ledger_server.store.stored import (
    StoredAccount,
    StoredEntry,
    StoredLedger,
    StoredMember,
    StoredTransaction,
)


def limits_of(stored: StoredAccount, assets: Mapping[int, Asset]) -> dict[str, Limit]:
    """Limits by asset code, from the one spelling in which they are written."""
    if stored.limits is None:
        return {}
    limits: dict[str, Limit] = {}
    spelled: dict[str, dict[str, str]] = {}
    parsed: Any = json.loads(stored.limits)
    for asset_id, bounds in parsed.items():
        bound = {name: int(bounds[name]) for name in ("balance_min", "balance_max") if name in bounds}
        limits[assets[int(asset_id)].code] = Limit(bound.get("balance_min"), bound.get("balance_max"))
        spelled[str(int(asset_id))] = {name: str(value) for name, value in bound.items()}
    if spelled != parsed or not parsed:
        raise ValueError(f"limits {stored.limits[:200]}")
    return limits


def metadata_of(text: str | None) -> dict[str, str] | None:
    """Metadata from its JSON; None where it was redacted."""
    if text is None:
        return None
    if text == "{}":
        return {}
    metadata = json.loads(text)
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"metadata {text[:200]}")
    return metadata


def digest_of(
    stored: StoredLedger | StoredAccount | StoredTransaction,
    description: str | None,
    metadata: Mapping[str, str] | None,
    external_ref: str | None,
) -> bytes:
    """The digest of what may be erased; the one that was left in its place where it was."""
    if stored.details_digest is not None:
        return stored.details_digest
    if description is None or metadata is None or external_ref is None:
        raise ValueError("details without content and without digest")
    given = given_of(template_of(stored)) if isinstance(stored, StoredTransaction) else b""
    return chain.details_digest(stored.salt, description, metadata, external_ref, given)


def origin_of(
    stored: StoredTransaction,
    lines: Sequence[StoredEntry],
    accounts: Mapping[int, Account],
    assets: Mapping[int, Asset],
) -> Transaction:
    entries = tuple(
        Entry(
            accounts[line.account_id],
            line.side == 1,
            int(line.amount),
            assets[line.asset_id],
            int(line.balance_after),
        )
        for line in lines
    )
    return Transaction(
        stored.sequence,
        stored.kind,
        stored.idempotency_key,
        entries,
        stored.effective_time,
        stored.effective_time_given,
        stored.record_time,
        stored.created_by,
        stored.description,
        metadata_of(stored.metadata),
        stored.external_ref,
        stored.reverses,
        stored.salt,
        stored.hash,
        forced=stored.forced,
        series=stored.series,
        number=stored.number,
        template=template_of(stored),
    )


def account_draft_of(
    stored: StoredAccount,
    limits: Mapping[str, Limit],
    metadata: Mapping[str, str] | None,
    known: AccountVersion | None,
) -> AccountDraft | AccountChangeDraft:
    """What was asked for: to open the account, or to change the version before.

    Limits that stay were not asked for: the chart of that moment may not allow new ones like them.
    """
    status = AccountStatus(stored.status)
    if stored.details_digest is not None:
        # What was redacted stands for itself: no caller can give such a key.
        metadata = {"": stored.details_digest.hex()}
    if stored.version > 1:
        before = stored.version - 1
        asked = limits if known is None or dict(known.limits) != dict(limits) else None
        return AccountChangeDraft(stored.name, before, stored.created_by, asked, metadata or {}, status)
    if status is not AccountStatus.OPEN:
        raise ValueError(f"opened with status {stored.status}")
    return AccountDraft(stored.name, AccountType(stored.type), limits, metadata or {}, stored.created_by)


def account_canonical_of(
    stored: StoredAccount, limits: Mapping[str, Limit], metadata: Mapping[str, str] | None
) -> bytes:
    """What the hash covers."""
    return chain.account_canonical(
        stored.record_time,
        stored.created_by,
        chain.framed(stored.name),
        stored.type,
        stored.version,
        [(code, limit.balance_min, limit.balance_max) for code, limit in limits.items()],
        digest_of(stored, "", metadata, ""),
        stored.status,
    )


def member_draft_of(stored: StoredMember, known: MemberVersion | None) -> MemberDraft:
    """What was asked for: by somebody who knew the membership as it stood."""
    roles = tuple(Role(role) for role in stored.roles)
    if (stored.status == 1) is not bool(roles):
        raise ValueError(f"status {stored.status} with {len(roles)} roles")
    version = known.version if known is not None and known.is_present else 0
    return MemberDraft(stored.principal, roles, tuple(stored.account_prefixes), version, stored.created_by)


def member_canonical_of(stored: StoredMember, draft: MemberDraft) -> bytes:
    """What the hash covers."""
    return chain.member_canonical(
        stored.record_time,
        stored.created_by,
        stored.principal,
        stored.version,
        draft.roles,
        draft.account_prefixes,
    )
