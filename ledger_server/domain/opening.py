"""Deciding what opens accounts and creates assets; their names are their idempotency keys."""

from __future__ import annotations

from collections.abc import Mapping

from ledger_server.domain import chain
from ledger_server.domain.accounts import (
    Account,
    AccountDraft,
    AccountStatus,
    AccountVersion,
    Asset,
    AssetDraft,
    AssetRecord,
    Head,
    Limit,
)
from ledger_server.domain.books import Books
from ledger_server.domain.content import account_differences
from ledger_server.domain.decisions import Decision, Moment, Recorded
from ledger_server.domain.governing import account_refusal
from ledger_server.domain.refusals import (
    AccountAlreadyExists,
    AssetAlreadyExists,
    AssetNotFound,
    ValidationFailed,
    Violation,
)


def decide_account(draft: AccountDraft, books: Books, moment: Moment) -> Decision:
    """Opens an account, or answers the one that stands under its name as it was opened."""
    standing = books.accounts[draft.name]
    if standing is not None:
        existing = standing if standing.version == 1 else books.openings[draft.name]
        differing = account_differences(draft, existing)
        if not differing:
            return Recorded(existing, True)
        return AccountAlreadyExists(
            f"account {draft.name!r} exists with another {', '.join(differing)}",
            account=draft.name,
            differing_fields=",".join(differing),
            sequence=existing.sequence,
        )
    refusal = account_refusal(draft, books.rules) if books.rules is not None else None
    if refusal is not None:
        return refusal
    for code, limit in draft.limits.items():
        if books.assets[code] is None:
            return AssetNotFound(f"no asset {code!r} in ledger {books.ledger!r}; create it first", asset=code)
        if limit.bound_past_zero():
            fault = "excludes zero, where a new account stands"
            return ValidationFailed(
                f"the limit of {draft.name!r} in {code} {fault}",
                violations=(Violation("account.limits", f"the limit in {code} {fault}"),),
            )
    account = Account.of(books.next_account_id, draft.name, draft.type)
    opened = record_version(books, moment, account, 1, draft.limits, draft.metadata, draft.created_by)
    for asset in books.assets.values():
        if asset is not None:
            books.put(books.balances, (account.account_id, asset.asset_id), 0)
    books.next_account_id += 1
    return Recorded(opened, False)


def record_version(
    books: Books,
    moment: Moment,
    account: Account,
    version: int,
    limits: Mapping[str, Limit],
    metadata: Mapping[str, str],
    created_by: str,
    status: AccountStatus = AccountStatus.OPEN,
) -> AccountVersion:
    """Records an account as it is from here on."""
    sequence = books.head.sequence + 1
    salt = moment.salt()
    ordered = {code: limits[code] for code in sorted(limits, key=str.encode)}
    record_hash = chain.record_hash(
        books.framed,
        sequence,
        books.head.hash,
        chain.account_canonical(
            moment.record_time,
            created_by,
            account.framed,
            account.type,
            version,
            [(code, limit.balance_min, limit.balance_max) for code, limit in ordered.items()],
            chain.details_digest(salt, "", metadata, ""),
            status,
        ),
    )
    recorded = AccountVersion(
        account,
        version,
        ordered,
        metadata,
        sequence,
        moment.record_time,
        created_by,
        salt,
        record_hash,
        status=status,
    )
    books.put(books.accounts, account.name, recorded)
    books.head = Head(sequence, record_hash, moment.record_time, books.head.epoch)
    return recorded


def decide_asset(draft: AssetDraft, books: Books, moment: Moment) -> Decision:
    """Creates an asset, or answers the one that stands under its code."""
    existing = books.assets[draft.code]
    if existing is not None:
        if existing.scale == draft.scale:
            return Recorded(books.asset_records[draft.code], True)
        return AssetAlreadyExists(
            f"asset {draft.code!r} exists with scale {existing.scale}; a scale never changes",
            asset=draft.code,
            scale=existing.scale,
            differing_fields="scale",
        )
    sequence = books.head.sequence + 1
    asset = Asset.of(books.next_asset_id, draft.code, draft.scale)
    record_hash = chain.record_hash(
        books.framed,
        sequence,
        books.head.hash,
        chain.asset_canonical(moment.record_time, draft.created_by, asset.framed, draft.scale),
    )
    created = AssetRecord(asset, sequence, moment.record_time, draft.created_by, record_hash)
    books.put(books.assets, draft.code, asset)
    books.put(books.asset_records, draft.code, created)
    for version in books.accounts.values():
        if version is not None:
            books.put(books.balances, (version.account.account_id, asset.asset_id), 0)
    books.next_asset_id += 1
    books.head = Head(sequence, record_hash, moment.record_time, books.head.epoch)
    return Recorded(created, False)
